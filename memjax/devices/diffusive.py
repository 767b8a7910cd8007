"""Diffusive memristor: volatile threshold switching; a filament grows under a voltage of either sign and dissolves.

fil, res: shares of the filament, fresh and residual; tot = fil + res is at most 1, a bridge:
    d fil/dt = speed [mu |V| / (alpha + 1 - tot) - (g1 + beta) fil]        d res/dt = speed [beta fil - g2 res]
    R = r_on^tot r_off^(1 - tot)        i = V / R                          growth only replaces what is lost at tot = 1
Growth feeds on itself (threshold voltage, delay), and a complete bridge is held by the little that is lost (hold
voltage).  Where fil and res balance and the sweep is slow, with kappa = (g1 + beta) g2 / (mu (beta + g2)):
    V_th = kappa (1 + alpha)^2 / 4        V_hold = kappa alpha
A bridge just made is all fil, and its hold voltage is higher, alpha g1 / mu: so it lets go at a voltage that holds an
older one.
Step: Strang splitting of two exact flows, growth at constant res, where (alpha + 1 - tot)^2 falls linearly, and the
linear decay: order 2, stable for any dt, and exact at 0 V.  Near the hold voltage dt must stay below alpha / g1, or the
loss within a step is no longer small beside alpha, and the hold voltage comes out too high.
C2C noise: the growth of a step has mean mu |V| speed dt and sd sigma mu |V| sqrt(speed dt), so that statistics do not
depend on dt; drawn where a key is given.
Source: the rate equations are those of a model in public use.  Its parameters (`published`) contradict measured
devices (experiments/diffusive), and its R, linear in r_on tot + r_off (exp((1 - tot) / lam) - 1), jumps by decades at
tot = 1; a tunnel gap, R exponential in 1 - tot, is ours, and so are the other sets, `speed`, and the noise.
`PARAMETER_SETS` and `SPREADS` (D2D, lognormal, relative) were fitted to sweeps and pulses of measured devices.
"""

import jax.numpy as jnp
from flax import struct

from memjax import noise
from memjax.devices._phi import phi1
from memjax.devices.base import Device, Leaf, clip, fill, require


@struct.dataclass
class Params:
    r_on: Leaf = 1.7e5  # ohm
    r_off: Leaf = 1e11  # ohm
    mu: Leaf = 486.0  # 1/(V s), growth
    g1: Leaf = 1222.0  # 1/s, loss of fil
    g2: Leaf = 93.0  # 1/s, loss of res
    beta: Leaf = 381.0  # 1/s, from fil to res
    alpha: Leaf = 0.0768  # 1, what is left of the gap to feed growth at tot = 1
    speed: Leaf = 1.0  # 1, of all rates
    sigma: Leaf = 0.0  # s^(1/2), C2C


# One set meets sweeps and pulses both, at the ramp rate and with the protocol of the study.
PARAMETER_SETS = {
    "published": {"mu": 60.0, "g1": 60.0, "g2": 40.0, "beta": 40.0, "alpha": 0.01},
    "symmetric": {"mu": 486.0, "g1": 1222.0, "g2": 93.0, "beta": 381.0, "alpha": 0.0768, "sigma": 2.3e-3},
    "asymmetric": {"mu": 973.0, "g1": 1300.0, "g2": 75.0, "beta": 370.0, "alpha": 0.0465, "sigma": 2.3e-3},
}
SPREADS = {
    "published": {},
    "symmetric": {"mu": 0.0294, "alpha": 0.79, "speed": 0.135},
    "asymmetric": {"mu": 0.0336, "alpha": 0.301},
}


@struct.dataclass
class State:
    fil: Leaf  # 1, fresh filament
    res: Leaf  # 1, residual filament


def init(params, x):
    fil = fill(params, x)
    return State(fil=fil, res=jnp.zeros_like(fil))


def current(params, state, v):
    return v / params.r_off * jnp.exp((state.fil + state.res) * jnp.log(params.r_off / params.r_on))


def rate(params, state, v):
    fil, res = state.fil, state.res
    growth = params.mu * jnp.abs(v) / (params.alpha + jnp.maximum(1 - fil - res, 0.0))
    lost = params.g1 * fil + params.g2 * res
    growth = jnp.where(fil + res >= 1, jnp.minimum(growth, lost), growth)
    return State(
        fil=params.speed * (growth - (params.g1 + params.beta) * fil),
        res=params.speed * (params.beta * fil - params.g2 * res),
    )


def relax(params, state, dt):
    t, decay = params.speed * dt, params.g1 + params.beta
    slow = jnp.minimum(decay, params.g2)
    arrived = params.beta * state.fil * t * jnp.exp(-slow * t) * phi1(jnp.abs(decay - params.g2) * t)
    return State(fil=state.fil * jnp.exp(-decay * t), res=state.res * jnp.exp(-params.g2 * t) + arrived)


def _grow(params, state, charge):
    """Follow the growth through charge = integral of speed mu |V| dt, up to tot = 1."""
    gap = params.alpha + 1 - state.res - state.fil
    gain = jnp.minimum(2 * charge, gap**2 - params.alpha**2)
    # Rounding may leave nothing of a small alpha^2, and a root has no slope at 0.
    left = jnp.maximum(gap**2 - gain, jnp.finfo(jnp.result_type(gap)).tiny)
    fil = state.fil + gain / (gap + jnp.sqrt(left))
    return State(fil=clip(fil, 0.0, 1 - state.res), res=state.res + jnp.zeros_like(fil))


def step(params, state, v, dt, key):
    time = params.speed * dt
    if key is not None:
        shape = (state.fil * v).shape
        xi = noise.normal(key, shape, state.fil.dtype)
        some = time > 0
        time = time + params.sigma * jnp.where(some, jnp.sqrt(jnp.where(some, time, 1.0)), 0.0) * xi
    charge = params.mu * jnp.abs(v) * time / 2
    return _grow(params, relax(params, _grow(params, state, charge), dt), charge)


def bounds(params):
    return State(fil=0.0, res=0.0), State(fil=1.0, res=1.0)


def check(params):
    require(params, "r_on", lambda p: p.r_on > 0, "more than 0 ohm")
    require(params, "r_off", lambda p: p.r_off > p.r_on, "more than r_on")
    for field, unit in {"mu": "1/(V s)", "g1": "1/s", "g2": "1/s", "alpha": "", "speed": ""}.items():
        require(params, field, lambda p, f=field: getattr(p, f) > 0, f"more than 0 {unit}".strip())
    for field, unit in {"beta": "1/s", "sigma": "s^(1/2)"}.items():
        require(params, field, lambda p, f=field: getattr(p, f) >= 0, f"0 {unit} or more")


DEVICE = Device(
    "diffusive",
    Params,
    init,
    current,
    step,
    rate=rate,
    relax=relax,
    switching="unipolar",
    volatile=True,
    bounds=bounds,
    check=check,
)
