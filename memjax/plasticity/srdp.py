"""Spike-rate-dependent plasticity (SRDP) of one synapse under pulses: fast trains potentiate, slow ones depress.

    pre spike:  dw = A (f - f_th) with A = A_plus above and A_minus below f_th,    f = x / tau
    f_th' = (f^2 / f_0 - f_th) / tau_th

x is the trace of the earlier pre spikes (all-to-all, tau), so that f estimates their rate, whatever the post side does:
a device alone, to which the pulses come. The threshold slides with the history, as in BCM, from f_0 at the start;
a large tau_th holds it. Order in a step: decay x, read f and f_th, then add this step's spike.
After n equal intervals 1 / f a spike finds x = q (1 - q^n) / (1 - q), q = exp(-1 / (f tau)): `train` sums the changes
of a train in closed form, for a threshold that holds still.

There is no standard form. This one is linear in a volatile trace beyond a threshold, as is the gate of the second-order
memristor (Kim et al. 2015, 10.1021/acs.nanolett.5b00697), with the sliding threshold of Bienenstock, Cooper, Munro 1982
(10.1523/JNEUROSCI.02-01-00032.1982); the amplitudes are ours.
"""

import jax.numpy as jnp
from flax import struct
from jax import Array
from jax.typing import ArrayLike

from memjax.plasticity import base
from memjax.plasticity.base import Outer, Rule, Signals


@struct.dataclass
class Params:
    """Amplitudes A_plus and A_minus [1/Hz a spike], tau of the trace, f_0 [Hz], tau_th of the threshold [s]."""

    a_plus: float = 1e-4
    a_minus: float = 1e-4
    tau: float = 0.1
    f_0: float = 10.0
    tau_th: float = 10.0


@struct.dataclass
class State:
    """Trace x [n_pre] of the pre spikes and threshold f_th [n_pre] [Hz]."""

    x: Array
    f_th: Array


def check(params: Params) -> None:
    """Raise ValueError unless time constants and f_0 are positive and the amplitudes are not negative."""
    base.require(params, positive=("tau", "f_0", "tau_th"), non_negative=("a_plus", "a_minus"))


def init(params: Params, n_pre: int, n_post: int) -> State:
    """Return silent traces and thresholds at f_0."""
    x = base.zeros(params, n_pre)
    return State(x=x, f_th=x + params.f_0)


def step(
    params: Params, state: State, pre: Signals, post: Signals, w: Array, modulator: Array | None, dt: Array | float
):
    """Move all weights of a pre neuron that spikes, up or down by its recent rate."""
    x = base.decay(state.x, params.tau, dt)
    f, spike = x / params.tau, pre.spike.astype(x.dtype)
    change = spike * _step(params, f, state.f_th)
    target = f**2 / params.f_0
    f_th = target + base.decay(state.f_th - target, params.tau_th, dt)
    dw = Outer(change[None, :], jnp.ones((1, post.spike.shape[-1]), x.dtype))
    return dw, State(x=base.all_to_all(x, spike), f_th=f_th)


def train(params: Params, rate: ArrayLike, n: int, f_th: ArrayLike | None = None) -> Array:
    """Return the change of a weight by n spikes at equal intervals, for each rate [...] [Hz], at a fixed threshold.

    sum over k = 0 .. n - 1 of A (f_k - f_th), f_k = q (1 - q^k) / (1 - q) / tau; f_th [Hz] is f_0 unless given.
    """
    rate = jnp.asarray(rate)
    q = jnp.exp(-1.0 / (rate * params.tau))[..., None]
    k = jnp.arange(n, dtype=q.dtype).reshape((1,) * rate.ndim + (n,))
    f = q * (1.0 - q**k) / (1.0 - q) / params.tau
    return jnp.sum(_step(params, f, params.f_0 if f_th is None else f_th), axis=-1)


def drift(params: Params, rate: ArrayLike, f_th: ArrayLike | None = None) -> Array:
    """Return the mean change dw/dt [1/s] by a long, regular train at a rate [Hz], at a fixed threshold.

    rate A (f - f_th), f = 1 / (exp(1 / (rate tau)) - 1) / tau; where A_plus = A_minus, Poisson spikes have f = rate.
    """
    f = 1.0 / jnp.expm1(1.0 / (jnp.asarray(rate) * params.tau)) / params.tau
    return jnp.asarray(rate * _step(params, f, params.f_0 if f_th is None else f_th))


def _step(params: Params, f: Array, f_th: ArrayLike) -> Array:
    return jnp.where(f > f_th, params.a_plus, params.a_minus) * (f - f_th)


RULE = Rule(name="srdp", Params=Params, init=init, step=step, check=check)
