"""A linear teacher of 64 inputs, learned online by one column of devices through any programmer; chips side by side."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from memjax import crossbar, devices, energy, noise, programming, variation
from memjax.plasticity import Outer
from memjax.programming import Programmer

INPUTS, LABEL_NOISE, W_MAX = 64, 0.1, 0.5
RATES, SAMPLES, CHIPS = (0.005, 0.001), 20_000, 20
LEVELS, NONLINEARITY, C2C, DT = 64, 1.0, 0.3, 1e-8
LAST, WINDOW = 5_000, 500  # samples that an error is measured over; that a point of a curve is the mean of
DEVICE = devices.with_c2c_noise(devices.get("exponential"))
BARE = devices.get("exponential")


class Synapse(NamedTuple):
    """What learns: a programmer and its Params (None: ideal weights), where devices start, and what is read."""

    programmer: Programmer | None
    params: Any = None
    x: float = 0.5  # both devices of a pair; 0 leaves those that are written on one side all their range
    read_volatile: bool = False  # the volatile element conducts, too


class Devices(NamedTuple):
    """The non-volatile devices; all traced."""

    levels: Any = LEVELS
    nonlinearity: Any = NONLINEARITY
    c2c: Any = C2C
    asymmetry: Any = 0.0  # step up / step down = (1 + a) / (1 - a)
    stuck: Any = 0.0  # share, half at each end


NOMINAL = Devices()


def synapses() -> dict[str, Synapse]:
    """Return everything that is compared, by name."""
    step, get = 1 / LEVELS, programming.get
    composite, mixed = programming.composite.Params, programming.mixed_precision.Params
    return {
        "ideal weights": Synapse(None),
        "accumulator": Synapse(get("accumulator"), programming.AccumulatorParams(step, lines=None)),
        "composite, both": Synapse(get("composite"), composite(step)),
        "composite, both, soft": Synapse(get("composite"), composite(step, saturation=4 * 2 * step)),
        "composite, one": Synapse(get("composite"), composite(step, sides="one"), 0.0),
        "composite, both, read": Synapse(get("composite"), composite(step), read_volatile=True),
        "mixed precision": Synapse(get("mixed_precision"), mixed(step), 0.0),
        "tag and capture": Synapse(get("tag_capture"), programming.tag_capture.Params(step, leak=0.9999, keep=0.99)),
        "write-verify": Synapse(get("write_verify"), programming.write_verify.Params(step)),
        "tiki-taka": Synapse(get("tiki_taka"), programming.tiki_taka.Params(step, gain=100.0, transfer=0.02)),
        "stochastic": Synapse(get("stochastic"), programming.Params(step)),
        "pulse train": Synapse(get("pulse_train"), programming.Params(step)),
        "sign": Synapse(get("sign"), programming.SignParams(threshold=2e-3)),
    }


def array(synapse: Synapse, made: Devices, key):
    """Return one chip's column of pairs."""
    step, spread = 1 / made.levels, made.asymmetry / made.levels
    inner = BARE.Params(
        step_up=step + spread, step_down=step - spread, beta_up=made.nonlinearity, beta_down=made.nonlinearity
    )
    logical = (2, INPUTS, 1)
    faults = variation.sample_stuck(logical, made.stuck / 2, made.stuck / 2, key)
    params = DEVICE.Params(inner=inner, sigma=made.c2c)
    return crossbar.create(DEVICE, (INPUTS, 1), params=params, x=jnp.full(logical, synapse.x), faults=faults)


def run(synapse: Synapse, made: Devices, samples: int, half_width: float | None, key):
    """Learn on one chip: (squared error on the label, on the teacher's clean output, events), each [samples].

    Inputs are standard normal, or uniform in +-half_width.
    """
    real = jnp.result_type(float)
    k_teacher, k_data, k_chip = jax.random.split(key, 3)
    teacher = jax.random.uniform(k_teacher, (INPUTS,), minval=-W_MAX, maxval=W_MAX)
    xbar = None if synapse.programmer is None else array(synapse, made, k_chip)
    start = jnp.zeros(INPUTS) if xbar is None else (xbar, synapse.programmer.init(synapse.params, xbar))

    def sample(state, turn):
        own = jax.random.fold_in(k_data, turn)
        x = noise.normal(own, (INPUTS,), real, salt=1)
        if half_width is not None:
            x = half_width * (2 * noise.uniform(own, (INPUTS,), real, salt=1) - 1)
        clean = x @ teacher
        label = clean + LABEL_NOISE * noise.normal(own, (), real, salt=2)
        if xbar is None:
            w, spent = state, energy.Events()
        else:
            array, held = state
            w = crossbar.weights(array)[:, 0]
            spent = crossbar.read_events(array, x != 0)
            if synapse.read_volatile:
                w = w + held[:, 0]
        y = x @ w
        rate = jnp.where(turn < samples // 2, *RATES)
        if xbar is None:
            state = w + rate * (label - y) * x
        else:
            dw = Outer(x[None], (rate * (label - y))[None, None])
            array, held, more = synapse.programmer.step(synapse.params, held, dw, array, DT, own, turn)
            state, spent = (array, held), spent + more
        return state, (jnp.square(label - y), jnp.square(clean - y), spent)

    return jax.lax.scan(sample, start, jnp.arange(samples, dtype=jnp.int32))[1]


def measure(synapse: Synapse, made: Devices = NOMINAL, samples=SAMPLES, chips=CHIPS, half_width=None, seed=0) -> dict:
    """Learn on many chips: errors of the last quarter with their sd over chips, the ledger of a chip, and curves."""
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(seed), i))(jnp.arange(chips, dtype=jnp.uint32))
    # The numbers of a synapse are traced, so that one program serves every value of a sweep.
    kind = synapse._replace(params=None)
    errors, clean, events = _all(_Static(kind), synapse.params, made, samples, half_width, keys)
    errors, clean = np.asarray(errors, np.float64), np.asarray(clean, np.float64)
    last = slice(-min(LAST, samples // 4), None)
    pulses = np.asarray(events.pulse + events.refresh, np.int64)
    if pulses.ndim == 0:
        pulses = np.zeros_like(errors, np.int64)
    window = min(WINDOW, samples // 10)
    means = errors[:, last].mean(axis=1)
    with np.errstate(invalid="ignore"):  # an error may grow without bound
        sd = float(means.std())
    return {
        "error": float(means.mean()),
        "error_sd": sd,
        "excess": float(clean[:, last].mean()),
        "ledger": {name: value / chips for name, value in energy.total(events).items()},
        "curve": [float(f"{e:.4g}") for e in errors.mean(axis=0).reshape(-1, window).mean(axis=1)],
        "pulses": [float(f"{p:.5g}") for p in np.cumsum(pulses.mean(axis=0))[window - 1 :: window]],
    }


class _Static:
    """A synapse without its numbers, hashable by what it is: the same one compiles once."""

    def __init__(self, kind: Synapse):
        self.kind = kind

    def __hash__(self):
        return hash(self.kind)

    def __eq__(self, other):
        return self.kind == other.kind


def _run_all(static, params, made, samples, half_width, keys):
    one = lambda key: run(static.kind._replace(params=params), made, samples, half_width, key)  # noqa: E731
    return jax.vmap(one)(keys)


_all = jax.jit(_run_all, static_argnums=(0, 3, 4))
