"""The protocol of a learning rule, and the drivers that run one.

A rule proposes weight changes dw from what it may see of the two sides of a synapse, and never sees a device.
It keeps its traces in a State, works in the State's dtype, and takes its steps in the field's order: decay the
traces, read them for both sides, then add this step's spikes, so that a pre and a post spike in the same step
do not see each other. A rule with another order says so in its file. A rule file is: the citation and the
equations, `Params`, `State`, `check`, `init`, `step`, and `RULE` (with `RULES` where the file holds variants).
"""

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike


class Signals(NamedTuple):
    """What a rule may see of one side: spikes (or graded inputs) [n] and, where it needs it, the potential v [n]."""

    spike: Array
    v: Array | None = None


class Outer(NamedTuple):
    """A weight change kept in factors: dw[i, j] = sum_k a[k, i] b[k, j], with a [k, n_pre] and b [k, n_post]."""

    a: Array
    b: Array


class Rule(NamedTuple):
    """Proposes weight changes from spikes; never sees a device.

    Params  struct.dataclass; Params() is the nominal rule of the cited source
    init    (params, n_pre, n_post) -> State, in the dtype of the params (Python floats: JAX's default)
    step    (params, state, pre: Signals, post: Signals, w [n_pre, n_post], modulator, dt [s]) -> (dw or Outer, State)
    check   (params) -> None; raises ValueError for concrete values the rule cannot work with
    taus    (params) -> State of time constants [s]: where no side of a synapse spikes, dw = 0 and every leaf only
            decays, as exp(-dt / tau); None: the rule acts between spikes too
    """

    name: str
    Params: type
    init: Callable[..., Any]
    step: Callable[..., tuple[Any, Any]]
    check: Callable[[Any], None] | None = None
    taus: Callable[[Any], Any] | None = None


@struct.dataclass
class Trace:
    """Record of a run: the rule's state after the last step and, if recorded, w and state after each step, [T, ...]."""

    last: Any
    w: Array | None = None
    state: Any = None


def dense(dw: Array | Outer) -> Array:
    """Expand a weight change to [n_pre, n_post]; an array passes through."""
    if not isinstance(dw, Outer):
        return dw
    if len(dw.a) > 8:
        return jnp.einsum("ki,kj->ij", dw.a, dw.b, precision=jax.lax.Precision.HIGHEST)
    # A rule's one or two products, unrolled, fuse into `w + dw`: in a scan 4 times faster than a dot (784 x 256, CPU).
    return functools.reduce(operator.add, (a[:, None] * b[None, :] for a, b in zip(dw.a, dw.b, strict=True)))


def run(
    rule: Rule,
    params: Any,
    w0: ArrayLike,
    pre: ArrayLike | Signals,
    post: ArrayLike | Signals,
    dt: ArrayLike,
    *,
    modulator: ArrayLike | None = None,
    record: bool = False,
    w_min: ArrayLike | None = None,
    w_max: ArrayLike | None = None,
    state: Any = None,
) -> tuple[Array, Trace]:
    """Apply a rule to given activity, w <- clip(w + dw, w_min, w_max) each step, in one `lax.scan`.

    w0 [n_pre, n_post] sets the dtype of the whole run. pre [T, n_pre] and post [T, n_post] are spikes (bool,
    int or float), or `Signals` with such leaves; dt [s]; modulator [T, n_post] or [T] is the third factor of
    rules that need one; w_min and w_max are scalars or [n_pre, n_post]. `state` continues an earlier run from
    its `trace.last`. Returns (w [n_pre, n_post], trace); record=True keeps trace.w [T, n_pre, n_post] and
    trace.state, after each step. Raises ValueError for shapes that do not fit, a dt that is not positive, and
    params the rule's `check` refuses.
    """
    if rule.check is not None:
        rule.check(params)
    w0 = jnp.asarray(w0)
    if not jnp.issubdtype(w0.dtype, jnp.floating):
        w0 = w0.astype(jnp.result_type(float))

    def cast(leaf: ArrayLike) -> Array:
        return jnp.asarray(leaf).astype(w0.dtype)

    params = jax.tree.map(cast, params)
    inputs = (_signals(pre, cast), _signals(post, cast), None if modulator is None else cast(modulator))
    low, high = (None if bound is None else cast(bound) for bound in (w_min, w_max))
    _check_run(rule, w0, *inputs, dt=dt, bounds={"w_min": low, "w_max": high})
    dt = cast(dt)

    def body(carry, xs):
        w, state = carry
        dw, state = rule.step(params, state, *xs[:2], w, xs[2], dt)
        w = w + dense(dw)
        if low is not None or high is not None:
            w = jnp.clip(w, low, high)
        return (w, state), (w, state) if record else (None, None)

    if state is None:
        state = rule.init(params, *w0.shape)
    (w, last), (ws, states) = jax.lax.scan(body, (w0, state), inputs)
    return w, Trace(last=last, w=ws, state=states)


