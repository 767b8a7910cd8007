"""The layer itself: what is static, what is traced, what a chip has, and what it does with images."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax import crossbar, noise, programming
from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.patches._geometry import Geometry
from memjax.patches._images import cut, draw
from memjax.patches._neurons import fire, inhibit, pool
from memjax.patches._whitening import Front, moments, targets, whitened
from memjax.plasticity import wta_hebb

DRIVES = ("raw", "normalised")


class Layer(NamedTuple):
    """What fixes the compiled program of a patch layer.

    per_image  patches that an image teaches, at random places
    steps      time steps of the integrate-and-fire neurons: the most spikes that one position gives
    code       what their spikes tell: "count" or "first" (`fire`)
    block      images whose patches are in memory at once
    drive      what the word lines get: "raw" pixels, or "normalised" ones (the package's docstring)
    both       neurons of both signs for every filter, for u and for -u: twice the features, at the same reads
    """

    geometry: Geometry
    programmer: str = "accumulator"
    per_image: int = 48
    steps: int = 15
    code: str = "count"
    block: int = 16
    drive: str = "raw"
    both: bool = False

    @property
    def outputs(self) -> int:
        """Features a filter gives to a cell of the grid."""
        return 2 if self.both else 1


@struct.dataclass
class Constants:
    """What a layer's designer chooses and chips share, all traced.

    front       digital side of the patches (`whitening`)
    settings    the programmer's Params
    theta       inhibition, in standard deviations over the filters
    saturation  current at which a neuron fires in every step, over the mean of those that flow (`calibrate`)
    handicap    what a filter that wins twice its share is handicapped by, cosine between patch and filter; 0: none
    memory      share of a filter's record of wins that one patch replaces
    read_noise  sd of a device's conductance at every read, relative to g_max - g_min; None: no draw
    write_time  s, width of a pulse
    """

    front: Front
    settings: Any
    theta: Any = 0.5
    saturation: Any = 4.0
    handicap: Any = 0.2
    memory: Any = 5e-4
    read_noise: Any = None
    write_time: Any = 10e-9


@struct.dataclass
class Filters:
    """What a chip has.

    xbar       the array, rows = n_inputs, columns = filters; weights gain W w
    pending    the programmer's state
    wins       each filter's record of wins [K], mean 1 / K
    columns    sums of the array's columns as they were read [K], in units of weight; zero, unread, where the drive is
               "normalised"
    threshold  of the neurons []
    mean       running mean of pooled spikes [] (or [F])
    """

    xbar: Crossbar
    pending: Any
    wins: Array
    columns: Array
    threshold: Array
    mean: Array


def create(layer: Layer, constants: Constants, xbar: Crossbar) -> Filters:
    """Return the filters of a chip whose array is xbar, not trained yet.

    Raises ValueError for an array of other rows than a patch has pixels, one without pairs, or sizes that do not fit.
    """
    layer.geometry.check()
    d, k = xbar.shape
    if d != layer.geometry.n_inputs or xbar.polarity != 2:
        raise ValueError(
            f"patches: the array has {d} rows and {xbar.polarity} device(s) a weight: accepted are "
            f"{layer.geometry.n_inputs} rows, the pixels of a patch, and 2"
        )
    if min(layer.per_image, layer.steps, layer.block) < 1:
        raise ValueError(f"patches: {layer}: accepted is at least 1 of per_image, steps and block")
    if layer.drive not in DRIVES:
        raise ValueError(f"patches: drive = {layer.drive!r}: accepted is one of {', '.join(DRIVES)}")
    fire(jnp.zeros(1), 1.0, 1, layer.code)  # refuses an unknown code here rather than in a compilation
    like = crossbar.weights(xbar)
    pending = programming.get(layer.programmer).init(constants.settings, xbar)
    one = jnp.ones((), like.dtype)
    return Filters(xbar, pending, jnp.full((k,), 1 / k, like.dtype), jnp.zeros((k,), like.dtype), one, one)


def respond(constants: Constants, filters: Filters, patches: Array, key: Array | None, drive: str = "raw") -> Array:
    """Read patches [..., d] of raw pixels through the array: u = f . (p - m) / s [..., K], in units of weight.

    drive "raw": u = (f . p - m f . 1) / s, the sums f . 1 as `read_columns` has read them.
    """
    mean, contrast = moments(patches, constants.front.floor)
    if drive == "normalised":
        return _read(constants, filters.xbar, (patches - mean[..., None]) / contrast[..., None], key)
    u = _read(constants, filters.xbar, patches, key)
    return (u - mean[..., None] * jnp.broadcast_to(filters.columns, u.shape)) / contrast[..., None]


def features(layer: Layer, constants: Constants, filters: Filters, images: Array, keys: Array | None) -> Array:
    """Return the pooled spikes h [B, F] of flat images [B, n_pixels] in [0, 1]: whole numbers, `scaled` brings to size.

    keys [B] draw the read noise, one an image (None where there is none).
    """

    def one(given):
        image, key = given
        a = _currents(layer, constants, filters, image, key)
        return pool(layer.geometry, fire(a, filters.threshold, layer.steps, layer.code))

    return jax.lax.map(one, (images, keys), batch_size=layer.block)


def _currents(layer: Layer, constants: Constants, filters: Filters, image: Array, key: Array | None) -> Array:
    """Return what drives the neurons of an image [rows, columns, K or 2 K]."""
    u = respond(constants, filters, cut(layer.geometry, image), key, layer.drive)
    a = inhibit(u, constants.theta)
    return jnp.concatenate([a, inhibit(-u, constants.theta)], axis=-1) if layer.both else a


def forward_events(layer: Layer, filters: Filters, images: Array) -> Events:
    """Count the reads of flat images [B, n_pixels] at all positions: Events of [B].

    Every device that a non-zero pixel reaches is a MAC, at every position; a position where all pixels are zero is not
    read at all. Normalised, every pixel of a patch that is not of one colour drives its line.
    """

    def one(image):
        return _patch_events(filters.xbar, cut(layer.geometry, image).reshape(-1, layer.geometry.n_inputs), layer.drive)

    return jax.lax.map(one, images, batch_size=layer.block)


def learn(
    layer: Layer, constants: Constants, filters: Filters, image: Array, rate: Any, key: Array, turn: Any
) -> tuple[Filters, Events]:
    """Let `per_image` random patches of image number `turn`, flat [n_pixels] in [0, 1], teach the filters.

    All patches of the image compete in the array as it is before; then the programmer acts once. rate is eta.
    """
    k_draw, k_columns, k_read, k_weights, k_write = (
        noise.fold_in(key, name) for name in ("patches", "columns", "read", "weights", "write")
    )
    xbar = filters.xbar
    patches = draw(layer.geometry, image, layer.per_image, k_draw)
    goals = targets(constants.front, patches)
    columns, spent = filters.columns, Events()
    if layer.drive == "raw":
        columns, spent = read_columns(constants, xbar, k_columns)
    u = respond(constants, filters.replace(columns=columns), patches, k_read, layer.drive)  # type: ignore[attr-defined]
    winner, wins = compete(constants, filters.wins, u, patches, goals)
    w = crossbar.weights(xbar)[:, winner].T
    if constants.read_noise is not None:
        w = w + constants.read_noise * xbar.polarity**0.5 * noise.normal(k_weights, w.shape, w.dtype)
    dw = wta_hebb.means(rate, goals, winner, w, xbar.shape[1])
    learned = jnp.sum(jnp.any(goals != 0, axis=1), dtype=jnp.int32)
    spent = spent + _patch_events(xbar, patches, layer.drive) + Events(verify=xbar.polarity * xbar.shape[0] * learned)
    xbar, pending, written = programming.get(layer.programmer).step(
        constants.settings, filters.pending, dw, xbar, constants.write_time, k_write, turn
    )
    return filters.replace(xbar=xbar, pending=pending, wins=wins, columns=columns), spent + written  # type: ignore[attr-defined]


def compete(constants: Constants, wins: Array, u: Array, patches: Array, goals: Array) -> tuple[Array, Array]:
    """Return who wins each patch [k], and the record of wins after them [K].

    Filter j of K, which has won a share p_j, bids u_j / (gain |z|) - handicap (K p_j - 1), the cosine between patch and
    filter where the filter has length 1. Patches without a goal (blank ones) leave the record alone.
    """
    n = wins.shape[0]
    length = constants.front.gain * whitened(constants.front, patches)[1]
    bid = u / length[:, None] - constants.handicap * (n * wins - 1.0)[None, :]
    winner = jnp.argmax(bid, axis=1)
    some = jnp.any(goals != 0, axis=1)
    won = (winner[:, None] == jnp.arange(n, dtype=winner.dtype)[None, :]) & some[:, None]
    seen = jnp.sum(some, dtype=jnp.int32).astype(wins.dtype)
    left = (1.0 - constants.memory) ** seen
    share = jnp.sum(won, axis=0, dtype=jnp.int32).astype(wins.dtype) / jnp.maximum(seen, 1.0)
    return winner, left * wins + (1.0 - left) * share


def learn_filters(
    layer: Layer, constants: Constants, filters: Filters, images: Array, rates: Array, key: Array, first: Any = 0
) -> tuple[Filters, Events]:
    """Let flat images [S, n_pixels] in [0, 1] teach the filters, one after the other: one scan; Events of [S].

    rates [S] is eta for each; image s has the key fold_in(key, first + s), so that cutting a run changes nothing.
    """
    turns = first + jnp.arange(images.shape[0], dtype=jnp.int32)

    def one(filters, given):
        image, rate, turn = given
        return learn(layer, constants, filters, image, rate, jax.random.fold_in(key, turn), turn)

    return jax.lax.scan(one, filters, (images, rates, turns))


def calibrate(
    layer: Layer, constants: Constants, filters: Filters, images: Array, keys: Array, *, reads: int = 16
) -> tuple[Filters, Events]:
    """Read what the digital side must know of filters that have learned, on flat images [n, n_pixels] in [0, 1].

    The column sums, where the drive needs them ("raw"), are means of `reads` reads; the neurons' threshold is
    `saturation` times the mean of the currents that flow; `mean` is that of the images' pooled spikes. keys [n]: one an
    image. Events are those of all of it, in [2 n] parts, or [2 n + reads], that an int32 can count.
    """
    spent = []
    if layer.drive == "raw":
        own = noise.fold_in(keys[0], "columns")
        own = jax.vmap(lambda n: noise.fold_in(own, n))(jnp.arange(reads, dtype=jnp.int32))
        columns, events = jax.vmap(lambda key: read_columns(constants, filters.xbar, key))(own)
        filters = filters.replace(columns=jnp.mean(columns, axis=0))  # type: ignore[attr-defined]
        spent.append(events)

    def currents(given):
        image, key = given
        a = _currents(layer, constants, filters, image, key)
        return jnp.sum(a), jnp.sum(a > 0, dtype=jnp.int32)

    total, number = (jnp.sum(x) for x in jax.lax.map(currents, (images, keys), batch_size=layer.block))
    threshold = constants.saturation * total / jnp.maximum(number, 1).astype(total.dtype)
    # Where nothing flows nothing fires, at any threshold.
    filters = filters.replace(threshold=jnp.where(threshold > 0, threshold, jnp.ones_like(threshold)))  # type: ignore[attr-defined]
    pooled = features(layer, constants, filters, images, keys)
    mean = jnp.mean(pooled, axis=0) if filters.mean.ndim else jnp.mean(pooled)
    seen = forward_events(layer, filters, images)
    # A class that does not happen is the default integer, the others are int32.
    every = jax.tree.map(lambda *parts: jnp.concatenate([n.astype(jnp.int32) for n in parts]), seen, seen, *spent)
    return filters.replace(mean=mean), every  # type: ignore[attr-defined]


def read_columns(constants: Constants, xbar: Crossbar, key: Array | None) -> tuple[Array, Events]:
    """Read the sums of the array's columns [K], in units of weight: all word lines at full scale."""
    full = jnp.ones((1, xbar.shape[0]), constants.front.matrix.dtype)
    return _read(constants, xbar, full, key)[0], _patch_events(xbar, full)


def _read(constants: Constants, xbar: Crossbar, x: Array, key: Array | None) -> Array:
    """Read inputs x [..., d] in units of full scale [..., K], in units of weight; normalised pixels exceed 1."""
    unit = xbar.v_read * crossbar.conductance_range(xbar)
    return crossbar.read(xbar, xbar.v_read * x, noise=constants.read_noise, key=key) / unit


def _patch_events(xbar: Crossbar, patches: Array, drive: str = "raw") -> Events:
    """Count the reads of patches [k, d]; blank ones are not read."""
    driven = patches != 0
    if drive == "normalised":
        driven = jnp.broadcast_to(jnp.any(patches != patches[:, :1], axis=1, keepdims=True), patches.shape)
    delivered = jnp.sum(driven, axis=0, dtype=jnp.int32)
    return crossbar.read_events(xbar, delivered, jnp.sum(jnp.any(driven, axis=1), dtype=jnp.int32))
