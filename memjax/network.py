"""The two-layer edge network as a Flax NNX module: crossbar, spiking hidden layer, crossbar, integrating readout.

A sample x in [0, 1] is presented for T time steps (`encoding`). With w = (g+ - g-) / (g_max - g_min) in [-1, 1]:

    hidden   u_t = sum_i x_ti w1_ij + read noise;    LIF spikes h_tj (`neurons`)
    readout  leaky integrators o_t = leak o_{t-1} + sum_j h_tj w2_jk + read noise;    y = mean_t o_t

The readout is linear, so y = hbar . w2 with hbar_j = sum_t c_t h_tj, c_t = (1/T) sum_{s >= t} leak^(s - t): one product
instead of T, and read noise of the same variance. Learning is local, online, batch size 1, both layers in situ, with
the error e = softmax(gain y) - target:

    dw2_jk = -eta hbar_j e_k                                   delta rule
    dw1_ij = -eta L_j psi_j xbar_i,  L_j = sum_k w2_jk e_k     three-factor rule

where psi is the mean surrogate derivative and xbar the mean input over the steps. The error comes back through the
second array itself (feedback "symmetric": L as above) or a fixed random matrix ("random"). A programmer turns dw into
pulses. The rule "error_driven" is the modular framework's: it changes the second array alone.

`nnx.split(net, Weight, Sampled, Volatile, ...)` gives trained weights (the programmed state of the devices), sampled
device parameters (what makes a chip that chip) and volatile state (accumulators) as separate pytrees.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx, struct
from jax import Array

from memjax import crossbar, encoding, neurons, noise, programming, thermal, variation
from memjax._fusion import keep
from memjax.crossbar import Crossbar
from memjax.devices.base import Device
from memjax.devices.base import conductance as device_conductance
from memjax.energy import Events
from memjax.plasticity import base as plasticity
from memjax.plasticity import delta, error_driven, three_factor

ENCODINGS = ("direct", "rate", "latency")
RULES = ("three_factor", "error_driven")
FEEDBACK = ("symmetric", "random")


class Weight(nnx.Param):
    """What learning programs: the state of the devices."""


class Sampled(nnx.Variable):
    """What makes a chip that chip: sampled device parameters, faults, switched tiles, and physical constants."""


class Volatile(nnx.Variable):
    """What fades: the accumulators of the programmer."""


class Cached(nnx.Variable):
    """What follows from the others: the arrays' net conductances and their wires' losses, kept for speed."""


@struct.dataclass
class Physics:
    """Physical constants of a network, all traced."""

    neuron: neurons.Params = neurons.Params()
    surrogate_width: Any = 1.0  # in units of the membrane potential
    output_gain: Any = 0.5  # slope of the softmax
    read_noise: Any = None  # sd of a device's conductance at every read, relative to g_max - g_min; None: no draw
    v_read: Any = 0.1  # V, of a full-scale input
    v_write: Any = 1.0  # V
    write_time: Any = 10e-9  # s, width of a pulse
    wires: Any = None  # wires.Wires: resistance of every tile's lines; None: ideal
    half_select: Any = None  # crossbar.HalfSelect: how writes disturb the other devices on their lines; None: not
    heat: Any = None  # variation.Heat: what warms the arrays; None: they stay at the temperature of their devices
    sample_period: Any = 1e-3  # s, from one training sample to the next: what the arrays age by


class Architecture(NamedTuple):
    """What fixes the compiled program: sizes, models and rules."""

    device: Device
    sizes: tuple[int, int, int] = (784, 256, 10)
    tile: tuple[int, int] = (64, 64)
    steps: int = 5
    encoding: str = "direct"
    reset: str = "subtract"
    rule: str = "three_factor"
    feedback: str = "symmetric"
    programmer: str = "accumulator"
    # Samples between two solutions of the wires while learning; None: at every read and write. Static: chips that learn
    # side by side do so together, where a traced number would have every sample of every chip do both.
    refresh: int | None = None
    # Samples after which the arrays age, while learning, by as many periods; None: they do not. Static, as above.
    age_every: int | None = None


class Chip(NamedTuple):
    """How chips are sampled: nominal device, spread, stuck devices, and the scale of the first weights.

    The first weights are normal with sd init_gain / sqrt(fan-in). c2c is the sigma of the cycle-to-cycle noise,
    relative to the step: give it where, and only where, the architecture's device is `with_c2c_noise`.

    nonidealities stands in place of spread, c2c and the stuck devices, and of the physics' read noise, half-selection
    and heat: the architecture's device is then `variation.dress(nonidealities, device)`, and `device` the one inside.
    """

    params: Any
    spread: Mapping[str, variation.Spread | float] = MappingProxyType({})
    c2c: Any = None
    stuck_on: float = 0.0
    stuck_off: float = 0.0
    init_gain: float = 1.5
    nonidealities: variation.Nonidealities | None = None
    device: Device | None = None


class Activity(NamedTuple):
    """What one presentation leaves, means over its time steps."""

    xbar: Array  # input [..., n_in]
    hbar: Array  # hidden spikes, filtered by the readout [..., n_hidden]
    psi: Array  # surrogate derivative [..., n_hidden]
    y: Array  # output [..., n_classes]
    events: Events


class Layer(nnx.Module):
    """A crossbar and its programmer, taken apart into NNX variables by their role."""

    def __init__(self, xbar: Crossbar, programmer: programming.Programmer, settings: Any):
        self.weight = Weight(xbar.state)
        self.sampled = Sampled(
            {
                "params": xbar.params,
                "faults": xbar.faults,
                "active": xbar.active,
                "span": xbar.span,
                "programmer": settings,
            }
        )
        self.volatile = Volatile(programmer.init(settings, xbar))
        self.cached = Cached({"net": xbar.net, "losses": xbar.losses})
        self.like = nnx.static(
            replace(
                xbar,
                params=None,
                state=None,
                faults=None,
                active=None,
                net=None,
                v_read=None,
                v_write=None,
                wires=None,
                losses=None,
                half_select=None,
                span=None,
            )
        )

    def array(self, physics: Physics) -> Crossbar:
        """Put the crossbar together again."""
        sampled, cached = self.sampled.get_value(), self.cached.get_value()
        return replace(
            self.like,
            params=sampled["params"],
            faults=sampled["faults"],
            active=sampled["active"],
            state=self.weight.get_value(),
            net=cached["net"],
            losses=cached["losses"],
            v_read=physics.v_read,
            v_write=physics.v_write,
            wires=physics.wires,
            half_select=physics.half_select,
            span=sampled["span"],
        )

    def keep(self, xbar: Crossbar) -> None:
        """Keep what an array has worked out."""
        self.cached.set_value({"net": xbar.net, "losses": xbar.losses})

    def settle(self, physics: Physics, refresh: int, turn: Array) -> None:
        """Solve the array's wires anew where it is time to, and keep what they leave of its reads and writes."""
        xbar = self.array(physics)

        def solved(xbar):
            xbar = crossbar.cache(crossbar.keep_losses(xbar))
            return xbar.net, xbar.losses

        net, losses = jax.lax.cond(turn % refresh == 0, solved, lambda xbar: (xbar.net, xbar.losses), xbar)
        self.keep(replace(xbar, net=net, losses=losses))

    def age(self, physics: Physics, dt: Any, key: Array | None, when: Any = True) -> None:
        """Let the array rest for dt [s] where it is time to, at the temperature that its reads bring it to."""

        warms = physics.heat is not None

        def kept(xbar):  # what resting may change, and no more: a branch not taken copies what it returns
            return variation.field_of(xbar.params, "temperature") if warms else None, xbar.state, xbar.net

        def aged(xbar):
            return kept(crossbar.relax(_warmed(xbar, physics.heat, dt) if warms else xbar, dt, key=key))

        xbar = self.array(physics)
        kelvin, state, net = aged(xbar) if when is True else jax.lax.cond(when, aged, kept, xbar)
        if warms:
            sampled = self.sampled.get_value()
            params = variation.with_field(xbar.params, "temperature", kelvin)
            self.sampled.set_value({**sampled, "params": params})
        self.weight.set_value(state)
        self.keep(replace(xbar, net=net))

    def program(self, programmer: programming.Programmer, dw: Any, physics: Physics, key: Array, turn: Array) -> Events:
        """Let the programmer act on the devices."""
        settings = self.sampled.get_value()["programmer"]
        array = self.array(physics)
        xbar, state, events = programmer.step(
            settings, self.volatile.get_value(), dw, array, physics.write_time, key, turn
        )
        self.weight.set_value(xbar.state)
        self.keep(xbar)
        self.volatile.set_value(state)
        return events


