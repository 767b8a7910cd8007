"""Spikes, synapses that learn, and neurons in one loop: every synapse at every step, or only those that spikes reach.

One step of dt, whatever the method:

    I_j = sum_i pre_i w_ij                 with the weights that the step before left
    post, neurons <- step(neurons, I)      where post spikes are not given
    dw, rule <- rule.step(...)             traces decay, are read, and take this step's spikes (`plasticity.base`)
    synapses <- write(synapses, dw, dt)    and whatever a synapse does by itself in dt

"dense" does this for all n_pre n_post synapses. "event" does it, with the same functions, for the rows whose pre and
the columns whose post neuron spikes. The others wait: synapse ij was last touched in step s = max(last spike of i,
last spike of j), so in step t it is first brought to the end of step t - 1 by closed forms over (t - 1 - s) dt: the
synapse's own `relax`, and exp(-(t - 1 - s) dt / tau) for traces that a rule keeps for every synapse. No time is kept
for a synapse. Traces of lines decay at every step, at a cost of n_pre + n_post. So both methods give the same to
rounding, for rules that change weights at spikes alone and whose traces decay exponentially (`Rule.taus`).

A step with so many spikes that the dense way is cheaper takes it: where the synapses in spiking rows, each counted
costs[0] times, and in spiking columns, costs[1] times, come to as many as there are. The choice is made in the
compiled loop, step by step. It costs no copy of the weights, which are updated in place.

Morrison, Diesmann, Gerstner 2008 (10.1007/s00422-008-0233-1) on event-driven updates with traces.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from memjax._fusion import after, keep
from memjax.devices import end_pulse
from memjax.devices.base import Device, conductance
from memjax.plasticity.base import Outer, Rule, Signals, dense

METHODS = ("event", "dense")
# What a synapse costs in a row and in a column that spikes, where one of the dense way costs 1 (on a CPU).
COSTS = (11.0, 8.0)


# --- synapses: pytrees whose leaves are scalars or [n_pre, n_post], so that a line of them is the same kind of thing --


@struct.dataclass
class Weights:
    """Plain weights, the state itself: w <- clip(w + dw, w_min, w_max); bounds are None, scalars or [n_pre, n_post]."""

    w_min: Any = None
    w_max: Any = None

    @property
    def fades(self) -> bool:
        """Whether something moves without a spike."""
        return False

    def read(self, state: Array) -> Array:
        """Return the weights."""
        return state

    def write(self, state: Array, dw: Array, dt: Any) -> Array:
        """Add the change within the bounds."""
        w = state + dw
        # Two selections cost half of jnp.clip.
        w = w if self.w_max is None else jnp.where(w > self.w_max, self.w_max, w)
        return w if self.w_min is None else jnp.where(w < self.w_min, self.w_min, w)

    def relax(self, state: Array, dt: Any) -> Array:
        """Return the weights as they were."""
        return state


@struct.dataclass
class Devices:
    """One memristor a synapse: w = (g - g(0)) / (g(1) - g(0)), and a change is at most one pulse a step.

    v = v_write clip(round(dw / pulse), -1, 1); what is below half a `pulse` [w] is lost. Without a pulse the device
    rests, so a volatile one decays. params: the device's, scalars or [n_pre, n_post]. Without keys: no C2C noise.
    """

    params: Any
    pulse: Any
    v_read: Any = 0.1  # V
    v_write: Any = 1.0  # V
    device: Device = struct.field(pytree_node=False, kw_only=True)

    @property
    def fades(self) -> bool:
        """Whether something moves without a spike."""
        return self.device.relax is not None

    def read(self, state: Any) -> Array:
        """Return the conductances between those of x = 0 and x = 1."""
        g, low, high = (
            conductance(self.device, self.params, s, self.v_read)
            for s in (state, self.device.init(self.params, 0.0), self.device.init(self.params, 1.0))
        )
        return (g - low) / (high - low)

    def write(self, state: Any, dw: Array, dt: Any) -> Any:
        """Apply one step of dt at the voltage of a pulse, or at none."""
        v = self.v_write * jnp.clip(jnp.round(dw / self.pulse), -1.0, 1.0)
        return end_pulse(self.device.step(self.params, state, v, dt, None))

    def relax(self, state: Any, dt: Any) -> Any:
        """Let the devices rest for dt [s]."""
        return state if self.device.relax is None else self.device.relax(self.params, state, dt)


class Neurons(NamedTuple):
    """Post neurons of a closed loop: step(state, current [n_post]) -> (spike [n_post], state), and the first state."""

    step: Callable
    state: Any


@struct.dataclass
class Last:
    """What a run leaves for the next one, beside the synapses: states of the rule and of the neurons."""

    rule: Any
    neurons: Any


@struct.dataclass
class Run:
    """Record of a run: post spikes [T, n_post] (bool), how many steps went the dense way, and what continues it."""

    spikes: Array
    dense_steps: Array
    last: Last


# --- the loop ------------------------------------------------------------------------------------------------------


def run(
    rule: Rule,
    params: Any,
    synapses: Any,
    state: Any,
    pre: Array,
    post: Array | Neurons,
    dt: ArrayLike,
    *,
    method: str = "event",
    costs: tuple[ArrayLike, ArrayLike] = COSTS,
    resume: Last | None = None,
) -> tuple[Any, Run]:
    """Run T steps of dt [s] in one `lax.scan`; return (state of the synapses, `Run`).

    synapses  `Weights`, `Devices`, or any pytree with their methods; state is theirs, with leaves [n_pre, n_post].
              The weights that are read have the dtype of the run
    pre       [T, n_pre]: spikes, bool or 0 and 1 of any real dtype
    post      spikes [T, n_post], or `Neurons` that the synapses' current drives
    method    "event" or "dense": the same to rounding
    costs     where "event" takes the dense way (the module's docstring); (0, 0): never
    resume    `run.last` of an earlier run, which this one continues: everything is brought up to date at a run's end

    Under `vmap` a loop goes on until the last run of the batch is through, and copies all weights in every turn to
    select from them: put several chips one after the other (`jax.lax.map`), or use "dense". Reverse-mode autodiff
    refuses loops of traced length: differentiate "dense". Raises ValueError for an unknown method, a rule without
    `taus` under "event", shapes that do not fit, a dt that is not positive, and params that the rule's `check` refuses.
    """
    if rule.check is not None:
        rule.check(params)
    w = jax.eval_shape(synapses.read, state)
    population, given = (post, None) if isinstance(post, Neurons) else (None, post)
    _check_run(rule, w, pre, given, dt, method, costs)

    def cast(leaf):
        return jnp.asarray(leaf).astype(w.dtype)

    params, dt, pre = jax.tree.map(cast, params), cast(dt), jnp.asarray(pre).astype(bool)
    given = None if given is None else jnp.asarray(given).astype(bool)
    state = jax.tree.map(jnp.asarray, state)
    first = resume or Last(rule.init(params, *w.shape), None if population is None else population.state)
    loop = _Loop(rule, params, synapses, dt)

    def dense_step(carry, xs):
        state, traces, neurons = carry
        pre, fired = cast(xs[0]), xs[1]
        if population is not None:
            current = _product(pre, synapses.read(state))
            fired, neurons = population.step(neurons, current)
            pre = after(pre, current)  # the weights change after they were read
        state, traces = loop.whole(state, traces, pre, cast(fired))
        return (state, traces, neurons), fired.astype(bool)

    if method == "dense":
        carry, spikes = jax.lax.scan(dense_step, (state, first.rule, first.neurons), (pre, given))
        state, traces, neurons = carry
        return state, Run(spikes, jnp.int32(len(pre)), Last(traces, neurons))

    rows, cols = _Lines(0, w.shape[0], 16), _Lines(1, w.shape[1], 1)
    kinds, fades = loop.kinds(), loop.fades()
    # What is known before is worked out for all steps together: which rows spike, the first one, and their cost.
    words = rows.words(pre)
    head = jax.vmap(lambda words: rows.after(words, jnp.int32(-1)))(words)
    row_cost = _cost(pre, costs[0])

    def event_step(carry, xs):
        state, traces, neurons, seen = carry
        spikes, fired, words, head, cost, t = xs
        pre = cast(spikes)

        def aged(lines, i, synapses, state, traces, seen=seen):
            """Bring a line, or (None) everything, to the end of the step before."""
            if lines is not None and fades:
                seen = tuple(lines.own(kind, last, i) for kind, last in zip(("pre", "post"), seen, strict=True))
            return loop.rest(kinds, synapses, state, traces, seen, t)

        def line_of(lines, i, state, traces):
            part, own = lines.take(synapses, i), lines.take(state, i)
            sub = jax.tree.map(lambda kind, leaf: lines.own(kind, leaf, i), kinds, traces)
            return part, *aged(lines, i, part, own, sub)

        def gathered():
            def add(carry):
                i, current = carry
                part, own, _ = line_of(rows, i, state, traces)
                return rows.after(words, i), current + part.read(own)[0]

            return jax.lax.while_loop(lambda carry: carry[0] < rows.n, add, (head, jnp.zeros(cols.n, w.dtype)))[1]

        def multiplied():
            return _product(pre, synapses.read(aged(None, None, synapses, state, traces)[0]))

        if population is not None:
            current = jax.lax.cond(cost < 1, gathered, multiplied)
            fired, neurons = population.step(neurons, current)
            head = after(head, current)  # the weights change after they were read
        fired = fired.astype(bool)
        posts, many = cast(fired), cost + _cost(fired, costs[1]) >= 1
        firing = cols.words(fired)

        def sweep(lines, words, start, done, skip=None):
            """Take the step for spiking lines, one by one and in place; `skip` names synapses that have done it."""

            def line(carry):
                i, state, traces = carry
                part, own, sub = line_of(lines, i, state, traces)
                own_pre, own_post = Signals(lines.own("pre", pre, i)), Signals(lines.own("post", posts, i))
                dw, sub = rule.step(params, sub, own_pre, own_post, part.read(own), None, dt)
                new = part.write(own, dense(dw), dt), sub
                return lines.after(words, i), *lines.put(kinds, (state, traces), new, i, skip)

            start = jnp.where(many, lines.n, start)
            return jax.lax.while_loop(lambda carry: carry[0] < lines.n, line, (start, *done))[1:]

        done = sweep(rows, words, head, (state, traces))
        done = sweep(cols, firing, cols.after(firing, jnp.int32(-1)), done, skip=spikes[:, None])

        def whole(_, done):
            # Ages that did not depend on the loop would be worked out before it, in every step.
            state, traces = done
            since = tuple(after(last, jax.tree.leaves(state)[0]) for last in seen)
            state, traces = aged(None, None, synapses, state, traces, since)
            return loop.whole(state, traces, pre, posts)

        # A loop of one turn or none: a conditional would copy what it may change.
        state, own = jax.lax.fori_loop(0, many.astype(jnp.int32), whole, done)
        # The traces of lines; what else this works out is dropped, and a compiler does not do it.
        new = rule.step(params, traces, Signals(pre), Signals(posts), synapses.read(state), None, dt)[1]
        traces = jax.tree.map(lambda kind, own, line: own if kind == "synapse" else line, kinds, own, new)
        if fades:
            seen = tuple(jnp.where(s | many, t + 1, last) for s, last in zip((spikes, fired), seen, strict=True))
        return (state, traces, neurons, seen), (fired, many)

    # How many steps were done when a line last spiked.
    seen = tuple(jnp.zeros(n, jnp.int32) for n in w.shape) if fades else ()
    steps = jnp.arange(len(pre), dtype=jnp.int32)
    carry, (spikes, many) = jax.lax.scan(
        event_step, (state, first.rule, first.neurons, seen), (pre, given, words, head, row_cost, steps)
    )
    state, traces, neurons, seen = carry
    state, traces = loop.rest(kinds, synapses, state, traces, seen, len(pre))
    return state, Run(spikes, jnp.sum(many, dtype=jnp.int32), Last(traces, neurons))


class _Loop(NamedTuple):
    """What both methods do."""

    rule: Rule
    params: Any
    synapses: Any
    dt: Array

    def whole(self, state: Any, traces: Any, pre: Array, post: Array) -> tuple[Any, Any]:
        """Take the step for all synapses."""
        w = self.synapses.read(state)
        dw, traces = self.rule.step(self.params, traces, Signals(pre), Signals(post), w, None, self.dt)
        if isinstance(dw, Outer):
            dw = Outer(keep(dw.a), keep(dw.b))  # or they are worked out anew for every synapse
        return self.synapses.write(state, dense(dw), self.dt), traces

    def kinds(self) -> Any:
        """Return the rule's state with "pre", "post" or "synapse" for each leaf, by its shape.

        Raises ValueError for a leaf that is neither.
        """
        names = {(2,): "pre", (3,): "post", (2, 3): "synapse"}

        def kind(leaf):
            if leaf.shape not in names:
                raise ValueError(f"spiking: {self.rule.name} keeps a state of shape {leaf.shape} for 2 x 3 synapses")
            return names[leaf.shape]

        return jax.tree.map(kind, jax.eval_shape(lambda: self.rule.init(self.params, 2, 3)))

    def fades(self) -> bool:
        """Whether anything of a synapse moves without a spike."""
        return self.synapses.fades or "synapse" in jax.tree.leaves(self.kinds())

    def rest(self, kinds: Any, synapses: Any, state: Any, traces: Any, seen: Any, now: Any) -> tuple[Any, Any]:
        """Let synapses, and what the rule keeps for each, rest from when their lines were last seen until `now`."""
        if not seen:
            return state, traces
        age = (now - jnp.maximum(seen[0][:, None], seen[1][None, :])).astype(self.dt.dtype) * self.dt

        def decayed(kind, leaf, tau):
            return leaf * jnp.exp(-age / tau) if kind == "synapse" else leaf

        traces = jax.tree.map(decayed, kinds, traces, self.rule.taus(self.params))  # type: ignore[misc]
        return synapses.relax(state, age) if synapses.fades else state, traces


class _Lines(NamedTuple):
    """Word lines (axis 0) or bit lines (axis 1): n of them; `width` spikes share a word when they are looked up."""

    axis: int
    n: int
    width: int

    def words(self, spikes: Array) -> Array:
        """Pack spikes [..., n]: bit k of word i is line width i + k."""
        if self.width == 1:
            return spikes.astype(jnp.int32)
        padded = jnp.pad(spikes, [(0, 0)] * (spikes.ndim - 1) + [(0, -self.n % self.width)])
        # As a product, exact up to 24 bits, which a compiler vectorises.
        bits = padded.reshape(*spikes.shape[:-1], -1, self.width).astype(jnp.float32)
        return _product(bits, 2.0 ** jnp.arange(self.width, dtype=jnp.float32)).astype(jnp.int32)

    def after(self, words: Array, i: Array) -> Array:
        """Return the next spiking line after line i by words [n / width], n if there is none."""
        zero = self.width * jnp.arange(len(words), dtype=jnp.int32)
        skip = jnp.clip(i + 1 - zero, 0, self.width)
        left = (words >> skip) << skip
        line = zero + jax.lax.population_count((left & -left) - 1)
        return jnp.min(jnp.where(left != 0, line, self.n))

    def take(self, tree: Any, i: Array) -> Any:
        """Take a line of all leaves [n_pre, n_post]; it keeps two axes."""
        return jax.tree.map(lambda leaf: self._slice(leaf, i, self.axis) if jnp.ndim(leaf) == 2 else leaf, tree)

    def own(self, kind: str, leaf: Array, i: Array) -> Array:
        """Take what belongs to this line of a leaf of a kind."""
        if kind == "synapse":
            return self._slice(leaf, i, self.axis)
        return self._slice(leaf, i, 0) if kind == ("pre", "post")[self.axis] else leaf

    def put(self, kinds: Any, whole: Any, part: Any, i: Array, skip: Array | None) -> Any:
        """Put a line of (state, traces) back, except synapses that `skip` names and the traces of lines."""
        leaves, form = jax.tree.flatten(whole)
        of_synapses = [
            kind == "synapse" for kind in jax.tree.leaves((jax.tree.map(lambda _: "synapse", whole[0]), kinds))
        ]
        new = {k: leaf for k, leaf in enumerate(jax.tree.leaves(part)) if of_synapses[k]}
        shape = next(iter(new.values())).shape
        if skip is not None:
            new = {k: jnp.where(skip, self._slice(leaves[k], i, self.axis), leaf) for k, leaf in new.items()}
        if len(new) > 1:
            # All are worked out, in one piece, before the first one is put, or the leaves would be copied.
            kept = keep(jnp.concatenate([leaf.reshape(-1) for leaf in new.values()])).reshape(len(new), *shape)
            new, i = dict(zip(new, kept, strict=True)), after(i, kept)
        for k, leaf in new.items():
            leaves[k] = jax.lax.dynamic_update_slice_in_dim(leaves[k], leaf, i, self.axis)
        return jax.tree.unflatten(form, leaves)

    @staticmethod
    def _slice(leaf: Array, i: Array, axis: int) -> Array:
        return jax.lax.dynamic_slice_in_dim(jnp.asarray(leaf), i, 1, axis)


def _cost(spikes: Array, each: ArrayLike) -> Array:
    """Return the cost of spiking lines [..., n], relative to the dense way."""
    share = jnp.sum(spikes, axis=-1, dtype=jnp.int32).astype(jnp.float32) / spikes.shape[-1]
    return share * jnp.asarray(each).astype(jnp.float32)


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def _check_run(rule, w, pre, post, dt, method, costs) -> None:
    if method not in METHODS:
        raise ValueError(f"spiking: method = {method!r}: accepted is one of {METHODS}")
    if method == "event" and rule.taus is None:
        raise ValueError(f"spiking: {rule.name} acts between spikes too (it has no `taus`): accepted is method 'dense'")
    if any(not isinstance(cost, Tracer) and np.any(np.asarray(cost) < 0) for cost in costs):
        raise ValueError(f"spiking: costs = {costs}: accepted is 0 or more")
    for name, spikes, n in (("pre", pre, w.shape[0]), ("post", post, w.shape[1])):
        if spikes is not None and spikes.shape != (len(pre), n):
            raise ValueError(f"spiking: {name} has shape {spikes.shape}: accepted is {(len(pre), n)} for {w.shape}")
    if not isinstance(dt, Tracer) and not (np.ndim(dt) == 0 and dt > 0):
        raise ValueError(f"spiking: dt must be one positive number of seconds, got {dt}")
