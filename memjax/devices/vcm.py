"""Valence-change memory (VCM): a filament whose tip leaves a gap, after the Stanford-PKU RRAM model.

    dgap/dt = -nu0 exp(-q Ea / (k T)) sinh(gamma (a0 / l) q V / (k T)),   gamma = gamma0 - beta (gap / 1 nm)^3
    no motion where the local field gamma |V| / l is below f_min
    T = T0 + r_th |V I|        I = I0 exp(-gap / g0) sinh(V / V0)        x = (gap_max - gap) / (gap_max - gap_min)
SET (V > 0) is abrupt: a smaller gap lets more current heat it and sees a larger field.  RESET (V < 0) is gradual: the
rate falls as the gap opens.  A pristine device has a larger gap, hence a smaller gamma, and needs a higher voltage
(forming): set `gap_max` to its gap and `gap` anywhere below it.  Limit the SET current, as a cell's transistor does
(`simulate(..., r_series=...)`): the bare device takes 90 mA at 1.5 V.

Step: at constant V the rate is close to an exponential of the gap, and for f = f_0 exp(sigma (gap - gap_0)) the flow
    gap(t) = gap_0 - ln(1 - sigma f_0 t) / sigma
is exact.  A step takes 8 such substeps, with sigma from the derivative of the rate: order 2, and stable for any dt
(a blow-up of the SET ends at gap_min; the RESET follows its logarithm of time).
C2C noise: the tip moves ion by ion, and the fewer ions carry the current the further each moves it, so a path |d gap|
adds the variance hop |d gap| exp((gap - gap_min) / g0), which the motion then carries along (in a RESET the tip that is
behind catches up): drawn in every substep where a key is given, so that a pulse may be cut into steps or not.  The
spread of ln R grows with R, as it does in devices (Ambrogio et al., IEEE T. Electron Dev. 61, 2912 (2014)).
Source: Stanford University RRAM model, Verilog-A 1.0.0 (Jiang, Wong, DOI 10.4231/D37H1DN48) and its parameters; Jiang
et al., SISPAD 2014; Guan, Yu, Wong, IEEE Electron Dev. Lett. 33, 1405 (2012).  The noise replaces the
model's own, which depends on the time step.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from memjax import noise
from memjax.devices._phi import phi1
from memjax.devices.base import Device, Leaf, clip, fill, require

KELVIN_PER_VOLT = 11604.518  # q / k
SUBSTEPS = 8


@struct.dataclass
class Params:
    gap_min: Leaf = 0.2e-9  # m
    gap_max: Leaf = 1.7e-9  # m
    i0: Leaf = 1e-3  # A
    g0: Leaf = 0.25e-9  # m
    v0: Leaf = 0.25  # V
    nu0: Leaf = 10.0  # m/s, attempt velocity
    e_a: Leaf = 0.6  # eV, activation energy
    gamma0: Leaf = 16.0  # 1, field enhancement of a closed gap
    beta: Leaf = 0.8  # 1, its loss at a gap of 1 nm
    a0: Leaf = 0.25e-9  # m, hopping distance
    l: Leaf = 12e-9  # m, thickness of the oxide  # noqa: E741
    f_min: Leaf = 1.4e9  # V/m, field below which nothing moves
    t0: Leaf = 298.0  # K, ambient
    r_th: Leaf = 2.1e3  # K/W
    hop: Leaf = 0.0  # m, C2C: variance of the gap per length of its path, at gap_min


@struct.dataclass
class State:
    gap: Leaf  # m


def init(params, x):
    return State(gap=params.gap_max - (params.gap_max - params.gap_min) * fill(params, x))


def current(params, state, v):
    return params.i0 * jnp.exp(-state.gap / params.g0) * jnp.sinh(v / params.v0)


def temperature(params, state, v):
    """Return the local temperature T = T0 + r_th |V I| [K], of the state's shape; v in V."""
    return params.t0 + params.r_th * jnp.abs(v * current(params, state, v))


