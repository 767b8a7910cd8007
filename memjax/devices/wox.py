"""WOx: a volatile tungsten-oxide memristor, whose conducting area grows with voltage and shrinks by diffusion.

    dw/dt = lam (eta1 sinh(eta2 v) - w / tau)                                           w in [0, 1]
    i = (1 - w) alpha (1 - exp(-beta v)) + w gamma sinh(delta v)       Schottky and tunnelling paths in parallel
A linear equation in w at constant voltage, so a step is exact for any dt:
    w' = clip(w_inf + (w - w_inf) exp(-lam dt / tau), 0, 1),    w_inf = eta1 tau sinh(eta2 v)
lam multiplies the decay too: at rest w fades with the time constant tau / lam = 2.22 s, not tau = 10 s.
Time scale: at 1 V w settles at 1.09, past the bound, in that 2.22 s; at 1.5 V from 0 to 1 in .3 s.
`characteristic_frequency`: .5 Hz at 1 V, 6.8 Hz at 1.5 V.
Source: Chang, Jo, Kim, Sheridan, Gaba and Lu, Appl. Phys. A 102, 857 (2011); its volatility, Chang, Jo and Lu, ACS Nano
5, 7669 (2011), doi:10.1021/nn202983n.  The numbers are those of the circulating SPICE deck, with the decay on.
"""

import jax.numpy as jnp
from flax import struct

from memjax.devices.base import Chart, Device, Leaf, clip, fill, require


@struct.dataclass
class Params:
    lam: Leaf = 4.5  # 1, speed of growth and decay together
    eta1: Leaf = 0.004  # 1/s
    eta2: Leaf = 4.0  # 1/V
    tau: Leaf = 10.0  # s, decay before lam: the time constant is tau / lam
    alpha: Leaf = 0.5e-6  # A, Schottky path
    beta: Leaf = 0.5  # 1/V
    gamma: Leaf = 4e-6  # A, tunnelling path
    delta: Leaf = 2.0  # 1/V


@struct.dataclass
class State:
    w: Leaf  # 1, share of the area that conducts by tunnelling


def init(params, x):
    return State(w=fill(params, x))


def current(params, state, v):
    schottky = -params.alpha * jnp.expm1(-params.beta * v)
    return (1 - state.w) * schottky + state.w * params.gamma * jnp.sinh(params.delta * v)


def rate(params, state, v):
    return State(w=params.lam * (params.eta1 * jnp.sinh(params.eta2 * v) - state.w / params.tau))


def _drive(params, v, dt):
    """Return where w settles at v, and the share of the way there that dt takes."""
    return params.eta1 * params.tau * jnp.sinh(params.eta2 * v), -jnp.expm1(-params.lam * dt / params.tau)


def _advance(params, state, drive):
    settled, share = drive
    return State(w=clip(state.w + (settled - state.w) * share, 0.0, 1.0))


def step(params, state, v, dt, key):
    return _advance(params, state, _drive(params, v, dt))


def relax(params, state, dt):
    return State(w=state.w * jnp.exp(-params.lam * dt / params.tau))


def bounds(params):
    return State(w=0.0), State(w=1.0)


def check(params):
    require(params, "lam", lambda p: p.lam > 0, "more than 0")
    require(params, "eta1", lambda p: p.eta1 > 0, "more than 0 1/s")
    require(params, "eta2", lambda p: p.eta2 > 0, "more than 0 1/V")
    require(params, "tau", lambda p: p.tau > 0, "more than 0 s")
    require(params, "alpha", lambda p: p.alpha > 0, "more than 0 A")
    require(params, "beta", lambda p: p.beta > 0, "more than 0 1/V")
    require(params, "gamma", lambda p: p.gamma > 0, "more than 0 A")
    # Otherwise w = 1 would be the low-conductance end near 0 V.
    require(params, "delta", lambda p: p.gamma * p.delta > p.alpha * p.beta, "more than alpha beta / gamma, in 1/V")


DEVICE = Device(
    "wox",
    Params,
    init,
    current,
    step,
    rate=rate,
    relax=relax,
    volatile=True,
    bounds=bounds,
    check=check,
    chart=Chart(step, _drive, _advance),
)
