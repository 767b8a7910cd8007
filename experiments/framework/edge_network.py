"""The framework's edge network as pure functions: two arrays of volatile devices between integrate-and-fire neurons.

One time step (SPEC A4 of the design note), x in volts:

    u1 += x G1;   h = u1 > 1;   u1 = 0 where h;      u2 += h G2;   o = u2 > 1;   u2 = 0 where o

Training step: e = target - o, then every device of the second array: g <- clip(g (1 + lr e_j h_i), g_min, g_max);
returns sum e^2.
The potentials are state: they persist over calls and samples. The first array never learns.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax import crossbar, devices, neurons

SIZES = (784, 256, 10)
NEURON = neurons.Params(leak=1.0, threshold=1.0)


@struct.dataclass
class State:
    """The two arrays, and the potentials of the neurons behind each."""

    arrays: tuple[crossbar.Crossbar, crossbar.Crossbar]
    potentials: tuple[neurons.State, neurons.State]


def create(
    sizes=SIZES, tile: Any = None, *, params: Any = None, x: Any = (0.5, 0.5), key: Array | None = None
) -> State:
    """Return a network at rest; x: initial state of each array, as `crossbar.create` takes it (None: drawn by key)."""
    keys = (None, None) if key is None else jax.random.split(key)
    arrays = tuple(
        crossbar.create(devices.get("volatile"), shape, tile, polarity=1, params=params, x=start, key=k)
        for shape, start, k in zip(((sizes[0], sizes[1]), (sizes[1], sizes[2])), x, keys, strict=True)
    )
    return State(arrays=arrays, potentials=(neurons.init((sizes[1],)), neurons.init((sizes[2],))))


def forward(state: State, x: Array) -> tuple[tuple[Array, Array], State]:
    """Advance one time step with input x [inputs] [V]; returns ((hidden spikes, output spikes), state)."""
    return integrate(state, crossbar.read(state.arrays[0], x))


def train_step(state: State, x: Array, target: Array, lr: Any) -> tuple[Array, State]:
    """Advance one time step and change the second array; returns (sum of squared errors [], state)."""
    (loss, _, _), state = learn(state, crossbar.read(state.arrays[0], x), target, lr)
    return loss, state


def integrate(state: State, current: Array) -> tuple[tuple[Array, Array], State]:
    """Be `forward` from the first array's column currents [hidden] [A], which steps may share: it never changes."""
    (hidden, _), first = neurons.step(NEURON, state.potentials[0], current, reset="zero")
    (output, _), second = neurons.step(
        NEURON, state.potentials[1], crossbar.read(state.arrays[1], hidden), reset="zero"
    )
    return (hidden, output), state.replace(potentials=(first, second))


def learn(state: State, current: Array, target: Array, lr: Any) -> tuple[tuple[Array, Array, Array], State]:
    """Be `train_step` from the first array's column currents; returns ((loss, hidden spikes, output spikes), state)."""
    (hidden, output), state = integrate(state, current)
    error = target - output
    second = crossbar.spike(state.arrays[1], partial(error_step, lr=lr), hidden, error, None, frozen=True)
    return (jnp.sum(error**2), hidden, output), state.replace(arrays=(state.arrays[0], second))


def error_step(params: Any, state: Any, pre: Array, error: Array, dt: None, *, lr: Any) -> Any:
    """Scale conductances, g <- clip(g (1 + lr error pre), g_min, g_max): rule `error_driven`, set on the devices."""
    return state.replace(g=jnp.clip(state.g * (1 + lr * error * pre), params.g_min, params.g_max))
