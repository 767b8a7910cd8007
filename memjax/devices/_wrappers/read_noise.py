"""Read noise that lives in the state: white, 1/f and random telegraph."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from memjax import noise
from memjax.devices._wrappers._common import RECORD, blank, bounds_of, initial, need_key, stream, wrap
from memjax.devices.base import Device, Leaf, require

KINDS = ("white", "one_over_f", "telegraph")


def with_read_noise(device: Device, kind: str = "white", modes: int = 8) -> Device:
    """Make the current of a device fluctuate, relative to itself, with noise of that kind.

    i = i_inner max(1 + a n, 0), with n a process in the state, drawn in `step` (whatever v is) and seen by the next
    read: `current` takes no key.  Its mean is 0, except of a trap with unequal times.  `relax` draws nothing: after
    idle time the noise goes on from where it was.
    A fresh device has n = 0; its first step draws the stationary distribution.

    "white"       n ~ N(0, 1), anew every step.                 Params: inner, sigma (relative to the current)
    "one_over_f"  n = sum_k x_k / sqrt(modes), each x_k an Ornstein-Uhlenbeck process of variance 1 and time constant
                  tau_k, exact for any dt: x' = a x + sqrt(1 - a^2) xi, a = exp(-dt / tau_k).  The tau_k are spaced
                  evenly in log from tau_min to tau_max, which makes the spectrum 1/f between 1 / (2 pi tau_max)
                  and 1 / (2 pi tau_min); one mode a decade keeps it within half a decibel.  A step longer than
                  tau_min samples the fast modes as white noise.
                  Params: inner, sigma, tau_min (s), tau_max (s).  The state's last axis is [modes].
                  Source: van der Ziel, Physica 16, 359 (1950), doi:10.1016/0031-8914(50)90078-4.
    "telegraph"   n = +-1/2, a trap that is empty (+) for tau_high on average, and filled (-) for tau_low; exact for any
                  dt: P(+) relaxes to tau_high / (tau_high + tau_low) at the rate 1 / tau_high + 1 / tau_low.  Its mean
                  is half of (tau_high - tau_low) / (tau_high + tau_low): i_inner is midway between the two currents.
                  Params: inner, amplitude (difference of the two currents, relative to their mean), tau_high (s),
                  tau_low (s).  Source: Kirton and Uren, Adv. Phys. 38, 367 (1989), doi:10.1080/00018738900101122.

    Params are traced; sigma or amplitude 0 gives the inner device exactly.  The wrapped device has no `rate`.
    Raises ValueError on an unknown kind or modes < 1, and where a step gets no key.
    """
    if kind not in KINDS:
        raise ValueError(f"read noise of kind {kind!r}: accepted are {', '.join(map(repr, KINDS))}")
    if modes < 1 or int(modes) != modes:
        raise ValueError(f"modes = {modes}: accepted is a whole number, 1 or more")
    if kind == "one_over_f":
        return _one_over_f(device, int(modes))
    return _white(device) if kind == "white" else _telegraph(device)


@struct.dataclass
class Noisy:
    inner: Any
    n: Leaf  # 1: the process; its modes on the last axis for 1/f; 0 where nothing was drawn yet


@cache
def _white(device: Device) -> Device:
    @struct.dataclass
    class Params:
        inner: Any = struct.field(default_factory=device.Params)
        sigma: Any = 0.02

    def draw(params, n, dt, key, salt):
        return noise.normal(key, n.shape, n.dtype, salt)

    def check(params):
        require(params, "sigma", lambda p: p.sigma >= 0, "0 or more, relative to the current")

    return _noisy(device, "read_noise", Params, check, draw, lambda params, n: params.sigma * n)


@cache
def _one_over_f(device: Device, modes: int) -> Device:
    @struct.dataclass
    class Params:
        inner: Any = struct.field(default_factory=device.Params)
        sigma: Any = 0.02
        tau_min: Any = 1e-6
        tau_max: Any = 10.0

    def draw(params, n, dt, key, salt):
        place = jnp.arange(modes, dtype=n.dtype) / max(modes - 1, 1)
        # Parameters have the devices' rank, or none; the modes are one axis more.
        low, high, dt = (jnp.expand_dims(jnp.asarray(p, n.dtype), -1) for p in (params.tau_min, params.tau_max, dt))
        place = place.reshape((1,) * (max(low.ndim, high.ndim, dt.ndim) - 1) + (modes,))
        low, high, dt = (p.reshape((1,) * (place.ndim - p.ndim) + p.shape) for p in (low, high, dt))
        rate = dt / (low * (high / low) ** place)
        rate = rate.reshape((1,) * (n.ndim - rate.ndim) + rate.shape)
        xi = noise.normal(key, n.shape, n.dtype, salt)
        return jnp.where(n == 0, xi, jnp.exp(-rate) * n + jnp.sqrt(-jnp.expm1(-2 * rate)) * xi)

    def check(params):
        require(params, "sigma", lambda p: p.sigma >= 0, "0 or more, relative to the current")
        require(params, "tau_min", lambda p: p.tau_min > 0, "more than 0 s")
        require(params, "tau_max", lambda p: p.tau_max >= p.tau_min, "tau_min or more")

    def effect(params, n):
        return params.sigma * (jnp.sum(n, -1) / modes**0.5)

    return _noisy(device, f"one_over_f{modes}", Params, check, draw, effect, modes=modes)


@cache
def _telegraph(device: Device) -> Device:
    @struct.dataclass
    class Params:
        inner: Any = struct.field(default_factory=device.Params)
        amplitude: Any = 0.05
        tau_high: Any = 1e-3
        tau_low: Any = 1e-3

    def draw(params, n, dt, key, salt):
        high = params.tau_high / (params.tau_high + params.tau_low)
        kept = jnp.exp(-dt * (1 / params.tau_high + 1 / params.tau_low))
        before = jnp.where(n == 0, jnp.full_like(n, 1.0) * high, (n > 0).astype(n.dtype))
        u = noise.uniform(key, n.shape, n.dtype, salt)
        half = jnp.full_like(n, 0.5)
        return jnp.where(u < high + (before - high) * kept, half, -half)

    def check(params):
        require(params, "amplitude", lambda p: (p.amplitude >= 0) & (p.amplitude <= 2), "0 to 2, relative to the mean")
        require(params, "tau_high", lambda p: p.tau_high > 0, "more than 0 s")
        require(params, "tau_low", lambda p: p.tau_low > 0, "more than 0 s")

    return _noisy(device, "telegraph", Params, check, draw, lambda params, n: params.amplitude * n)


def _noisy(device: Device, suffix: str, params_class: type, check, draw, effect, modes: int | None = None) -> Device:
    """Return the device with a process draw(params, n, dt, key, salt) -> n, of which effect(params, n) is seen."""
    inner_relax = device.relax

    def init(params, x):
        inner = device.init(params.inner, initial(params, x))
        n = blank(device, params, inner)
        return Noisy(inner, n if modes is None else jnp.zeros((*n.shape, modes), n.dtype))

    def current(params, state, v):
        return device.current(params.inner, state.inner, v) * jnp.maximum(1 + effect(params, state.n), 0.0)

    def step(params, state, v, dt, key):
        need_key(name, key, "step")
        inner = device.step(params.inner, state.inner, v, dt, key)
        # A step may be the first to know the shape: one state, a voltage for each of many devices.
        grown = jnp.broadcast_shapes(state.n.shape[: state.n.ndim - (modes is not None)], jnp.shape(v))
        n = jnp.broadcast_to(state.n, grown if modes is None else (*grown, modes))
        return Noisy(inner, draw(params, n, dt, key, stream(name)))

    def relax(params, state, dt):
        return Noisy(inner_relax(params.inner, state.inner, dt), state.n)  # type: ignore[misc]

    def bounds(params):
        lo, hi = bounds_of(device, params, jax.eval_shape(device.init, params.inner, 0.5))
        return Noisy(lo, RECORD[0]), Noisy(hi, RECORD[1])

    changes = {"init": init, "current": current, "step": step, "relax": inner_relax and relax, "bounds": bounds}
    wrapped = wrap(device, suffix, params_class, check, **changes, rate=None)
    name = wrapped.name
    return wrapped
