"""Checksum columns: one bad column of every tile is found by what it does to sums, and replaced by what these say.

Algorithm-based fault tolerance: a column that holds the sum of others reads the sum of their read-outs. The n columns
of a tile form G interleaved groups; each has a checksum column, and L further columns of the tile hold weighted sums
over all of them, with every column of a group at another vector of weights a_jl in {-1, ..., 1}:

    c_g = sum_{j in g} w_j        d_l = sum_j a_jl w_j        [for every word line]

so the syndromes of a read, s_g = sum_{j in g} y_j - y(c_g) and t_l = sum_j a_jl y_j - y(d_l), are zero but for errors.
An error e of column j in group g makes s_g = e and t_l = a_jl e: the group is where s is not zero, the column where
t / s is nearest to a_j, and y_j - s_g is what it should have read. An error of c_g itself has t / s = 0, which is no
column's a; one of d_l has s = 0. With G = 1 and L = 1 these are the two checksums of Huang and Abraham.

Sums have to lie in the range of a weight: the k = G + L check columns of a tile are divided by `scale` [R, C, k], their
largest value or 1, and multiplied by it digitally. That multiplies their errors: an error of sd u a column (read noise,
and what programming leaves) is one of u sqrt(n_g + scale_g^2) in s_g, and the corrected column has
u sqrt(n_g - 1 + scale_g^2) in place of u, n_g = n / G. It is exact but for that, which is why small groups are worth
their columns. A sum in K equal parts on K columns would have K u^2 in place of (K u)^2.

Finding takes |s_g| above the threshold z sd(s_g), and |t / s - a| below half the distance of two a: faults that last
are found by test reads with all inputs on (`self_test`), whose noise averages out; without noise one read finds them.
Costs (G + L) / n more devices, as many more read-outs, and the scales.
Sources: Huang and Abraham, IEEE Trans. Comput. C-33, 518 (1984), doi:10.1109/TC.1984.1676475; groups, locating columns
with more than one weight, and the scales are ours.
"""

import itertools
import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from memjax import crossbar, noise
from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.mitigation._plan import check_built
from memjax.mitigation._reader import Reader, Seen, scaling


class Plan(NamedTuple):
    """Sizes of an array with checksum columns, all static: its weights (rows, cols) in tiles, G and L of every tile."""

    shape: tuple[int, int]
    tile: tuple[int, int]
    groups: int = 1
    locators: int = 1

    @property
    def tiles(self) -> tuple[int, int]:
        (rows, cols), (m, n) = self.shape, self.tile
        return math.ceil(rows / m), math.ceil(cols / n)

    @property
    def checks(self) -> int:
        return self.groups + self.locators

    @property
    def members(self) -> int:
        """Columns of the largest group."""
        return math.ceil(self.tile[1] / self.groups)

    @property
    def half(self) -> int:
        """Steps from 0 to 1 of the locators' weights: 2 half + 1 values, enough to tell the members from each other."""
        half = 1
        while (2 * half + 1) ** self.locators < self.members + 1:
            half += 1
        return half

    @property
    def physical_shape(self) -> tuple[int, int]:
        """What `crossbar.create` gets, with `physical_tile`: of every tile the check columns come first."""
        return self.shape[0], self.shape[1] + self.tiles[1] * self.checks

    @property
    def physical_tile(self) -> tuple[int, int]:
        return self.tile[0], self.tile[1] + self.checks

    @property
    def devices(self) -> float:
        """Devices that are built relative to those of the weights."""
        return self.physical_shape[1] / self.shape[1]


