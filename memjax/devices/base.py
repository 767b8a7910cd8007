"""What a memristor model is (`Device`), its conductance, and the helpers that model files use.

A model file holds its citation and equations, `Params`, `State`, `init`, `current`, `step` (and `rate`, `relax`,
`bounds`, `check` where they apply), and ends with `DEVICE = Device(...)`.  Everything is elementwise: a leaf of Params
is a scalar or has the state's rank, so an array of different devices is the same code as one device.  Positive voltage
raises conductance.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

Leaf = jax.Array | float


def _same(params, state):
    return state


def _left(params, entered, y):
    return y


class Chart(NamedTuple):
    """A model's own step in two parts, the voltage's and the state's; where nothing is recorded, `simulate` runs in it.

    A voltage that all devices share is then worked out once, for all steps together.  `enter` and `leave` change to a
    coordinate y in which a step costs less, if the model has one.  leave(enter) is the state itself, and
    leave(advance(enter, drive)) is the step, but for rounding.
    """

    step: Callable  # the step that it stands for: a wrapper that replaces the device's step leaves the chart unused
    drive: Callable  # (params, v [V], dt [s])         -> u, all that the step needs of them
    advance: Callable  # (params, y, u)                  -> y
    enter: Callable = _same  # (params, state)                 -> y
    leave: Callable = _left  # (params, state entered, y)      -> State
    even: Callable | None = None  # (params, u [T])   -> u [T], of a voltage that all share: so that no rounding adds up


class Device(NamedTuple):
    """Describe a memristive one-port: i = current(params, state, v);  state' = step(params, state, v, dt, key).

    switching: "bipolar" (the sign of v sets the direction), "unipolar", or "programmed": one pulse a step whatever dt
    is, v > 0 potentiates, v < 0 depresses, v = 0 lets the device relax.  volatile: something moves at 0 V.
    slow: what moves at 0 V takes so long that the width of a pulse counts for nothing; an array lets it move when it is
    told to rest, and not while other lines are written.
    Hashable: it is static metadata of arrays of devices.
    """

    name: str
    Params: type  # struct.dataclass; Params() is the nominal device of the cited source
    init: Callable  # (params, x)                         -> State      x in [0, 1], any shape; conductance rises with x
    current: Callable  # (params, state, v [V])              -> i [A]
    step: Callable  # (params, state, v [V], dt [s], key) -> State
    rate: Callable | None = None  # (params, state, v) -> d state / dt, where the model is an ODE
    relax: Callable | None = None  # (params, state, dt [s]) -> State: closed form at 0 V; None: nothing moves
    switching: str = "bipolar"
    volatile: bool = False
    bounds: Callable | None = None  # (params) -> (State, State): lowest, highest; floats -inf and inf where unbounded
    check: Callable | None = None  # (params) -> None; raises ValueError on concrete leaves, lets tracers pass
    chart: Chart | None = None
    slow: bool = False
    start: Callable | None = None  # (params, state) -> State: what a write moves, where the state is not that itself


def fill(params: Any, x) -> jax.Array:
    """Return the normalised state x as a float array of the shape that x and the leaves of params have together.

    Raises ValueError where x is outside [0, 1] (tracers pass).
    """
    if not isinstance(x, Tracer):
        accept("x", x, (np.asarray(x) >= 0) & (np.asarray(x) <= 1), "0 to 1")
    x, leaves = jnp.asarray(x), jax.tree.leaves(params)
    given = x if jnp.issubdtype(x.dtype, jnp.floating) else float
    # An explicit dtype makes the array strongly typed, so that a state keeps its type over steps and never retraces.
    x = x.astype(jnp.result_type(float, given, *leaves))
    return jnp.broadcast_to(x, np.broadcast_shapes(x.shape, *map(np.shape, leaves)))


def clip(x, low, high) -> jax.Array:
    """Return x within [low, high], where low <= high; NaN stays NaN.

    Written as two selections, each one instruction of a CPU: `jnp.clip` costs three times as many, for its rule that a
    NaN bound wins, and a step of a simple model is little else.  The derivative at a bound is that of x.
    """
    x = jnp.where(x > high, high, x)
    return jnp.where(x < low, low, x)


def accept(name: str, value, ok, accepted: str) -> None:
    """Raise ValueError unless ok holds everywhere, with the first value where it does not."""
    if not np.all(ok):
        wrong = np.broadcast_to(np.asarray(value), np.shape(ok))[~np.asarray(ok)].flat[0].item()
        raise ValueError(f"{name} = {wrong}: accepted is {accepted}")


def require(params: Any, field: str, condition: Callable, accepted: str) -> None:
    """Raise ValueError unless condition(params) holds everywhere, naming the field, its value and what is accepted.

    Tracers pass: inside jit, vmap or grad there is no value to look at.
    """
    ok = condition(jax.tree.map(lambda leaf: leaf if isinstance(leaf, Tracer) else np.asarray(leaf), params))
    if not isinstance(ok, Tracer):
        accept(field, getattr(params, field), ok, accepted)


def conductance(device: Device, params: Any, state: Any, v_read: Leaf = 0.1) -> jax.Array:
    """Return the chord conductance g = i(v_read) / v_read [S], of the state's shape."""
    return device.current(params, state, v_read) / v_read
