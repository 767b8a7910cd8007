"""Linear ion drift: the HP TiO2 memristor, without window or with one of four.

    dx/dt = (mu r_on / d^2) i f(x, i),   R(x) = r_on x + r_off (1 - x),   i = v / R(x),   x in [0, 1]
Without window (f = 1), R^2 is linear in flux: R'^2 = R^2 - 2 (r_off - r_on) k v dt with k = mu r_on / d^2, so
    x' = clip(x + 2 k v dt / (R + R'), 0, 1)
is exact over a step of constant voltage, for any dt, and nothing cancels in it; a step that moves x by less than a
rounding of it is lost.  Where only the end of a run is wanted, R^2 itself is stepped, which needs no root; of a voltage
and parameters that all devices share, in whole units of the last place of r_off^2, what is left over being passed on to
the next step, so that no rounding adds up.  From 0 to 1 takes .805 V s at the defaults.
Windows, with stp(u) = 1 for u >= 0 else 0, so that the sign of the current picks the bound ahead:
    joglekar     1 - (2x - 1)^(2p)                          Joglekar and Wolf, Eur. J. Phys. 30, 661 (2009)
    biolek       1 - (x - stp(-i))^(2p)                     Biolek et al., Radioengineering 18, 210 (2009)
    prodromakis  j (1 - ((x - .5)^2 + .75)^p)               Prodromakis et al., IEEE T. Electron Dev. 58, 3099 (2011)
    zha          j (1 - (.25 (x - stp(-i))^2 + .75)^p)      Zha et al., IEEE T. CAD 35, 423 (2016)
With a window a step is classical Runge-Kutta (rk4, order 4).  Joglekar's and Prodromakis's windows hold a device that
has reached a bound there for ever.
Source: Strukov et al., Nature 453, 80 (2008), eqs. 5 and 6.
"""

from functools import cache, partial
from typing import NamedTuple

import jax.numpy as jnp
from flax import struct
from jax import lax

from memjax.devices._solvers import advance
from memjax.devices.base import Chart, Device, Leaf, clip, fill, require


@struct.dataclass
class Params:
    r_on: Leaf = 100.0  # ohm
    r_off: Leaf = 16e3  # ohm
    d: Leaf = 10e-9  # m, film thickness
    mu: Leaf = 1e-14  # m^2 / (V s), dopant mobility


@struct.dataclass
class State:
    x: Leaf  # 1, doped share of the film


def init(params, x):
    return State(x=fill(params, x))


def _resistance(params, x):
    return params.r_on * x + params.r_off * (1 - x)


def current(params, state, v):
    return v / _resistance(params, state.x)


def rate(params, state, v):
    return State(x=params.mu * params.r_on / params.d**2 * current(params, state, v))


def step(params, state, v, dt, key):
    before = _resistance(params, state.x)
    drift = 2 * params.mu * params.r_on / params.d**2 * v * dt
    # Held at r_on: past that bound the root is not needed, since x is clipped there.
    after = jnp.sqrt(jnp.maximum(before**2 - (params.r_off - params.r_on) * drift, params.r_on**2))
    return State(x=clip(state.x + drift / (before + after), 0.0, 1.0))


def _squared_resistance(params, state):
    return _resistance(params, state.x) ** 2


def _fall(params, v, dt):
    return 2 * (params.r_off - params.r_on) * params.mu * params.r_on / params.d**2 * (v * dt)


def _advance_squared(params, y, fall):
    return clip(y - fall, params.r_on**2, params.r_off**2)


def _whole_units(params, falls):
    """Round falls [T] to units that every R^2 adds exactly, and their running sum to within one: derivatives pass."""
    top = lax.stop_gradient(jnp.asarray(params.r_off**2, falls.dtype))
    unit = jnp.nextafter(top, jnp.full_like(top, jnp.inf)) - top
    ratio = lax.stop_gradient(falls / unit)
    whole = jnp.round(ratio)
    left = jnp.round(jnp.cumsum(jnp.where(jnp.abs(ratio) < 2**22, ratio - whole, 0.0)))
    return unit * (whole + jnp.diff(left, prepend=0.0)) + (falls - lax.stop_gradient(falls))


