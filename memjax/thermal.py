"""Temperature of an array from the power its devices dissipate: a network of thermal resistances and capacitances.

    C dT_ij/dt = P_ij - (T_ij - T_a) / R + G sum over the (up to four) neighbours n of (T_n - T_ij)

for every cell of a grid [rows, cols], with no heat through its edges. The rise T - T_a is a sum of cosines (the type II
DCT), each of which decays alone, so a step of any length at constant power is exact:

    rise_kl(t + dt) = rise_kl e^-a dt + (1 - e^-a dt) P_kl / (a C),   a_kl = (1 / R + G (l_k + l_l)) / C,
    l_k = 2 - 2 cos(pi k / rows)                 and the like for columns

The mean rise of the grid is the mean power times R in the end, whatever G is. Without neighbours (G = 0) a cell is the
single RC element, rise = P R (1 - e^-t/RC). A column of heat spreads over sqrt(R G) cells.

What temperature does: `devices.with_temperature` lets time run by Arrhenius's law (retention, decay, drift) and scales
the conductance; `lifetime` is that law for a stated time. Source of the law: Arrhenius, Z. Phys. Chem. 4, 226 (1889);
of heat between the cells of a crossbar: Sun et al., Sci. Rep. 5, 13504 (2015), doi:10.1038/srep13504.
"""

from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import Array
from jax.scipy import fft

from memjax.devices import arrhenius
from memjax.devices.base import require

ZERO_CELSIUS = 273.15  # K


@struct.dataclass
class Params:
    """A cell's thermal element, the same for all; the defaults are of the order of a 50 nm filament's surroundings."""

    r_th: Any = 1e6  # K/W, to the ambient
    c_th: Any = 1e-15  # J/K
    g_side: Any = 0.0  # W/K, to each neighbour
    ambient: Any = 300.0  # K


def check(params: Params) -> None:
    """Raise ValueError unless resistance, capacitance and ambient are positive and the coupling is not negative."""
    require(params, "r_th", lambda p: p.r_th > 0, "more than 0 K/W")
    require(params, "c_th", lambda p: p.c_th > 0, "more than 0 J/K")
    require(params, "g_side", lambda p: p.g_side >= 0, "0 W/K or more")
    require(params, "ambient", lambda p: p.ambient > 0, "more than 0 K")


def init(params: Params, shape: tuple[int, ...]) -> Array:
    """Return the temperature [..., rows, cols] [K] of a cold array: the ambient's."""
    return jnp.full(shape, params.ambient, jnp.result_type(float))


def step(params: Params, temperature: Array, power: Array, dt: Any) -> Array:
    """Return the temperature [..., rows, cols] [K] after dt [s] at constant power [..., rows, cols] [W]; exact.

    Leading axes are grids of their own. dt is a scalar. Raises ValueError where the two have different grids.
    """
    rate, end = _modes(params, power, temperature)
    rise = fft.dctn(temperature - params.ambient, axes=(-2, -1), norm="ortho")
    # Written as a decay towards the end, which loses nothing where rate dt is small.
    rise = rise + (end - rise) * -jnp.expm1(-rate * dt)
    return params.ambient + fft.idctn(rise, axes=(-2, -1), norm="ortho")


def steady(params: Params, power: Array) -> Array:
    """Return the temperature [..., rows, cols] [K] that constant power [..., rows, cols] [W] ends at."""
    _, end = _modes(params, power, power)
    return params.ambient + fft.idctn(end, axes=(-2, -1), norm="ortho")


def time_constant(params: Params) -> Any:
    """Return the slowest time constant R C [s]: that of the mean, and of a cell without neighbours."""
    return params.r_th * params.c_th


def lifetime(time: Any, e_a: Any, temperature: Any, reference: Any) -> Array:
    """Return how long at `temperature` [K] does what `time` [s] at `reference` [K] does, at activation energy e_a [eV].

    time / arrhenius(e_a, T, T0): ten years at 85 degrees Celsius from a bake at 250, say.
    """
    return time / arrhenius(e_a, temperature, reference)


def _modes(params: Params, power: Array, temperature: Array) -> tuple[Array, Array]:
    """Return the rate [rows, cols] [1/s] and the final rise [..., rows, cols] [K] of every cosine."""
    if power.ndim < 2 or power.shape != temperature.shape:
        raise ValueError(
            f"thermal: power of shape {power.shape} and temperature of shape {temperature.shape}: accepted is one "
            "grid, [..., rows, cols], for both"
        )
    down, across = (2 - 2 * jnp.cos(jnp.pi * jnp.arange(n, dtype=power.dtype) / n) for n in power.shape[-2:])
    loss = 1 / params.r_th + params.g_side * (down[:, None] + across[None, :])  # W/K
    loss = loss.reshape((1,) * (power.ndim - 2) + loss.shape)
    return loss / params.c_th, fft.dctn(power, axes=(-2, -1), norm="ortho") / loss
