"""A linear readout that learns online from features: one array, the delta rule, a programmer of pulses.

    y_k = sum_i x_i w_ik + read noise        e_k = target_k - softmax_k(gain y), and 0 where |e_k| < margin
    dw_ik = eta x_i e_k                      -> programmer -> pulses

with w the weights of the array (`crossbar.weights`). `margin` keeps samples that are known well from charging
accumulators at all. `learner` has it sample by sample, for any programmer.

`learn` is the same loop, the same pulses and the same draws for an accumulator whose word lines take turns, in blocks
of one round of turns (m / lines samples of a tile of m lines). A round writes every line once, so in it

    y_s = x_s . W + sum over lines t that had their turn before s of  x_s,t . (change of W_t)

is one matrix product for all samples of the block, and a small product a turn; and what line t has collected at its
turn is one small product with the errors of the latest round. Nothing of the array but the line whose turn it is, is
touched in between, and that in the order of memory: the cost of a sample is three products with 1 / (m / lines) of the
weights, and the pulses. Rounding apart (sums are taken in another order) it equals the loop.

Delta rule: B. Widrow, M. Hoff, 1960. Accumulators: `programming.accumulator`.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array
from jax.core import Tracer

from memjax import crossbar, noise, programming
from memjax.crossbar import Crossbar
from memjax.energy import Events, count
from memjax.learning import Learner, Record, hits
from memjax.plasticity import Signals, delta
from memjax.programming import accumulator


@struct.dataclass
class Constants:
    """What a readout's designer chooses, all traced.

    settings    the programmer's Params
    gain        slope of the softmax
    margin      error below which an output does not learn from a sample; None: every one counts
    read_noise  sd of a device's conductance at every read, relative to g_max - g_min; None: no draw
    write_time  s, width of a pulse
    """

    settings: Any
    gain: Any = 1.0
    margin: Any = None
    read_noise: Any = None
    write_time: Any = 10e-9


@struct.dataclass
class Readout:
    """What a chip has: its array, rows = features and columns = classes, and the programmer's state."""

    xbar: Crossbar
    pending: Any
    constants: Constants


def create(constants: Constants, xbar: Crossbar, programmer: str = "accumulator") -> Readout:
    """Return a readout on the array, its net conductance and its range kept for speed."""
    xbar = crossbar.cache(replace(xbar, span=crossbar.conductance_range(xbar)))
    return Readout(xbar, programming.get(programmer).init(constants.settings, xbar), constants)


def learner(programmer: str = "accumulator") -> Learner:
    """Return the readout as `learning` drives it, sample by sample: state `Readout`, inputs the features."""
    step = programming.get(programmer).step

    def learn_one(readout, x, label, rate, key, turn):
        xbar, constants = readout.xbar, readout.constants
        y = predict(readout, x, noise.fold_in(key, "read"))
        e = error(constants, y, label)
        dw, _ = delta.step(delta.Params(rate), (), Signals(x), Signals(y), crossbar.net_conductance(xbar), e, 0.0)
        seen = crossbar.read_events(xbar, x != 0)
        own = noise.fold_in(key, "write")
        xbar, pending, spent = step(constants.settings, readout.pending, dw, xbar, constants.write_time, own, turn)
        return readout.replace(xbar=xbar, pending=pending), (y, seen, spent)

    return Learner(learn_one, predict)


def predict(readout: Readout, x: Array, key: Array | None) -> Array:
    """Return the outputs y [..., classes] for features x [..., features]."""
    xbar = readout.xbar
    v = xbar.v_read * x
    i = crossbar.read(xbar, v, noise=readout.constants.read_noise, key=key)
    return i / (xbar.v_read * crossbar.conductance_range(xbar))


def error(constants: Constants, y: Array, label: Array) -> Array:
    """Return target - softmax(gain y) [..., classes], zero where it is below the margin."""
    e = jax.nn.one_hot(label, y.shape[-1], dtype=y.dtype) - jax.nn.softmax(constants.gain * y)
    if constants.margin is None:
        return e
    return jnp.where(jnp.abs(e) < constants.margin, jnp.zeros_like(e), e)