def window(rule: Rule, params: Any, dts: ArrayLike, dt: float, *, w: float = 0.5, silent: int = 0) -> Array:
    """Measure the learning window: the change of a weight w by one pre and one post spike, for each dts [n] [s].

    dts = t_post - t_pre must lie on the grid of the time step dt [s]; both are concrete numbers, since they set
    the run's length; it ends `silent` steps after the later spike (delayed rules need them). Returns dw [n]. Raises
    ValueError for times off the grid.
    """
    lags = np.atleast_1d(np.asarray(dts, np.float64)) / float(dt)
    steps = np.rint(lags).astype(int)
    if lags.ndim != 1 or lags.size == 0:
        raise ValueError(f"window: dts must be a list of times, got shape {np.shape(dts)}")
    # A thousandth of a step forgives float32 times and refuses real ones between two steps.
    if not np.allclose(lags, steps, rtol=0, atol=1e-3):
        worst = np.argmax(np.abs(lags - steps))
        raise ValueError(f"window: times must be multiples of dt = {dt} s, got {lags[worst] * dt} s")
    time = np.arange(np.max(np.abs(steps)) + 1 + silent)[None, :, None]
    pre = jnp.asarray(time == np.maximum(0, -steps)[:, None, None])
    post = jnp.asarray(time == np.maximum(0, steps)[:, None, None])
    w0 = jnp.full((1, 1), w, jnp.result_type(float))
    final = jax.vmap(lambda a, b: run(rule, params, w0, a, b, dt)[0])(pre, post)
    return final[:, 0, 0] - w0[0, 0]


def zeros(params: Any, n: int) -> Array:
    """Return a silent trace [n] in the dtype of the params."""
    return jnp.zeros(n, jnp.result_type(float, *jax.tree.leaves(params)))


def decay(trace: Array, tau: Array | float, dt: Array | float) -> Array:
    """Let a trace decay over one step, exactly: trace exp(-dt / tau)."""
    return trace * jnp.exp(-dt / tau)


def all_to_all(trace: Array, spike: Array) -> Array:
    """Add a spike to a trace, so that every earlier spike counts."""
    return trace + spike.astype(trace.dtype)


def nearest(trace: Array, spike: Array) -> Array:
    """Reset a trace to 1 at a spike, so that only the latest spike counts."""
    return jnp.where(spike > 0, jnp.ones_like(trace), trace)


def third_factor(rule: str, modulator: ArrayLike | None, like: Array) -> Array:
    """Return the modulator in the shape and dtype of `like` [n_post]; a scalar is broadcast to all post neurons.

    Raises ValueError where there is none.
    """
    if modulator is None:
        raise ValueError(f"{rule} needs a modulator of shape {like.shape} (or a scalar), got None")
    return jnp.broadcast_to(jnp.asarray(modulator).astype(like.dtype), like.shape)


def require(params: Any, *, positive: tuple[str, ...] = (), non_negative: tuple[str, ...] = ()) -> None:
    """Check all fields of params for finiteness and the named ones for sign, where they are concrete.

    Raises ValueError that names the field, its value and what is accepted.
    """
    rule = type(params).__module__.rpartition(".")[2]
    for name, value in vars(params).items():
        if value is None or isinstance(value, Tracer):
            continue
        number = np.asarray(value)
        if not np.all(np.isfinite(number)):
            raise ValueError(f"{rule}: {name} must be finite, got {value}")
        if name in positive and not np.all(number > 0):
            raise ValueError(f"{rule}: {name} must be > 0, got {value}")
        if name in non_negative and not np.all(number >= 0):
            raise ValueError(f"{rule}: {name} must be >= 0, got {value}")


def _signals(side: ArrayLike | Signals, cast: Callable[[ArrayLike], Array]) -> Signals:
    return jax.tree.map(cast, side if isinstance(side, Signals) else Signals(jnp.asarray(side)))


def _check_run(rule, w0, pre, post, modulator, *, dt, bounds) -> None:
    if w0.ndim != 2:
        raise ValueError(f"run {rule.name}: w0 must be [n_pre, n_post], got shape {w0.shape}")
    steps = pre.spike.shape[0] if pre.spike.ndim else 0
    n_pre, n_post = w0.shape
    expected = {"pre": (pre.spike, (steps, n_pre)), "post": (post.spike, (steps, n_post))}
    expected |= {"pre.v": (pre.v, (steps, n_pre)), "post.v": (post.v, (steps, n_post))}
    for name, (array, shape) in expected.items():
        if array is not None and array.shape != shape:
            raise ValueError(f"run {rule.name}: {name} must have shape {shape} for w0 {w0.shape}, got {array.shape}")
    if modulator is not None and modulator.shape not in ((steps, n_post), (steps,)):
        raise ValueError(f"run {rule.name}: modulator must be {(steps, n_post)} or {(steps,)}, got {modulator.shape}")
    for name, bound in bounds.items():
        if bound is not None and bound.shape not in ((), w0.shape):
            raise ValueError(f"run {rule.name}: {name} must be a scalar or {w0.shape}, got shape {bound.shape}")
    if not isinstance(dt, Tracer) and not (np.ndim(dt) == 0 and dt > 0):
        raise ValueError(f"run {rule.name}: dt must be one positive number of seconds, got {dt}")