def rate(params, state, v):
    volts = temperature(params, state, v) / KELVIN_PER_VOLT  # kT / q
    gamma = jnp.maximum(params.gamma0 - params.beta * (state.gap / 1e-9) ** 3, 0.0)
    drive, barrier = gamma * params.a0 / params.l * v / volts, params.e_a / volts
    # sinh and exp joined, or 10 V would overflow float32 on the way to a rate that does not.
    forth, back = (jnp.exp(jnp.minimum(sign * drive - barrier, 80.0)) for sign in (1, -1))
    moves = gamma * jnp.abs(v) / params.l >= params.f_min
    return State(gap=jnp.where(moves, -params.nu0 / 2 * (forth - back), 0.0))


def _reach(params, v):
    """Return the gap [m] at which the local field has fallen to f_min: a RESET stops there."""
    volts = jnp.maximum(jnp.abs(v), 1e-6)  # at rest nothing moves anyway
    loss = jnp.maximum(params.gamma0 - params.f_min * params.l / volts, 1e-9)  # the root has no slope at 0
    return 1e-9 * jnp.cbrt(loss / jnp.maximum(params.beta, 1e-9))


def _advance(params, gap, v, dt):
    """Follow the exponential through rate and slope at the gap for dt, up to the bounds: return gap, rate and slope."""
    f, slope = jax.jvp(lambda g: rate(params, State(gap=g), v).gap, (gap,), (jnp.ones_like(gap),))
    z = slope * dt
    small, ends = jnp.abs(z) < 1e-4, z < 0.999
    safe = jnp.where(small | ~ends, -1.0, z)
    stretch = jnp.where(small, 1 + z / 2 + z**2 / 3, -jnp.log1p(-safe) / safe)
    top = clip(_reach(params, v), gap, params.gap_max)
    bound = jnp.where(f > 0, top, params.gap_min)
    return jnp.where(ends, clip(gap + f * dt * stretch, params.gap_min, top), bound), f, slope


def _hop(params, before, gap, f, slope, key):
    """Add the noise of the path from before to gap: the integral of hop exp((g - gap_min) / g0) exp(2 sigma (gap - g)).

    sigma = slope / f is how two tips approach each other in a RESET. How they part in a SET the next substeps follow.
    """
    path, moved = gap - before, f != 0
    closing = jnp.minimum(2 * jnp.where(moved, slope / jnp.where(moved, f, 1.0), 0.0) * path, 0.0)
    z = closing - path / params.g0
    size = jnp.exp((gap - params.gap_min) / params.g0 + jnp.maximum(z, 0.0)) * phi1(jnp.abs(z))
    variance = params.hop * jnp.abs(path) * size
    # The root has no slope at 0: where nothing moved there is no noise, and no gradient.
    sd = jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1.0)), 0.0)
    return clip(gap + sd * noise.normal(key, gap.shape, gap.dtype), params.gap_min, params.gap_max)


def step(params, state, v, dt, key):
    start = state.gap + jnp.zeros_like(v * state.gap)

    def follow(key):
        def substep(before, k):
            gap, f, slope = _advance(params, before, v, dt / SUBSTEPS)
            return gap if key is None else _hop(params, before, gap, f, slope, noise.fold_in(key, k)), None

        return lax.scan(substep, start, jnp.arange(SUBSTEPS))[0]

    if key is None:
        return State(gap=follow(None))
    # Most arrays pass a key, and few devices hop: eight draws would take half of the step's time.
    return State(gap=lax.cond(jnp.any(jnp.asarray(params.hop) > 0), lambda: follow(key), lambda: follow(None)))


def bounds(params):
    return State(gap=params.gap_min), State(gap=params.gap_max)


def check(params):
    require(params, "gap_min", lambda p: p.gap_min >= 0, "0 m or more")
    require(params, "gap_max", lambda p: p.gap_max > p.gap_min, "more than gap_min")
    lengths = {"g0": "m", "a0": "m", "l": "m"}
    for field, unit in {**lengths, "i0": "A", "v0": "V", "nu0": "m/s", "e_a": "eV", "gamma0": "", "t0": "K"}.items():
        require(params, field, lambda p, f=field: getattr(p, f) > 0, f"more than 0 {unit}".strip())
    for field, unit in {"beta": "", "f_min": "V/m", "r_th": "K/W", "hop": "m"}.items():
        require(params, field, lambda p, f=field: getattr(p, f) >= 0, f"0 {unit}".strip() + " or more")


DEVICE = Device("vcm", Params, init, current, step, rate=rate, bounds=bounds, check=check)
