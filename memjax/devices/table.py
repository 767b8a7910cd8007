"""Table: a measured pulse response, up and down, interpolated.

One pulse of signed scale s = v / v_write, on the normalised conductance x in [0, 1]:
    v > 0:  x += s up(x) + |s| sigma_up(x) xi        v < 0:  x += s down(x) + |s| sigma_down(x) xi  (s < 0)
    v = 0:  nothing moves        then clip to [0, 1]        i = (g_min + (g_max - g_min) x) v
up and down are the mean steps, as fractions of the range, at K equally spaced states from x = 0 to 1, and piecewise
linear in between; sigma_up and sigma_down are the standard deviation of a step there (C2C, as a fraction of the range),
with xi ~ N(0, 1) drawn where a key is given.  `from_ramps` makes them from measured ramps.
The default is the mean response of 39 SET and 40 RESET ramps (1.606 to 2.485 mS) that ship with CrossSim (Sandia
National Laboratories, BSD-3-Clause, examples/lookup_table_generation; the device is not named there), without noise.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.core import Tracer

from memjax import noise
from memjax.devices._pulsed import State, bounds, current, init
from memjax.devices.base import Device, Leaf, accept, clip, require

Table = tuple[Leaf, ...]
TABLES = ("up", "down", "sigma_up", "sigma_down")


@struct.dataclass
class Params:
    """A state of the grid is an entry of each table, so that each leaf is a scalar or has the state's rank."""

    g_min: Leaf = 1.606e-3  # S
    g_max: Leaf = 2.485e-3  # S
    v_write: Leaf = 1.0  # V
    up: Table = (0.00133, 0.00326, 0.0043, 0.00535, 0.00577, 0.00643, 0.00694, 0.00787, 0.00899)  # fraction of range
    down: Table = (0.00615, 0.00599, 0.00588, 0.0062, 0.00656, 0.00678, 0.00704, 0.00707, 0.00351)  # fraction of range
    sigma_up: Table = (0.0,) * 9  # C2C, fraction of the range
    sigma_down: Table = (0.0,) * 9  # C2C, fraction of the range


def _interpolate(up, low, high, x):
    """Read the table `low` where not up, and `high` where up, at x."""
    position = x * (len(high) - 1)
    entries = enumerate(zip(low, high, strict=True))
    return sum(jnp.where(up, b, a) * jnp.maximum(1 - jnp.abs(position - k), 0.0) for k, (a, b) in entries)


def step(params, state, v, dt, key):
    x, scale = state.x, v / params.v_write
    up = jnp.asarray(v) > 0
    move = scale * _interpolate(up, params.down, params.up, x)
    if key is not None:
        sigma = _interpolate(up, params.sigma_down, params.sigma_up, x)
        move = move + jnp.abs(scale) * sigma * noise.normal(key, move.shape, move.dtype)
    return State(x=clip(x + move, 0.0, 1.0))


def check(params):
    require(params, "g_min", lambda p: p.g_min >= 0, "0 S or more")
    require(params, "g_max", lambda p: p.g_max > p.g_min, "more than g_min")
    require(params, "v_write", lambda p: p.v_write > 0, "more than 0 V")
    for field in TABLES:
        table = getattr(params, field)
        if not isinstance(table, tuple) or len(table) < 2 or len(table) != len(params.up):
            raise ValueError(f"{field} = {table}: accepted is a tuple of 2 entries or more, as many in each table")
        for k, entry in enumerate(table):
            if not isinstance(entry, Tracer):
                ok = (np.asarray(entry) >= 0) & np.isfinite(entry)
                accept(f"{field}[{k}]", entry, ok, "0 or more, a fraction of the range")


def from_ramps(
    up: Sequence, down: Sequence, *, entries: int = 9, sigma: bool = True, g_range: tuple[float, float] | None = None
) -> Params:
    """Build Params from measured ramps: conductances [S] after each pulse, rising in `up`, falling in `down`.

    up, down: arrays [ramps, pulses], or lists of ramps of any length; NaN marks missing pulses.  entries: the K of the
    tables.  g_range (g_min, g_max) defaults to the data's.  The mean step is the piecewise linear function of the state
    before the pulse that fits best; where there is no data it goes on straight.  sigma=True fills the sigma tables with
    the sd around it, read noise included; False leaves them 0.
    Raises ValueError on ramps of less than 2 pulses, conductances that are not positive, an empty range, or steps that
    go against their ramp everywhere.
    """
    if entries < 2:
        raise ValueError(f"entries = {entries}: accepted is 2 or more")
    ramps = {"up": _clean("up", up), "down": _clean("down", down)}
    every = np.concatenate([*ramps["up"], *ramps["down"]])
    g_min, g_max = (float(every.min()), float(every.max())) if g_range is None else g_range
    if not 0 <= g_min < g_max:
        raise ValueError(f"g_range = {g_min, g_max}: accepted is 0 S <= g_min < g_max")
    tables = {}
    for field, sign in (("up", 1), ("down", -1)):
        x = np.concatenate([r[:-1] for r in ramps[field]])
        move = sign * np.concatenate([np.diff(r) for r in ramps[field]]) / (g_max - g_min)
        mean, sd = _fit((x - g_min) / (g_max - g_min), move, entries)
        if not (mean > 0).any():
            raise ValueError(f"{field}: the mean step goes against the ramp; accepted are ramps that go {field}")
        tables[field] = tuple(np.maximum(mean, 0.0).tolist())
        tables[f"sigma_{field}"] = tuple(sd.tolist()) if sigma else (0.0,) * entries
    return Params(g_min=g_min, g_max=g_max, **tables)


def _clean(name: str, ramps: Sequence) -> list[np.ndarray]:
    rows = [np.asarray(ramp, dtype=float) for ramp in ramps]
    rows = [row[~np.isnan(row)] for row in rows]
    for k, row in enumerate(rows):
        if row.ndim != 1 or row.size < 2 or not (np.isfinite(row) & (row > 0)).all():
            raise ValueError(f"{name}[{k}]: accepted is a ramp of 2 conductances or more, each more than 0 S")
    if not rows:
        raise ValueError(f"{name} is empty: accepted is 1 ramp or more")
    return rows


def _fit(x: np.ndarray, move: np.ndarray, entries: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit mean and standard deviation of move (x) at equally spaced states."""
    hats = np.maximum(0.0, 1 - np.abs(x[:, None] * (entries - 1) - np.arange(entries)))
    # A faint wish for straightness decides where no data does, and leaves straight data as they are.
    bends = np.diff(np.eye(entries), 2, axis=0)
    mean = np.linalg.lstsq(np.vstack([hats, 1e-3 * bends]), np.append(move, np.zeros(len(bends))), rcond=None)[0]
    weight = hats.sum(axis=0)
    square = hats.T @ (move - hats @ mean) ** 2
    return mean, np.sqrt(np.divide(square, weight, out=np.zeros(entries), where=weight > 0))


DEVICE = Device("table", Params, init, current, step, switching="programmed", bounds=bounds, check=check)