def _from_squared(params, state, y):
    before = _resistance(params, state.x)
    # The difference of two roots, so that a state that has not moved comes back to the bit.
    moved = (before**2 - y) / ((params.r_off - params.r_on) * (before + jnp.sqrt(y)))
    return State(x=clip(state.x + moved, 0.0, 1.0))


def bounds(params):
    return State(x=0.0), State(x=1.0)


def check(params):
    require(params, "r_on", lambda p: p.r_on > 0, "more than 0 ohm")
    require(params, "r_off", lambda p: p.r_off > p.r_on, "more than r_on")
    require(params, "d", lambda p: p.d > 0, "more than 0 m")
    require(params, "mu", lambda p: p.mu > 0, "more than 0 m^2/(V s)")


DEVICE = Device(
    "linear_ion_drift",
    Params,
    init,
    current,
    step,
    rate=rate,
    bounds=bounds,
    check=check,
    chart=Chart(step, _fall, _advance_squared, _squared_resistance, _from_squared, _whole_units),
)


def _power(square, p):
    """Return square^p; below p = 1 it has no slope at 0 that a derivative could take, and gets none."""
    if p >= 1:
        return square**p
    some = square > 0
    return jnp.where(some, jnp.where(some, square, 1.0) ** p, 0.0)


# (x, ahead, p, j) -> f, where ahead = stp(-i): 0 while x rises, 1 while it falls.
# Even powers are powers of a square, since p may be any positive number.
WINDOWS = {
    "none": None,
    "joglekar": lambda x, ahead, p, j: 1 - _power((2 * x - 1) ** 2, p),
    "biolek": lambda x, ahead, p, j: 1 - _power((x - ahead) ** 2, p),
    "prodromakis": lambda x, ahead, p, j: j * (1 - ((x - 0.5) ** 2 + 0.75) ** p),
    "zha": lambda x, ahead, p, j: j * (1 - (0.25 * (x - ahead) ** 2 + 0.75) ** p),
}


class Window(NamedTuple):
    """Name a window and its two numbers: p the exponent, j the height."""

    name: str
    p: float
    j: float


@cache
def with_window(name: str, p: float = 1, j: float = 1) -> Device:
    """Return the device with the window of that name: p > 0 its exponent, j > 0 its height (prodromakis and zha only).

    The same arguments give the same Device, so nothing is traced twice.  "none" is the device itself.
    Raises ValueError on an unknown name, p <= 0, j <= 0, or a j that the window does not have.
    """
    if name not in WINDOWS:
        raise ValueError(f"window {name!r}: accepted are {', '.join(map(repr, WINDOWS))}")
    if not (p > 0 and j > 0):
        raise ValueError(f"window {name!r} with p = {p}, j = {j}: accepted are p > 0 and j > 0")
    if j != 1 and name not in ("prodromakis", "zha"):
        raise ValueError(f"window {name!r} with j = {j}: it has no height, accepted is 1")
    if WINDOWS[name] is None:
        return DEVICE
    windowed_rate = partial(_windowed_rate, Window(name, p, j))

    def windowed_step(params, state, v, dt, key):
        return advance("rk4", windowed_rate, bounds, params, state, v, dt)

    return DEVICE._replace(name=f"linear_ion_drift+{name}", step=windowed_step, rate=windowed_rate)


def window_of(device: Device) -> Window | None:
    """Return the window that `with_window` gave a device, or None where it has none."""
    return device.rate.args[0] if isinstance(device.rate, partial) and device.rate.func is _windowed_rate else None


def _windowed_rate(window, params, state, v):
    ahead = jnp.where(jnp.asarray(v) > 0, jnp.zeros_like(state.x), jnp.ones_like(state.x))  # i has the sign of v
    return State(x=rate(params, state, v).x * WINDOWS[window.name](state.x, ahead, window.p, window.j))
