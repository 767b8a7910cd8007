"""Adaptive learning rate: measure every weight's own step, and let its programmer fire by it.

A rule that believes in one step has, on devices whose steps differ, a learning rate of its own for every weight, and
one up and another one down: what it wants as dw is carried out as g_up dw or g_down dw, so that a weight which is
pushed to and fro wanders off. With the own step in place of the nominal one (`own` of the programmers: the threshold of
an accumulator, the probability of a stochastic pulse) what is carried out is dw again.

`measure` gives every weight a train of n pulses up, 2 n down and n up, from where it is, with a look before, between
and after (`reads` reads, averaged), so that each direction has 2 n pulses, even about the weight. Relative to the
nominal,

    r_up = ((w_1 - w_0) + (w_3 - w_2)) / (2 n u),   r_down = (w_1 - w_2) / (2 n u),   u: size of a nominal pulse [w]
    gain = 1 + K (r - 1),   K = p / (p + s^2),   p = d2d^2 / devices,   s^2 = c2c^2 / (2 n devices) + looks sd^2

with sd the read noise of an averaged read over 2 n u, looks = 4 for up and 2 for down, devices = those that a pulse
moves: a Kalman filter of one observation, which believes little where it has seen little. Then the weights are
programmed back to what they read at first, by write-verify that knows these gains.

Cost: 4 n pulses and 4 reads' worth of verifies a device and what programming back takes, once (the events say it); and
digital memory of two numbers a weight, of 4 bits or so each. No more devices.
Source: ours; the filter is that of `programming.write_verify`.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax import crossbar, noise
from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.programming import write_verify
from memjax.programming.base import dtype, none_yet, number_of, pulse_size, reached, spread


@struct.dataclass
class Params:
    """What a measurement of steps takes, and what it believes beforehand."""

    pulses: int = struct.field(pytree_node=False, default=4)  # n, of the first train
    reads: int = struct.field(pytree_node=False, default=16)  # averaged at every look
    d2d: Any = 0.6  # sd of a device's step, relative to the nominal
    c2c: Any = 0.3  # sd of a pulse, relative to its step
    low: Any = 0.25  # least gain that is believed: of a stuck device it would be 0
    high: Any = 4.0
    tolerance: Any = 0.01  # of programming back, of the range of weights


def measure(
    params: Params,
    xbar: Crossbar,
    step: Any,
    dt: Any,
    key: Array | None,
    *,
    read_noise: Any = None,
    sides: str = "both",
) -> tuple[Crossbar, Array, Events]:
    """Measure what a pulse moves every weight by: (array as before, gain [2, rows, cols] down and up, events).

    step        the nominal change of a weight by one pulse on one device (`programming.weight_step`)
    read_noise  sd of a device's conductance at one read, relative to its range; None: none
    sides       how pulses reach the two devices of a pair (`programming.base`)

    Raises ValueError for read noise without a key, and unknown sides.
    """
    n, one = params.pulses, jnp.ones(xbar.shape, dtype(xbar))
    unit, devices = pulse_size(xbar, step, sides), xbar.polarity if sides == "both" else 1
    sd = 0.0 if read_noise is None else read_noise * (xbar.polarity / params.reads) ** 0.5
    if read_noise is not None and key is None:
        raise ValueError("mitigation: read noise is drawn at every read: give a key, as jax.random.key(0)")
    kept, xbar = xbar.net is not None, crossbar.uncache(xbar)

    def look(xbar, number):
        w = crossbar.weights(xbar)
        if read_noise is None or key is None:
            return w
        return w + sd * noise.normal(jax.random.fold_in(key, number), w.shape, w.dtype)

    seen, events = [look(xbar, 0)], none_yet()
    for number, train in enumerate((n, -2 * n, n), start=1):
        own = None if key is None else jax.random.fold_in(key, 10 + number)
        xbar, spent = crossbar.write(xbar, spread(xbar, train * one, sides), dt, own, max_pulses=abs(train))
        seen, events = [*seen, look(xbar, number)], events + spent
    ups, downs = (seen[1] - seen[0]) + (seen[3] - seen[2]), seen[1] - seen[2]
    r = jnp.stack([downs, ups]) / (2 * n * unit)
    prior = jnp.square(params.d2d) / devices
    c2c, looks = jnp.square(params.c2c) / (2 * n * devices), jnp.square(sd / (2 * n * unit))
    s2 = jnp.stack([c2c + 2 * looks, c2c + 4 * looks]).astype(r.dtype)[:, None, None]
    k = prior / (prior + s2)
    gain = jnp.clip(1 + k * (r - 1), params.low, params.high)
    back = write_verify.Params(
        step, tolerance=params.tolerance, c2c=jnp.maximum(params.c2c, 0.01), sides=sides,
        read_noise=None if read_noise is None else read_noise * params.reads**-0.5,
    )  # fmt: skip
    learned = write_verify.Learned(gain, jnp.broadcast_to((1 - k) * prior, gain.shape))
    own = None if key is None else jax.random.fold_in(key, 20)
    xbar, _, spent = write_verify.program_to(back, xbar, seen[0], dt, own, learned=learned)
    looked = 4 * xbar.polarity * number_of(reached(xbar))
    events = events + Events(pulse=spent.pulse, verify=params.reads * (looked + spent.verify))
    return crossbar.cache(xbar) if kept else xbar, gain, events
