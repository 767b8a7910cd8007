"""The network itself, and its pure functions."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from memjax import crossbar, encoding, neurons, noise, programming, variation
from memjax._fusion import keep
from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.learning import Learner
from memjax.network._arrays import measured, sample_array
from memjax.network._described import Architecture, Chip, Physics
from memjax.network._layer import Layer, Sampled
from memjax.plasticity import base as plasticity
from memjax.plasticity import delta, error_driven, three_factor

ENCODINGS = ("direct", "rate", "latency")
RULES = ("three_factor", "error_driven")
FEEDBACK = ("symmetric", "random")


class Activity(NamedTuple):
    """What one presentation leaves, means over its time steps."""

    xbar: Array  # input [..., n_in]
    hbar: Array  # hidden spikes, filtered by the readout [..., n_hidden]
    psi: Array  # surrogate derivative [..., n_hidden]
    y: Array  # output [..., n_classes]
    events: Events


class EdgeNetwork(nnx.Module):
    """A two-layer spiking network whose weights are memristors and that learns online; see the package's docstring."""

    def __init__(
        self,
        arch: Architecture,
        chip: Chip,
        physics: Physics,
        settings: Any,
        *,
        key: Array,
        faults_key: Array | None = None,
        start_key: Array | None = None,
    ):
        """Sample one chip: `settings` are the programmer's Params, `key` is the chip's.

        faults_key draws the stuck devices in its place, and start_key the first weights, so that they and the spread
        vary apart.

        Raises ValueError for unknown names, sizes or steps that are not positive, or another programmer's Params.
        """
        for name, value, accepted in (
            ("encoding", arch.encoding, ENCODINGS),
            ("rule", arch.rule, RULES),
            ("feedback", arch.feedback, FEEDBACK),
            ("reset", arch.reset, neurons.RESETS),
        ):
            if value not in accepted:
                raise ValueError(f"network: {name} = {value!r}: accepted is one of {', '.join(accepted)}")
        if min(*arch.sizes, arch.steps) < 1:
            raise ValueError(f"network: sizes = {arch.sizes}, steps = {arch.steps}: accepted is at least 1 of each")
        neurons.check(physics.neuron)
        self.arch = nnx.static(arch)
        imperfect = chip.nonidealities
        if imperfect is not None:
            physics = physics.replace(  # type: ignore[attr-defined]
                **{name: imperfect.scaled(name) for name in ("read_noise", "half_select", "heat")}
            )
        self.fluctuates = nnx.static(imperfect is not None and imperfect.fluctuates)
        self.physics = Sampled(physics)
        programmer = programming.get(arch.programmer)
        if not isinstance(settings, programmer.Params):
            raise ValueError(
                f"network: the settings are {type(settings).__name__}: "
                f"accepted is {programmer.Params.__name__}, of programmer {programmer.name!r}"
            )
        n_in, n_hidden, n_out = arch.sizes

        def layer(name, shape):
            own = variation.named_key(key, name)
            xbar, known = sample_array(arch, chip, physics, shape, own, key, name, faults_key, start_key), settings
            if chip.own_steps is not None:
                xbar, known = measured(chip.own_steps, xbar, physics, settings, variation.named_key(own, "own steps"))
            return Layer(xbar, programmer, known)

        self.hidden, self.output = layer("hidden", (n_in, n_hidden)), layer("output", (n_hidden, n_out))
        random = noise.normal(variation.named_key(key, "feedback"), (n_hidden, n_out), jnp.result_type(float))
        random = random * chip.init_gain / n_hidden**0.5
        self.feedback = Sampled(random if arch.feedback == "random" else None)

    def __call__(self, x: Array, key: Array) -> Array:
        """Return the output y [..., n_classes] for inputs x [..., n_in] in [0, 1]."""
        return self.present(x, key).y

    def present(self, x: Array, key: Array) -> Activity:
        """Present x [..., n_in] for all time steps; counts are those of a single sample (zero for a batch)."""
        arch, physics = self.arch, self.physics.get_value()
        first, second = (layer.array(physics) for layer in (self.hidden, self.output))
        k_encode, k_hidden, k_output = (noise.fold_in(key, name) for name in ("encode", "hidden", "output"))
        inputs, u = self._drive(first, x, physics, k_encode, k_hidden)

        def time_step(state, current):
            (spike, v), state = neurons.step(physics.neuron, state, current, reset=arch.reset)
            return state, (spike, v)

        few = arch.steps <= 16  # unrolled, the steps are one kernel
        _, (spikes, v) = jax.lax.scan(time_step, neurons.init(u.shape[1:], u.dtype), keep(u) if few else u, unroll=few)
        psi = neurons.psi(v - physics.neuron.threshold, physics.surrogate_width)
        # Sums over time are products: a compiler keeps a product's result, but works a sum out anew for every weight
        # that it updates.
        c = _readout_weights(physics.neuron.leak, arch.steps, u.dtype)
        mean = jnp.full(arch.steps, 1 / arch.steps, u.dtype)
        rows = ((c, spikes), (c * c, spikes), (mean, psi))
        hbar, power, psi = (jnp.tensordot(row, x, 1, precision="highest") for row, x in rows)
        y = crossbar.read(second, physics.v_read * hbar)
        if physics.read_noise is not None:
            # Every spike is read by itself: the readout's noise has the variance of the weighted sum of their noise.
            sd = crossbar.noise_sd(second, physics.v_read * jnp.sqrt(power), physics.read_noise)
            y = y + sd * noise.normal(k_output, y.shape, y.dtype)
        y = y / _unit(second, physics)
        events = Events()
        if x.ndim == 1:
            delivered = jnp.sum(inputs != 0, axis=0, dtype=jnp.int32) * (arch.steps // inputs.shape[0])
            events = crossbar.read_events(first, delivered, arch.steps)
            events = events + crossbar.read_events(second, jnp.sum(spikes, axis=0), arch.steps)
        return Activity(jnp.mean(inputs, axis=0), hbar, psi, y, events)

    def learn(
        self, x: Array, label: Array, rates: tuple[Any, Any], key: Array, turn: Array
    ) -> tuple[Array, Events, Events]:
        """Present sample number `turn`, x [n_in] of class `label`, and program both arrays.

        rates are the hidden and the output layer's learning rates. Returns (y [n_classes] before learning, events of
        the inference, events of the learning).
        """
        arch, physics = self.arch, self.physics.get_value()
        if arch.age_every is not None:
            due = (turn % arch.age_every == 0) & (turn > 0)
            self.age(physics.sample_period * arch.age_every, noise.fold_in(key, "age"), due)
        if physics.wires is not None and arch.refresh is not None:
            for layer in (self.hidden, self.output):
                layer.settle(physics, arch.refresh, turn)
        k_present, k_back, k_hidden, k_output = (
            noise.fold_in(key, name) for name in ("present", "back", "hidden", "output")
        )
        seen = self.present(x, k_present)
        error = jax.nn.softmax(physics.output_gain * seen.y) - jax.nn.one_hot(label, arch.sizes[2], dtype=x.dtype)
        programmer = programming.get(arch.programmer)
        second = self.output.array(physics)
        pre, post, net = plasticity.Signals(seen.hbar), plasticity.Signals(seen.y), crossbar.net_conductance(second)
        if arch.rule == "error_driven":
            w = crossbar.weights(second)
            dw, _ = error_driven.step(error_driven.Params(rates[1]), (), pre, post, w, -error, 0.0)
            return seen.y, seen.events, self.output.program(programmer, dw, physics, k_output, turn)
        dw2, _ = delta.step(delta.Params(rates[1]), (), pre, post, net, -error, 0.0)
        if arch.feedback == "symmetric":
            v = physics.v_read * error
            back = crossbar.read_back(second, v, noise=physics.read_noise, key=k_back) / _unit(second, physics)
            spent = crossbar.read_events(second, v != 0, back=True)
        else:
            back, spent = jnp.matmul(self.feedback.get_value(), error, precision="highest"), Events()
        dw1 = three_factor.factors(three_factor.Params(eta=rates[0]), seen.xbar, seen.psi, back)
        spent = spent + self.hidden.program(programmer, dw1, physics, k_hidden, turn)
        return seen.y, seen.events, spent + self.output.program(programmer, dw2, physics, k_output, turn)

    def age(self, dt: Any, key: Array, when: Any = True) -> None:
        """Let both arrays rest for dt [s], where `when` (traced): they drift, forget, fluctuate and warm up."""
        physics = self.physics.get_value()
        for name, layer in (("hidden", self.hidden), ("output", self.output)):
            layer.age(physics, dt, noise.fold_in(key, name) if self.fluctuates else None, when)

    def cache(self, on: bool = True) -> None:
        """Keep the arrays' net conductances beside the devices (or drop them): for loops of many reads.

        With wires these are effective conductances, and the next write drops them.
        """
        physics = self.physics.get_value()
        for layer in (self.hidden, self.output):
            xbar = layer.array(physics)
            exact = crossbar.cache(replace(xbar, losses=None)).net if on else None
            layer.keep(replace(xbar, net=exact))

    def arrays(self) -> tuple[Crossbar, Crossbar]:
        """Return both crossbars."""
        physics = self.physics.get_value()
        return self.hidden.array(physics), self.output.array(physics)

    def _drive(
        self, first: Crossbar, x: Array, physics: Physics, k_encode: Array, k_read: Array
    ) -> tuple[Array, Array]:
        """Return the inputs [T or 1, ..., n_in] and the hidden currents in units of weight [T, ..., n_hidden]."""
        steps = self.arch.steps
        if self.arch.encoding == "direct":
            inputs = x[None]
        elif self.arch.encoding == "rate":
            inputs = encoding.rate(x, steps, k_encode)
        else:
            inputs = encoding.latency(x, steps)
        i = crossbar.read(first, physics.v_read * inputs)
        # A held input is read anew at every step: the same current, fresh noise.
        i = jnp.broadcast_to(i, (steps, *i.shape[1:]))
        if physics.read_noise is not None:
            sd = crossbar.noise_sd(first, physics.v_read * inputs, physics.read_noise)
            i = i + sd * noise.normal(k_read, i.shape, i.dtype)
        return inputs, i / _unit(first, physics)


def _unit(xbar: Crossbar, physics: Physics) -> Array:
    """Current of weight 1 at a full-scale input [A]."""
    return physics.v_read * crossbar.conductance_range(xbar)


def _readout_weights(leak: Any, steps: int, dtype) -> Array:
    """c_t = (1/T) sum_{s >= t} leak^(s - t), [T]."""
    powers = jnp.asarray(leak, dtype) ** jnp.arange(steps, dtype=dtype)
    return jnp.cumsum(powers)[::-1] / steps


def functional(make: Any, keys: Any = None) -> tuple[Any, Any]:
    """Turn make(key, ...) -> EdgeNetwork into pure functions of one chip: (Learner, init(key, ...) -> state).

    `keys` is an example of what `make` takes, where that is not one key.
    For vmap and jit over chips. The state is nnx.state of the network, with its arrays' net conductances cached; with
    wires they are cached for predictions alone (`Learner.prepare`), since every write changes them.
    """
    graph = nnx.graphdef(jax.eval_shape(make, jax.random.key(0) if keys is None else keys))

    def init(key, *args):
        net = make(key, *args)
        physics = net.physics.get_value()
        if physics.wires is None:
            net.cache()
        elif net.arch.refresh is not None:  # the first sample solves the wires; until then there is only their shape
            for layer in (net.hidden, net.output):
                xbar = layer.array(physics)
                layer.keep(crossbar.cache(replace(xbar, losses=crossbar.no_losses(xbar))))
        return nnx.state(net)

    def prepare(state):
        net = nnx.merge(graph, state)
        net.cache()
        return nnx.state(net)

    def learn(state, x, label, rates, key, turn):
        net = nnx.merge(graph, state)
        seen = net.learn(x, label, rates, key, turn)
        return nnx.state(net), seen

    def predict(state, x, key):
        return nnx.merge(graph, state)(x, key)

    def age(state, dt, key):
        net = nnx.merge(graph, state)
        net.age(dt, key)
        return nnx.state(net)

    return Learner(learn, predict, prepare, age), init
