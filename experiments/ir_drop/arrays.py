"""Linear arrays: loss and error of the output currents, share of power in the wires, against one dimensionless group.

To first order in the resistance, an array of equal cells g loses the share

    s = g (r_word L(n) + r_bit L(m)) / 6,    L(k) = (k + 1)(2 k + 1),  with terminals at both ends (k + 1)(k + 2) / 2

of its output current: every node of a line carries the same current, and L / 6 is the mean voltage that is lost on the
way, in units of (current of a cell) x (resistance of a segment).  Here g is the mean conductance of the array.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from memjax import wires

G_MAX = 1e-4  # S; only r g_max matters
LOW = 0.01  # lowest conductance, as a share of the highest
V_MAX = 0.2  # V

# What cells hold, as a share of g_max, of a uniform number x in [0, 1].
CELLS = {
    "uniform": lambda x: LOW + (1 - LOW) * x,
    "log-uniform": lambda x: LOW ** (1 - x),
    "one in ten on": lambda x: jnp.where(x < 0.1, 1.0, LOW),
    "all on": lambda x: jnp.ones_like(x),
}


MEAN = LOW + (1 - LOW) / 2  # of uniform cells
TRIED = ((1e-3, 0.05), (1e-4, 0.05), (1e-5, 0.01))  # r g_max, loss: sizes read off the master curve, then solved
# Loss of one draw of n x n uniform cells of 1-100 uS, 1 ohm a segment, as a sparse solution of another program gave it.
REFERENCE = {32: 0.036, 64: 0.120, 128: 0.348, 256: 0.670, 512: 0.878}


def group(g_mean: Any, shape: tuple[int, int], r_word: Any, r_bit: Any, topology: str = "single") -> Any:
    """Return s, the loss to first order."""
    m, n = shape

    def length(k, both):
        return (k + 1) * (k + 2) / 2 if both else (k + 1) * (2 * k + 1)

    of_word, of_bit = (topology in (one, "double") for one in ("double_drive", "double_sense"))
    return g_mean * (r_word * length(n, of_word) + r_bit * length(m, of_bit)) / 6


def draw(cells: str, shape: tuple[int, int], draws: int, seed: int) -> tuple[jax.Array, jax.Array]:
    """Draw conductances [draws, m, n] [S] and voltages [draws, m] [V]."""
    k_g, k_v = jax.random.split(jax.random.key(seed))
    x = jax.random.uniform(k_g, (draws, *shape), jnp.float32)
    return G_MAX * CELLS[cells](x), jax.random.uniform(k_v, (draws, shape[0]), jnp.float32, 0, V_MAX)


@jax.jit
def measure(g: jax.Array, v: jax.Array, lines: wires.Wires) -> dict[str, jax.Array]:
    """Return every draw's [draws] numbers.

    loss        share of the total output current that is missing
    error       rms over the outputs, relative to the rms of the ideal ones
    trimmed     the same after the best gain common to all outputs
    word, bit   share of the delivered power that heats word and bit lines
    """
    found = wires.solve(g, v, lines.r_word, lines.r_bit, topology=lines.topology)
    ideal, i = jnp.einsum("dm,dmn->dn", v, g), found.i
    size = jnp.sum(ideal**2, -1)
    gain = jnp.sum(ideal * i, -1) / jnp.sum(i**2, -1)
    spent = wires.power(found, lines, v)
    return {
        "loss": 1 - jnp.sum(i, -1) / jnp.sum(ideal, -1),
        "error": jnp.sqrt(jnp.sum((i - ideal) ** 2, -1) / size),
        "trimmed": jnp.sqrt(jnp.sum((gain[:, None] * i - ideal) ** 2, -1) / size),
        "word": spent.word / spent.delivered,
        "bit": spent.bit / spent.delivered,
        "residual": found.residual,
    }


def row(shape: tuple[int, int], rg_word: float, rg_bit: float, cells: str, topology: str, draws: int) -> dict:
    """Return one point of the study: settings, s, and mean and sd over the draws; rg are r g_max."""
    g, v = draw(cells, shape, draws, seed=shape[0])
    lines = wires.Wires(jnp.float32(rg_word / G_MAX), jnp.float32(rg_bit / G_MAX), topology=topology)
    found = {name: np.asarray(x, float) for name, x in measure(g, v, lines).items()}
    assert found.pop("residual").max() < 1e-6, "the wires did not converge"
    s = group(float(jnp.mean(g)), shape, rg_word / G_MAX, rg_bit / G_MAX, topology)
    numbers = {name: {"mean": float(x.mean()), "sd": float(x.std(ddof=1))} for name, x in found.items()}
    what = {"shape": list(shape), "rg_word": rg_word, "rg_bit": rg_bit, "cells": cells, "topology": topology}
    return {**what, "s": float(s), **numbers}


def study(sizes: list[int], rg: list[float], other: int, draws: int) -> dict:
    """Return rows: the map (square, single-sided, uniform cells), and what else should fall on the same curve.

    other: the size of the arrays of other cells and topologies; one of `sizes`.
    """
    plane = [row((n, n), x, x, "uniform", "single", draws) for n in sizes for x in rg]
    square, long = (other, other), (other // 4, other * 2)
    rest = [row(square, x, x, cells, "single", draws) for cells in CELLS if cells != "uniform" for x in rg]
    rest += [
        row(square, x, x, "uniform", topology, draws)
        for topology in ("double_drive", "double_sense", "double")
        for x in rg
    ]
    rest += [row(shape, x, x, "uniform", "single", draws) for shape in (long, long[::-1]) for x in rg]
    rest += [row(square, x * a, x * (2 - a), "uniform", "single", draws) for a in (0.0, 2.0) for x in rg]
    tried = []
    for x, loss in TRIED:
        n = max(1, int(largest(allowed(plane, loss), MEAN * x)))
        tried.append({"loss_wanted": loss, **row((n, n), x, x, "uniform", "single", draws)})
    # The published series is one draw: how far do draws of the same arrays lie from each other?
    series = [row((n, n), 1e-4, 1e-4, "uniform", "single", 4 * draws) for n in sizes]
    return {"map": plane, "others": rest, "tried": tried, "series": series, "profile": profile(other)}


def profile(n: int) -> dict:
    """Return the share of the voltage that reaches each cell where all are at the mean, all word lines driven."""
    r = 1.0
    g = jnp.full((n, n), G_MAX / 2, jnp.float32)
    found = wires.solve(g, jnp.ones(n, jnp.float32), r, r)
    u, k = np.asarray(found.v_word - found.v_bit, float), n // 16
    return {
        "n": n,
        "r_ohm": r,
        "g_S": G_MAX / 2,
        "u": np.round(u.reshape(16, k, 16, k).mean((1, 3)), 4).tolist(),
        "lowest": float(u.min()),
        "mean": float(u.mean()),
    }


def curve(rows: list[dict], what: str = "loss") -> tuple[np.ndarray, np.ndarray]:
    """Return the master curve (s, value), rising, of the largest array of the map."""
    largest = max(row["shape"][0] for row in rows)
    points = sorted((row["s"], row[what]["mean"]) for row in rows if row["shape"][0] == largest)
    return tuple(np.array(points).T)


def at(rows: list[dict], s: Any, what: str = "loss") -> np.ndarray:
    """Read the master curve at s, by interpolation of log(value / s) over log s."""
    x, y = curve(rows, what)
    return np.exp(np.interp(np.log(s), np.log(x), np.log(y / x))) * s


def allowed(rows: list[dict], value: float, what: str = "loss") -> float:
    """Return the s at which the master curve has this value."""
    x = np.geomspace(*curve(rows, what)[0][[0, -1]], 4000)
    return float(np.interp(value, at(rows, x, what), x))


def largest(s: float, rg_mean: float, topology: str = "single") -> float:
    """Return the size of the square array that has this s, with r g_mean; a real number, to be rounded down."""
    # (k + 1)(2 k + 1) / 3 = s / rg, or (k + 1)(k + 2) / 6 = s / rg.
    a, b, c = (1.0, 3.0, 2 - 6 * s / rg_mean) if topology == "double" else (2.0, 3.0, 1 - 3 * s / rg_mean)
    return float(max(0.0, (-b + np.sqrt(max(b * b - 4 * a * c, 0.0))) / (2 * a)))


def designer(found: dict) -> dict:
    """Return what a designer asks of the study: the published series, the limits of s, and the largest tiles."""
    rows = found["map"]
    series = [
        {"n": one["shape"][0], "reference": REFERENCE.get(one["shape"][0]), **one["loss"], "s": one["s"]}
        for one in found["series"]
    ]
    limits = {what: {f"{x:g}": allowed(rows, x, what) for x in (0.01, 0.05)} for what in ("loss", "trimmed")}
    tiles = []
    for g in (1e-6, 1e-5, 1e-4, 1e-3):
        for r in (0.1, 1.0, 10.0):
            sizes = {
                f"{topology}, loss {share}": int(largest(s, MEAN * r * g, topology))
                for topology in ("single", "double")
                for share, s in limits["loss"].items()
            }
            tiles.append({"g_max_S": g, "r_ohm": r, **sizes})
    return {"series": series, "limits_of_s": limits, "largest_tiles": tiles}


def collapse(map_rows: list[dict], rows: list[dict]) -> dict[str, float]:
    """Return how far the losses are from the master curve, and from s / (1 + s), at most."""
    s, loss = (np.array(x) for x in zip(*((row["s"], row["loss"]["mean"]) for row in rows), strict=True))
    return {
        "from_the_largest_array": float(np.abs(loss - at(map_rows, s)).max()),
        "from_one_formula": float(np.abs(loss - s / (1 + s)).max()),
    }