class EdgeNetwork(nnx.Module):
    """A two-layer spiking network whose weights are memristors and that learns online; see the module's docstring."""

    def __init__(
        self,
        arch: Architecture,
        chip: Chip,
        physics: Physics,
        settings: Any,
        *,
        key: Array,
        faults_key: Array | None = None,
    ):
        """Sample one chip: `settings` are the programmer's Params, `key` is the chip's.

        faults_key draws the stuck devices in its place, so that faults and spread vary apart.

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
        self.hidden, self.output = (
            Layer(
                sample_array(arch, chip, physics, shape, variation.named_key(key, name), key, name, faults_key),
                programmer,
                settings,
            )
            for name, shape in (("hidden", (n_in, n_hidden)), ("output", (n_hidden, n_out)))
        )
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
        hbar, power, psi = (jnp.tensordot(row, x, 1) for row, x in ((c, spikes), (c * c, spikes), (mean, psi)))
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
            back, spent = self.feedback.get_value() @ error, Events()
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


def sample_array(
    arch: Architecture,
    chip: Chip,
    physics: Physics,
    shape: tuple[int, int],
    key: Array,
    die: Array,
    name: str = "",
    faults_key: Array | None = None,
) -> Crossbar:
    """Sample one array [rows, cols] of a chip, with its first weights: key is the array's, die the chip's.

    faults_key, with the array's name, draws the stuck devices in key's place.
    """
    logical, tile = (2, *shape), (min(arch.tile[0], shape[0]), min(arch.tile[1], shape[1]))
    of_faults = key if faults_key is None else variation.named_key(faults_key, name)
    w = (
        chip.init_gain
        / shape[0] ** 0.5
        * noise.normal(variation.named_key(key, "weights"), shape, jnp.result_type(float))
    )
    if chip.nonidealities is None:
        params = variation.sample_params(chip.params, chip.spread, logical, variation.named_key(key, "d2d"), die)
        if chip.c2c is not None:
            params = arch.device.Params(inner=params, sigma=chip.c2c)
        faults = variation.sample_stuck(logical, chip.stuck_on, chip.stuck_off, of_faults)
    else:
        device = arch.device if chip.device is None else chip.device
        params, faults = variation.sample(
            chip.nonidealities,
            device,
            chip.params,
            logical,
            tile,
            key,
            die=die,
            v_write=physics.v_write,
            faults_key=of_faults,
        )
    xbar = crossbar.create(
        arch.device,
        shape,
        tile,
        params=params,
        x=jnp.clip(0.5 + 0.5 * jnp.stack([w, -w]), 0.0, 1.0),
        faults=faults,
        v_read=physics.v_read,
        v_write=physics.v_write,
        wires=physics.wires,
        half_select=physics.half_select,
    )
    if physics.heat is None:
        return xbar
    # What reads the array knows it at the reference temperature, and is not told how warm it is.
    cold = replace(xbar, params=variation.with_field(xbar.params, "temperature", physics.heat.reference))
    return replace(xbar, span=crossbar.conductance_range(cold))


def _warmed(xbar: Crossbar, heat: variation.Heat, dt: Any) -> Crossbar:
    """Return the array at the temperature after dt [s] at the power that reads dissipate, `heat.duty` of the time."""
    t = variation.field_of(xbar.params, "temperature")
    g = device_conductance(xbar.device, xbar.params, xbar.state, xbar.v_read)
    lines = (t.shape[0], t.shape[1] * t.shape[2], t.shape[3] * t.shape[4])
    power = heat.duty * jnp.square(xbar.v_read) * g.reshape(lines)
    now = thermal.step(heat.network, t.reshape(lines), power, dt)
    warm = replace(xbar, params=variation.with_field(xbar.params, "temperature", now.reshape(t.shape)))
    return warm if xbar.net is None else crossbar.cache(warm)


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
    from memjax.learning import Learner

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