def learn(
    readout: Readout, x: Array, labels: Array, rates: Array, key: Array, first: Any = 0
) -> tuple[Readout, Record]:
    """Learn samples x [S, features] of classes labels [S] one by one, in blocks: see the module's docstring.

    rates [S] is eta; sample s has the key fold_in(key, first + s) and the turn first + s. S and `first` are whole
    rounds of turns. Returns the readout and what the samples left [S].

    Raises ValueError for a number of samples that is no whole number of rounds, a `first` that begins none (a traced
    one is believed), an accumulator without turns or with own steps, or an array with wires, half-selection or devices
    that change at rest: their other lines are not left alone.
    """
    lines = _Lines.of(readout)
    samples = len(x)
    if samples % lines.period:
        raise ValueError(
            f"readout: {samples} samples: accepted is a multiple of {lines.period}, the calls until every word line "
            "had its turn"
        )
    if not isinstance(first, Tracer) and int(first) % lines.period:
        raise ValueError(
            f"readout: first = {first}: accepted is a multiple of {lines.period}, where a round of turns begins"
        )
    turns = first + jnp.arange(samples, dtype=jnp.int32)
    keys = jax.vmap(lambda turn: jax.random.fold_in(key, turn))(turns)
    x = jnp.pad(x, ((0, 0), (0, lines.rows - x.shape[1])))
    blocks = jax.tree.map(lambda leaf: leaf.reshape(-1, lines.period, *leaf.shape[1:]), (x, labels, rates, keys))
    start = lines.take(readout)
    end, records = jax.lax.scan(lambda state, block: _block(readout, lines, state, block), start, blocks)
    return lines.put(readout, end), jax.tree.map(lambda leaf: leaf.reshape(samples, *leaf.shape[2:]), records)


