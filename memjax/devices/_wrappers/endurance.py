"""Wear-out: the window between the extreme conductances closes with the number of writes."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from memjax.devices._wrappers._common import RECORD, blank, bounds_of, extreme, initial, wrap
from memjax.devices.base import Device, require


@struct.dataclass
class Counting:
    inner: Any
    writes: Any  # 1, number of writes so far; set it to age a device
    sign: Any  # 1, sign of the last step's voltage: a write may last several steps; None for programmed devices


def end_pulse(state: Any) -> Any:
    """Return a state after the end of a pulse: the next step at a voltage begins a new write, of whatever sign.

    For a caller whose every step is a pulse, as arrays are: between two pulses there is a moment at 0 V, which no step
    stands for. A state that counts no writes (`with_endurance`, `with_breakdown`) is returned as it is.
    """
    if not hasattr(state, "inner"):
        return state
    inner = end_pulse(state.inner)
    if isinstance(state, Counting):
        return Counting(inner, state.writes, None if state.sign is None else jnp.zeros_like(state.sign))
    return state if inner is state.inner else state.replace(inner=inner)


def count_write(state: Any, v: Any, v_write_min: Any) -> tuple[Any, Any]:
    """Return (writes, sign) of a state that counts its writes, after a step at v [V]; sign None: every step is one."""
    zero = jnp.zeros_like(state.writes)
    sign = jnp.where(jnp.abs(v) > v_write_min, jnp.sign(v) + zero, zero)
    if state.sign is None:
        return state.writes + (sign != 0).astype(zero.dtype), None
    return state.writes + ((sign != 0) & (sign != state.sign)).astype(zero.dtype), sign


@cache
def with_endurance(device: Device) -> Device:
    """Wear a device out: its window closes with the number n of writes, on the conductance of the state x_worn.

    i = w i_inner(s) + (1 - w) i_inner(s_worn),  w(n) = exp(-(n / n_wear)^beta)
    So every difference of conductances shrinks by w (a stretched exponential; the law is ours, Weibull's form of
    wear-out).  The inner state goes on as if nothing were.  A write is, for a programmed device, a step with
    |v| > v_write_min [V]; for the others the beginning of a stretch of such steps of one sign, however long, or of a
    pulse after `end_pulse`, which arrays and spiking synapses see to.

    Params: inner, n_wear (writes after which 1/e of the window is left; inf switches it off), beta (1), x_worn
    (normalised state; 0 wears to stuck off, 1 to stuck on), v_write_min (V).  State: inner, writes, sign.
    float32 counts to 1.7e7 writes: beyond, start from state.replace(writes=...).  The wrapped device has no `rate`.
    """
    programmed, inner_relax = device.switching == "programmed", device.relax

    @struct.dataclass
    class Params:
        inner: Any = struct.field(default_factory=device.Params)
        n_wear: Any = 1e6
        beta: Any = 1.0
        x_worn: Any = 0.5
        v_write_min: Any = 0.0

    def init(params, x):
        inner = device.init(params.inner, initial(params, x))
        none = blank(device, params, inner)
        return Counting(inner, none, None if programmed else none)

    def current(params, state, v):
        # A power of 0 has no derivative by its exponent, nor always by its base.
        share = state.writes / params.n_wear
        some = share > 0
        wear = jnp.where(some, jnp.where(some, share, jnp.ones_like(share)) ** params.beta, jnp.zeros_like(share))
        window = jnp.exp(-wear)
        worn = extreme(device, params, state.inner, params.x_worn, v)
        return window * device.current(params.inner, state.inner, v) + -jnp.expm1(-wear) * worn

    def step(params, state, v, dt, key):
        inner = device.step(params.inner, state.inner, v, dt, key)
        return Counting(inner, *count_write(state, v, params.v_write_min))

    def relax(params, state, dt):
        inner = inner_relax(params.inner, state.inner, dt)  # type: ignore[misc]
        return Counting(inner, state.writes, None if programmed else jnp.zeros_like(state.sign))

    def bounds(params):
        lo, hi = bounds_of(device, params, jax.eval_shape(device.init, params.inner, 0.5))
        return tuple(Counting(b, edge, None if programmed else edge) for b, edge in zip((lo, hi), RECORD, strict=True))

    def check(params):
        require(params, "n_wear", lambda p: p.n_wear > 0, "more than 0 writes")
        require(params, "beta", lambda p: p.beta > 0, "more than 0")
        require(params, "x_worn", lambda p: (p.x_worn >= 0) & (p.x_worn <= 1), "0 to 1")
        require(params, "v_write_min", lambda p: p.v_write_min >= 0, "0 V or more")

    changes = {"init": init, "current": current, "step": step, "relax": inner_relax and relax, "bounds": bounds}
    return wrap(device, "endurance", Params, check, **changes, rate=None)
