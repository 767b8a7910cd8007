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

    Raises ValueError for a number of samples that is no whole number of rounds, an accumulator without turns or with
    own steps, or an array with wires, half-selection or devices that change at rest: their other lines are not left
    alone.
    """
    lines = _Lines.of(readout)
    samples = len(x)
    if samples % lines.period:
        raise ValueError(
            f"readout: {samples} samples: accepted is a multiple of {lines.period}, the calls until every word line "
            "had its turn"
        )
    turns = first + jnp.arange(samples, dtype=jnp.int32)
    keys = jax.vmap(lambda turn: jax.random.fold_in(key, turn))(turns)
    x = jnp.pad(x, ((0, 0), (0, lines.rows - x.shape[1])))
    # Drawn here, once, instead of in the loop.
    offset = _offsets(readout, x, keys)
    blocks = jax.tree.map(
        lambda leaf: leaf.reshape(-1, lines.period, *leaf.shape[1:]), (x, labels, rates, keys, offset)
    )
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

    def take(self, readout: Readout) -> "_Round":
        pending, xbar = readout.pending, crossbar.cache(readout.xbar)
        assert xbar.net is not None
        return _Round(
            jax.tree.map(lambda leaf: self.first(leaf, 1), xbar.state),
            self.first(xbar.net, 0),
            self.first(pending.a, 0),
            self.first(pending.pre, 1).reshape(self.period, self.period, -1),
            pending.b,
        )

    def put(self, readout: Readout, state: "_Round") -> Readout:
        pre = state.x.reshape(self.period, self.period, self.tiles, self.lines)
        pending = accumulator.Accumulator(self.last(state.a, 0), self.last(pre, 1), state.e)
        kept = jax.tree.map(lambda leaf: self.last(leaf, 1), state.devices)
        xbar = replace(readout.xbar, state=kept, net=self.last(state.net, 0))
        return readout.replace(xbar=xbar, pending=pending)  # type: ignore[attr-defined]


class _Round(NamedTuple):
    """A readout by turns: leaves begin with the turn [period, ...].

    devices, net, a  state, net conductance and accumulators of the lines
    x [period, period, R lines], e [period, cols]  inputs of the lines and errors (times eta) in the latest round
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
    x, labels, rates, keys, offset = block
    (r, k), cols = (lines.tiles, lines.lines), xbar.shape[1]
    part = replace(xbar, shape=(r * k, cols), tile=(k, xbar.tile[1]), losses=None)

    def own(leaf):  # of every turn, where devices differ
        return lines.first(leaf, 1) if jnp.ndim(leaf) else jnp.broadcast_to(leaf, (lines.period, *jnp.shape(leaf)))

    y = (xbar.v_read / unit) * jnp.matmul(x, lines.last(state.net, 0).reshape(-1, cols), precision="highest") + offset
    now = lines.first(x.reshape(lines.period, r, -1), 1).reshape(lines.period, lines.period, -1)
    slots = jnp.arange(lines.period, dtype=jnp.int32)

    def turn(carry, given):
        y, e = carry
        devices, net, a, before, now, params, faults, label, rate, key, slot = given
        seen = jax.lax.dynamic_index_in_dim(y, slot, keepdims=False)
        wrong = error(constants, seen, label)
        e = jax.lax.dynamic_update_index_in_dim(e, rate * wrong, slot, 0)
        # What the lines have collected since their last turn, this sample's share included.
        age = (slot - slots) % lines.period
        inputs = jnp.where((slots <= slot)[:, None], now, before)
        sent = e * (settings.leak ** age.astype(e.dtype))[:, None]
        a = settings.leak**lines.period * a + jnp.matmul(inputs.T, sent, precision="highest").reshape(a.shape)
        threshold = settings.fire_at * settings.step
        fired = accumulator.fire(a, threshold)
        this = replace(part, params=params, state=devices, faults=faults, net=net)
        pulses = programming.push_pull(this, fired.reshape(-1, cols))
        this, events = crossbar.write(this, pulses, constants.write_time, noise.fold_in(key, "write"), max_pulses=1)
        assert this.net is not None  # it was kept, and a write keeps it true
        y = y + (xbar.v_read / unit) * jnp.matmul(now, (this.net - net).reshape(-1, cols), precision="highest")
        return (y, e), (this.state, this.net, a - threshold * fired, seen, count(wrong), events)

    given = (state.devices, state.net, state.a, state.x, now, jax.tree.map(own, xbar.params), _own_faults(xbar, own))
    (_, e), (devices, net, a, seen, wrong, written) = jax.lax.scan(
        turn, (y, state.e), (*given, labels, rates, keys, slots)
    )
    reads = jax.vmap(lambda x: crossbar.read_events(xbar, x[: xbar.shape[0]] != 0))(x)
    inputs = jnp.sum(x != 0, axis=1, dtype=jnp.int32)
    written = written + Events(accumulate=wrong * inputs)
    return _Round(devices, net, a, now, e), Record(hits(seen, labels), reads, written)


def _own_faults(xbar: Crossbar, own: Any) -> Array | None:
    return None if xbar.faults is None else own(xbar.faults)


def _offsets(readout: Readout, x: Array, keys: Array) -> Array:
    """Return the read noise of every sample's outputs [S, cols], as `predict` draws it."""
    xbar, sigma = readout.xbar, readout.constants.read_noise
    if sigma is None:
        return jnp.zeros((len(x), xbar.shape[1]), x.dtype)

    def one(x, key):
        sd = crossbar.noise_sd(xbar, xbar.v_read * x[: xbar.shape[0]], sigma)
        return sd * noise.normal(noise.fold_in(key, "read"), sd.shape, sd.dtype)

    return jax.vmap(one)(x, keys) / (xbar.v_read * crossbar.conductance_range(xbar))