def code(plan: Plan) -> np.ndarray:
    """Return what each column of a tile counts in each check [n, k]: its group's 1, and its locators' weights."""
    g, n, steps = plan.groups, plan.tile[1], range(-plan.half, plan.half + 1)
    weights = [a for a in itertools.product(steps, repeat=plan.locators) if any(a)]
    # The shortest first: they add least to the checks, and to their errors.
    weights.sort(key=lambda a: sum(x * x for x in a))
    counts = np.zeros((n, plan.checks))
    counts[np.arange(n), np.arange(n) % g] = 1.0
    counts[:, g:] = np.array([weights[j // g] for j in range(n)]) / plan.half
    return counts


def encode(plan: Plan, target: Array) -> tuple[Array, Array]:
    """Return the weights of all columns, checks and others [physical shape], and the scales [R, C, k].

    Raises ValueError for a target [rows, cols] of another shape.
    """
    if target.shape != plan.shape:
        raise ValueError(f"mitigation: target has shape {target.shape}: accepted is {plan.shape} (rows, cols)")
    (rows, cols), (r, c), (m, n) = plan.shape, plan.tiles, plan.tile
    tiles = jnp.pad(target, ((0, r * m - rows), (0, c * n - cols))).reshape(r, m, c, n)
    sums = jnp.einsum("rmcn,nk->rmck", tiles, jnp.asarray(code(plan), target.dtype), precision="highest")
    scale = jnp.maximum(jnp.max(jnp.abs(sums), axis=1), 1.0)
    whole = jnp.concatenate([sums / scale[:, None], tiles], axis=-1)
    return whole.reshape(r * m, -1)[:rows, : plan.physical_shape[1]], scale


def read_tiles(plan: Plan, xbar: Crossbar, x: Array) -> Array:
    """Read all columns of every tile apart [..., R, C, k + n], in units of weight, for x [..., rows] of the full scale.

    Raises ValueError for an array of another size than the plan's, or one with wires.
    """
    check_built(plan, xbar, "checksums", "check columns")
    (rows, _), (r, c), (m, _) = plan.shape, plan.tiles, plan.tile
    unit, times, reference = scaling(xbar)
    net = xbar.v_read * times * (crossbar.net_conductance(xbar) - reference) / unit
    width = c * plan.physical_tile[1]
    net = jnp.pad(net, ((0, r * m - rows), (0, width - net.shape[1]))).reshape(r, m, width)
    x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, r * m - rows)]).reshape(*x.shape[:-1], r, m)
    return jnp.einsum("...rm,rmj->...rj", x, net, precision="highest").reshape(*x.shape[:-2], r, c, -1)


def syndromes(plan: Plan, scale: Array, y: Array) -> Array:
    """Return s_1 ... s_G, t_1 ... t_L of every tile [..., R, C, k] for its read-outs y [..., R, C, k + n]."""
    k = plan.checks
    coded = jnp.einsum("...n,nk->...k", y[..., k:], jnp.asarray(code(plan), y.dtype), precision="highest")
    return coded - _as(scale, y.ndim) * y[..., :k]


def locate(plan: Plan, scale: Array, found: Array, sd: Any, *, threshold: float = 6.0) -> Array:
    """Return the bad column of every tile, int32 [..., R, C] from 0 to n - 1, or -1: none that is found.

    found [..., R, C, k]: its syndromes. sd: of the error of one column [], or [..., R, 1] of those of a row of tiles.
    """
    g, counts = plan.groups, code(plan)
    s = found[..., :g]
    each = jnp.sqrt(jnp.square(scale[..., :g]) + _as(jnp.asarray(counts[:, :g].sum(0), s.dtype), scale.ndim))
    z = jnp.abs(s) / (_as(jnp.asarray(sd, s.dtype)[..., None], s.ndim) * _as(each, s.ndim))
    group = jnp.argmax(z, axis=-1).astype(jnp.int32)[..., None]
    s = jnp.take_along_axis(s, group, axis=-1)
    seen = jnp.take_along_axis(z, group, axis=-1)[..., 0] > threshold
    # Whole numbers of steps of every locator; no column of the group has them where something else is wrong.
    a = jnp.round(plan.half * found[..., g:] / jnp.where(s == 0, 1.0, s)).astype(jnp.int32)
    own = jnp.asarray(np.rint(counts[:, g:] * plan.half).astype(np.int32))
    members = jnp.arange(len(counts), dtype=jnp.int32) % g
    match = jnp.all(a[..., None, :] == _as(own, a.ndim + 1), axis=-1) & (_as(members, group.ndim) == group)
    hit = seen & jnp.any(match, axis=-1)
    return jnp.where(hit, jnp.argmax(match, axis=-1), -1).astype(jnp.int32)