class _Lines(NamedTuple):
    """How an array's word lines fall into turns: `lines` of each of its `tiles` at a time, `period` times."""

    tiles: int
    lines: int
    period: int

    @classmethod
    def of(cls, readout: Readout) -> "_Lines":
        xbar, settings = readout.xbar, readout.constants.settings
        if not isinstance(settings, programming.AccumulatorParams) or settings.lines is None:
            raise ValueError(
                f"readout: learn takes an accumulator with turns (lines), got {settings}; `learner` takes any"
            )
        if settings.own is not None:
            raise ValueError(
                "readout: learn takes devices of nominal steps (own=None), got own steps; `learner` takes any"
            )
        if xbar.wires is not None or xbar.half_select is not None or xbar.device.relax is not None:
            raise ValueError(
                f"readout: learn takes an array without wires, half-selection and devices that change at rest, got "
                f"{xbar.device.name}, wires {xbar.wires}, half_select {xbar.half_select}: `learner` takes any"
            )
        return cls(xbar.active.shape[0], settings.lines, xbar.tile[0] // settings.lines)

    @property
    def rows(self) -> int:
        return self.tiles * self.lines * self.period

    def first(self, leaf: Array, axis: int) -> Array:
        """[..., R, m, ...] -> [period, ..., R, lines, ...]; the axis is that of R."""
        split = leaf.reshape(*leaf.shape[: axis + 1], self.period, self.lines, *leaf.shape[axis + 2 :])
        return jnp.moveaxis(split, axis + 1, 0)

    def last(self, leaf: Array, axis: int) -> Array:
        """Undo `first`."""
        back = jnp.moveaxis(leaf, 0, axis + 1)
        return back.reshape(*back.shape[: axis + 1], self.period * self.lines, *back.shape[axis + 3 :])

    def long(self, leaf: Array) -> Array:
        """[period, P, R, lines, C, n, ...] -> [period, P, 1, 1, 1, N, ...]: compilers vectorise over long last axes."""
        return leaf.reshape(*leaf.shape[:2], 1, 1, 1, -1, *leaf.shape[6:])

    def short(self, leaf: Array, like: Array) -> Array:
        """Undo `long`, of a leaf that was like [P, R, m, C, n, ...]."""
        return leaf.reshape(*leaf.shape[:2], self.tiles, self.lines, *like.shape[3:])

    def turned(self, x: Array) -> Array:
        """Inputs of a round [period, ..., R m] -> [period, turn, ..., R lines], each sample's by itself.

        To have the turns first takes three times as long: all samples would be gone through for every turn.
        """
        split = x.reshape(self.period, self.tiles, self.period, self.lines)
        return split.swapaxes(1, 2).reshape(self.period, self.period, -1)

    def take(self, readout: Readout) -> "_Round":
        pending, xbar = readout.pending, crossbar.cache(readout.xbar)
        assert xbar.net is not None
        return _Round(
            jax.tree.map(lambda leaf: self.long(self.first(leaf, 1)), xbar.state),
            self.first(xbar.net, 0),
            self.first(pending.a, 0),
            self.turned(pending.pre),
            pending.b,
        )

    def put(self, readout: Readout, state: "_Round") -> Readout:
        pre = state.x.reshape(self.period, self.period, self.tiles, self.lines).swapaxes(1, 2)
        pre = pre.reshape(self.period, self.tiles, self.period * self.lines)
        pending = accumulator.Accumulator(self.last(state.a, 0), pre, state.e)
        like = readout.xbar.state
        kept = jax.tree.map(lambda leaf, was: self.last(self.short(leaf, was), 1), state.devices, like)
        xbar = replace(readout.xbar, state=kept, net=self.last(state.net, 0))
        return readout.replace(xbar=xbar, pending=pending)  # type: ignore[attr-defined]


class _Round(NamedTuple):
    """A readout by turns.

    devices    state of the lines of every turn [period, P, 1, 1, 1, N, ...], N = R lines C n
    net, a     their net conductance and accumulators [period, R, lines, cols]
    x [period, turn, R lines], e [period, cols]  samples' inputs and errors (times eta) in the latest round
    """

    devices: Any
    net: Array
    a: Array
    x: Array
    e: Array


def _block(readout: Readout, lines: _Lines, state: _Round, block: Any) -> tuple[_Round, Record]:
    """Learn one round of samples."""
    xbar, constants = readout.xbar, readout.constants
    settings, unit = constants.settings, xbar.v_read * crossbar.conductance_range(xbar)
    x, labels, rates, keys = block
    cols = xbar.shape[1]
    active = jnp.repeat(jnp.repeat(xbar.active, lines.lines, axis=0), xbar.tile[1], axis=1)  # [R lines, C n]
    # The lines of a turn as one long line: the devices are the same, in the same order. It keeps a net, so that a write
    # leaves the new one; the old one's value is not read.
    size = active.size
    part = replace(xbar, shape=(1, size), tile=(1, size), active=jnp.ones((1, 1), bool), net=jnp.zeros((1, 1, size)))

    def own(leaf):  # of every turn, where devices differ
        if jnp.ndim(leaf):
            return lines.long(lines.first(leaf, 1))
        return jnp.broadcast_to(leaf, (lines.period, *jnp.shape(leaf)))

    y = (xbar.v_read / unit) * jnp.matmul(x, lines.last(state.net, 0).reshape(-1, cols), precision="highest")
    y = y + _noise(readout, x, keys)
    before, now = state.x, lines.turned(x)
    slots = jnp.arange(lines.period, dtype=jnp.int32)

    def turn(carry, given):
        y, e = carry
        devices, net, a, params, faults, label, rate, key, slot = given
        own_before, own_now = (jax.lax.dynamic_index_in_dim(x, slot, 1, keepdims=False) for x in (before, now))
        seen = jax.lax.dynamic_index_in_dim(y, slot, keepdims=False)
        wrong = error(constants, seen, label)
        wanted = rate * wrong
        e = jax.lax.dynamic_update_index_in_dim(e, wanted, slot, 0)
        # What the lines have collected since their last turn, this sample's share included.
        age = (slot - slots) % lines.period
        inputs = jnp.where((slots <= slot)[:, None], own_now, own_before)
        sent = e * (settings.leak ** age.astype(e.dtype))[:, None]
        a = settings.leak**lines.period * a + jnp.matmul(inputs.T, sent, precision="highest").reshape(a.shape)
        threshold = accumulator.threshold(settings, xbar)
        fired = accumulator.fire(a, threshold)
        spread = jnp.pad(fired.reshape(-1, cols), ((0, 0), (0, active.shape[1] - cols)))
        pulses = programming.push_pull(part, jnp.where(active, spread, 0).reshape(1, -1))
        this = replace(part, params=params, state=devices, faults=faults)
        this, events = crossbar.write(this, pulses, constants.write_time, noise.fold_in(key, "write"), max_pulses=1)
        assert this.net is not None  # it was kept, and a write keeps it true
        after = jnp.where(active, this.net.reshape(active.shape), 0)[:, :cols]
        change = (xbar.v_read / unit) * (after - net.reshape(after.shape))
        y = y + jnp.matmul(own_now, change, precision="highest")
        return (y, e), (this.state, after.reshape(net.shape), a - threshold * fired, seen, count(wanted), events)

    given = (state.devices, state.net, state.a, jax.tree.map(own, xbar.params), _own_faults(xbar, own))
    (_, e), (devices, net, a, seen, changed, written) = jax.lax.scan(
        turn, (y, state.e), (*given, labels, rates, keys, slots)
    )
    reads = jax.vmap(lambda x: crossbar.read_events(xbar, x[: xbar.shape[0]] != 0))(x)
    inputs = jnp.sum(x != 0, axis=1, dtype=jnp.int32)
    written = written + Events(accumulate=changed * inputs)
    return _Round(devices, net, a, now, e), Record(hits(seen, labels), reads, written)


def _own_faults(xbar: Crossbar, own: Any) -> Array | None:
    return None if xbar.faults is None else own(xbar.faults)


def _noise(readout: Readout, x: Array, keys: Array) -> Array:
    """Return the read noise of samples' outputs [S, cols], as `predict` draws it; 0 where there is none."""
    xbar, sigma = readout.xbar, readout.constants.read_noise
    if sigma is None:
        return jnp.zeros((), x.dtype)
    sd = crossbar.noise_sd(xbar, xbar.v_read * x[:, : xbar.shape[0]], sigma)
    drawn = jax.vmap(lambda key: noise.normal(noise.fold_in(key, "read"), sd.shape[1:], sd.dtype))(keys)
    return sd * drawn / (xbar.v_read * crossbar.conductance_range(xbar))
