"""A fault map as a chip measures it: write every device up, read it, write it down, read it again.

A device whose two reads differ by less than `least` of the range is taken for stuck, at the mean of its reads. With
pulses of a nominal step s and read noise of sd sigma, averaged over r reads, a healthy device moves by about n s and a
stuck one by 0 +- sigma sqrt(2 / r): least lies between the two. Costs 2 n pulses and 2 r reads a device.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from memjax import crossbar, noise
from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.mitigation._reader import mean_conductance


class FaultMap(NamedTuple):
    """What was found of every device [P, rows, cols]: whether it is stuck (bool), and the state x it was read at."""

    stuck: Array
    level: Array


def measure(
    xbar: Crossbar,
    dt: Any,
    key: Array,
    *,
    read_noise: Any = None,
    pulses: int = 16,
    amplitude: float = 1.0,
    reads: int = 2,
    least: Any = 0.1,
) -> tuple[Crossbar, FaultMap, Events]:
    """Find the stuck devices of an array by `pulses` up and down again, of width dt [s] -> (array, map, events).

    read_noise  sd of a device's conductance at a read, relative to the mean range; None: none
    amplitude   of the pulses, relative to the write voltage: where a device moves in proportion, few strong ones do
    reads       of every device after each of the two trains
    least       of the range: a device that moves less is taken for stuck

    The array is left where the pulses left it: measure before programming. Reads are counted as `verify`. Raises
    ValueError for fewer than one pulse or read.
    """
    for name, number in (("pulses", pulses), ("reads", reads)):
        if number < 1:
            raise ValueError(f"mitigation: {name} = {number}: accepted is 1 or more")
    shape, span, low = (xbar.polarity, *xbar.shape), crossbar.conductance_range(xbar), mean_conductance(xbar, 0.0)
    events, seen = Events(verify=2 * reads * xbar.polarity * xbar.shape[0] * xbar.shape[1]), []
    strong = replace(xbar, v_write=amplitude * xbar.v_write)
    for number, sign in enumerate((1, -1)):
        own = jax.random.fold_in(key, number)
        train = jnp.full(shape, sign * pulses, span.dtype)
        strong, spent = crossbar.write(strong, train, dt, noise.fold_in(own, "pulses"), max_pulses=pulses)
        x = (crossbar.conductance(strong) - low) / span
        if read_noise is not None:
            x = x + read_noise * reads**-0.5 * noise.normal(noise.fold_in(own, "reads"), x.shape, x.dtype)
        seen, events = [*seen, x], events + spent
    xbar = replace(strong, v_write=xbar.v_write)
    return xbar, FaultMap(seen[0] - seen[1] < least, (seen[0] + seen[1]) / 2), events