def correct(plan: Plan, scale: Array, y: Array, column: Array) -> Array:
    """Return the read-outs of the weights [..., R, C, n], the bad column [..., R, C] replaced by its checksum's."""
    s = syndromes(plan, scale, y)[..., : plan.groups]
    error = s[..., jnp.arange(plan.tile[1], dtype=jnp.int32) % plan.groups]
    return y[..., plan.checks :] - jnp.where(_as(_is(plan, column), y.ndim), error, jnp.zeros_like(error))


def self_test(
    plan: Plan,
    scale: Array,
    xbar: Crossbar,
    key: Array | None = None,
    *,
    read_noise: Any = None,
    error: Any = 1e-4,
    reads: int = 16,
    threshold: float = 6.0,
) -> tuple[Array, Events]:
    """Find the bad column of every tile, int32 [R, C] as `locate`, by reads with all inputs on -> (column, events).

    read_noise  sd of a device's conductance at a read, relative to the mean range; None: none
    error       sd of what programming leaves on a device, relative to the range: what a healthy column may be wrong by

    Raises ValueError for read noise without a key.
    """
    _, times, _ = scaling(xbar)
    power = jnp.asarray(xbar.polarity * times**2 * plan.tile[0], jnp.result_type(float))
    x = jnp.ones(plan.shape[:1], power.dtype)
    y, variance = read_tiles(plan, xbar, x), error**2 * power
    if read_noise is not None:
        if key is None:
            raise ValueError("mitigation: read noise is drawn at every read: give a key, as jax.random.key(0)")
        own = read_noise**2 * power / reads
        y, variance = y + jnp.sqrt(own) * noise.normal(key, y.shape, y.dtype), variance + own
    column = locate(plan, scale, syndromes(plan, scale, y), jnp.sqrt(variance), threshold=threshold)
    return column, crossbar.read_events(xbar, reads * x, reads)


def reader(plan: Plan, scale: Array, xbar: Crossbar, column: Array | None = None, noise: Any = None) -> Reader:
    """Return the reader of an array with checksums: weights' columns, the bad one of every tile replaced.

    column  what `self_test` has found [R, C]; None: every read finds it anew, which noise does not allow
    noise   as of `mitigation.reader`; the corrected columns' is that of the columns it is made of

    Raises ValueError for noise without columns.
    """
    if column is None and noise is not None:
        raise ValueError("mitigation: checksums of noisy reads: accepted is the column that `self_test` has found")
    cols, k = plan.shape[1], plan.checks

    def read(x: Array, power: Array) -> Seen:
        y, at = read_tiles(plan, xbar, x), column
        if at is None:
            # Rounding is what is left of an error of programming of this size.
            size = jnp.sqrt(jnp.sum(x * x, axis=-1))[..., None, None]  # of all rows: of those of a tile at least
            at = locate(plan, scale, syndromes(plan, scale, y), 1e-6 * (1.0 + size))
        value = jnp.sum(correct(plan, scale, y, at), axis=-3)
        value = value.reshape(*value.shape[:-2], -1)[..., :cols]
        if noise is None:
            return Seen(value, None)
        unit, times, _ = scaling(xbar)
        sd = times * crossbar.noise_sd(xbar, xbar.v_read * jnp.sqrt(power), noise, each_tile=True) / unit
        groups = jnp.arange(plan.tile[1], dtype=jnp.int32) % plan.groups
        others = jnp.square(scale[..., : plan.groups])
        others = others + _as(jnp.asarray(code(plan)[:, : plan.groups].sum(0) - 1, sd.dtype), scale.ndim)
        more = jnp.where(_is(plan, at), others[..., groups], 1.0)  # [R, C, n], relative to one column's variance
        # All columns of a row of tiles share their inputs: so the variance of one stands for all.
        variance = jnp.einsum("...r,rcn->...cn", jnp.square(sd[..., k]), more, precision="highest")
        return Seen(value, jnp.sqrt(variance.reshape(*variance.shape[:-2], -1)[..., :cols]))

    return read


def _is(plan: Plan, column: Array) -> Array:
    return column[..., None] == _as(jnp.arange(plan.tile[1], dtype=jnp.int32), column.ndim + 1)


def _as(x: Array, ndim: int) -> Array:
    """Give x leading axes of 1 up to a rank."""
    return x.reshape((1,) * (ndim - x.ndim) + x.shape)
