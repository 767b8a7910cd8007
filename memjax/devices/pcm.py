"""Phase-change memory (PCM): programming noise, drift and read noise as measured on a million devices.

The state is the programmed conductance g [S], the deviate z of the device's drift exponent and the time t since
programming; with u = g / g_max, g_max = 25 uS:
    drift        G(t) = g ((t + t0) / t0)^-nu,  nu = nu_scale |m(u) + s(u) z|,  z ~ N(0, 1)
                 m = clip(-.0155 ln u + .0244, .049, .1),   s = clip(-.0125 ln u - .0059, .008, .045)
    programming  sd = prog_scale (.26348 + 1.9650 u - 1.1731 u^2) uS x g_max / 25 uS             drawn by `program`
    read         sd = read_scale G q sqrt(ln((t + t_read) / (2 t_read))),  q = min(.0088 u^-.65, .2)   `read_noise_sd`
    i = G(t) v
A run draws neither noise nor z: they belong to program-and-verify and to the reading circuit, which a device does not
see.  So prog_scale acts in `program` alone, which gives the state of devices fresh from the programmer, and read_scale
in `read_noise_sd` alone; an array starts from `init`, and has noise where the state is put in its place, for example
dataclasses.replace(xbar, state=pcm.program(xbar.params, x, key), net=None), x of the shape of xbar.state.g.
At rest t grows by dt, so relaxation is exact and adds up for any dt.  `init` is the noiseless, mean device (z = 0).
A pulse of scale s = |v| / v_write starts from the drifted conductance and programs it anew, with the z it has:
    v > 0, crystallises:  g = G + min(s step_up, 1) (g_max - G)
    v < 0, melts:         g = G - min(s step_down, 1) (G - g_min)
It comes at the start of its step: t = dt after it.  The scale of a pulse is ours (accumulation is gradual in some 20
pulses, melting is not); its C2C noise is that of `with_c2c_noise`.  The three scales switch their effect off at 0.
Source: Nandakumar et al., ICECS 2019 (DOI 10.1109/ICECS46596.2019.8964852); Joshi et al., Nat. Commun. 11, 2473 (2020).
"""

import jax
import jax.numpy as jnp
from flax import struct

from memjax import noise
from memjax.devices.base import Device, Leaf, clip, fill, require


@struct.dataclass
class Params:
    g_min: Leaf = 1e-7  # S
    g_max: Leaf = 25e-6  # S
    step_up: Leaf = 0.05  # fraction of the distance to g_max a pulse
    step_down: Leaf = 0.5  # fraction of the distance to g_min a pulse
    v_write: Leaf = 1.0  # V
    t0: Leaf = 20.0  # s, of the drift
    t_read: Leaf = 250e-9  # s, width of a read pulse
    nu_scale: Leaf = 1.0  # of the drift exponent
    prog_scale: Leaf = 1.0  # of `program` alone: sd of its noise relative to the published one
    read_scale: Leaf = 1.0  # of `read_noise_sd` alone: relative to the published one


@struct.dataclass
class State:
    g: Leaf  # S, as programmed
    z: Leaf  # 1, deviate of the drift exponent, in sd
    t: Leaf  # s, since programming


def init(params, x):
    g = params.g_min + (params.g_max - params.g_min) * fill(params, x)
    g = clip(g, params.g_min, params.g_max)  # rounding may leave the range at x = 1
    return State(g=g, z=jnp.zeros_like(g), t=jnp.zeros_like(g))


def _relative(params, g):
    return jnp.maximum(g / params.g_max, 1e-3)  # below it every fit sits at its clip; keeps ln finite


def drift_exponent(params, state):
    """Return nu = nu_scale |m(u) + s(u) z| [...], of the state's shape."""
    log_u = jnp.log(_relative(params, state.g))
    mean = jnp.clip(-0.0155 * log_u + 0.0244, 0.049, 0.1)
    spread = jnp.clip(-0.0125 * log_u - 0.0059, 0.008, 0.045)
    return params.nu_scale * jnp.abs(mean + spread * state.z)


def _drifted(params, state):
    return state.g * jnp.exp(-drift_exponent(params, state) * jnp.log1p(state.t / params.t0))


def current(params, state, v):
    return _drifted(params, state) * v


def program(params: Params, x, key: jax.Array) -> State:
    """Program to x in [0, 1] by program-and-verify: g = target + programming noise (clipped to the range), z drawn.

    x [...]: normalised target conductance.  Raises ValueError where x is outside [0, 1].
    """
    target = init(params, x)
    u = jnp.asarray(target.g / params.g_max)
    sd = params.prog_scale * (0.26348 + 1.9650 * u - 1.1731 * u**2) * params.g_max / 25.0
    g = target.g + sd * noise.normal(noise.fold_in(key, "programming"), u.shape, u.dtype)
    z = noise.normal(noise.fold_in(key, "drift exponent"), u.shape, u.dtype)
    return State(g=clip(g, params.g_min, params.g_max), z=z, t=target.t)


def read_noise_sd(params: Params, state: State, v: Leaf = 0.1) -> jax.Array:
    """Return the standard deviation of the read current [A] at v [V]; zero for a read that ends before t = t_read."""
    q = jnp.minimum(0.0088 * _relative(params, state.g) ** -0.65, 0.2)
    ratio = (state.t + params.t_read) / (2 * params.t_read)
    late = ratio > 1
    spectrum = jnp.where(late, jnp.sqrt(jnp.log(jnp.where(late, ratio, 2.0))), 0.0)
    return params.read_scale * jnp.abs(current(params, state, v)) * q * spectrum


def relax(params, state, dt):
    return state.replace(t=state.t + dt)


def start(params, state):
    """Return the state that a write moves: the drifted conductance."""
    return state.replace(g=_drifted(params, state))


def step(params, state, v, dt, key):
    v, now = jnp.asarray(v), _drifted(params, state)
    scale = jnp.abs(v) / params.v_write
    up = now + jnp.minimum(scale * params.step_up, 1.0) * (params.g_max - now)
    down = now - jnp.minimum(scale * params.step_down, 1.0) * (now - params.g_min)
    # A device that drifted below g_min stays where it is when it is melted.
    written = jnp.where(v > 0, up, jnp.minimum(down, now))
    return State(
        g=jnp.where(v == 0, state.g, clip(written, params.g_min, params.g_max)),
        z=state.z + jnp.zeros_like(now),
        t=jnp.where(v == 0, state.t, 0.0) + dt,
    )


def bounds(params):
    # z and t are records: no limits, and no C2C noise.
    free = -float("inf"), float("inf")
    return State(params.g_min, free[0], free[0]), State(params.g_max, free[1], free[1])


def check(params):
    require(params, "g_min", lambda p: p.g_min > 0, "more than 0 S")
    require(params, "g_max", lambda p: p.g_max > p.g_min, "more than g_min")
    for field in ("step_up", "step_down"):
        require(params, field, lambda p, f=field: (getattr(p, f) >= 0) & (getattr(p, f) <= 1), "0 to 1")
    for field, unit in {"v_write": "V", "t0": "s", "t_read": "s"}.items():
        require(params, field, lambda p, f=field: getattr(p, f) > 0, f"more than 0 {unit}")
    for field in ("nu_scale", "prog_scale", "read_scale"):
        require(params, field, lambda p, f=field: getattr(p, f) >= 0, "0 (off) or more")


DEVICE = Device(
    "pcm",
    Params,
    init,
    current,
    step,
    relax=relax,
    switching="programmed",
    volatile=True,
    bounds=bounds,
    check=check,
    start=start,
)
