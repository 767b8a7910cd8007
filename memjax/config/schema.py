"""The settings of a run: what there is, its default, its unit and its range."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):  # YAML's true is Python's 1: `epochs: true` must not train for one epoch
        raise ValueError("Input should be a number, not true or false")
    return value


def _no_nan(value: float) -> float:
    if math.isnan(value):
        raise ValueError("Input should be a number, not nan")
    return value


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int | str) else value


def _spread(value: Any) -> Any:
    return value if isinstance(value, Mapping | BaseModel) else {"sigma": value}


Real = Annotated[float, BeforeValidator(_no_flag), Field(allow_inf_nan=False)]
Count = Annotated[int, BeforeValidator(_no_flag)]
Positive = Annotated[Real, Field(gt=0)]
NotNegative = Annotated[Real, Field(ge=0)]
Share = Annotated[Real, Field(ge=0, le=1)]
AtLeastOne = Annotated[Count, Field(ge=1)]
Parameter = Annotated[
    float, BeforeValidator(_no_flag), AfterValidator(_no_nan)
]  # inf is a time constant that never ends


def _check_schedule(decay_at: tuple[float, ...], decay_factor: tuple[float, ...]) -> None:
    if len(decay_at) != len(decay_factor):
        lengths = f"{len(decay_at)} and {len(decay_factor)}"
        raise ValueError(f"decay_at and decay_factor should be of one length, got {lengths}")
    if list(decay_at) != sorted(decay_at):
        raise ValueError(f"decay_at should rise, got {list(decay_at)}")


class Section(BaseModel):
    """Settings that cannot change and accept no unknown key; an empty section holds the defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value


class Device(Section):
    """Which memristor model, with which parameters, and how it is read and written."""

    name: str = Field(default="volatile", description="memristor model or preset, one of `memjax devices` (--presets)")
    params: dict[str, Parameter] = Field(
        default={}, description="parameters of the model that differ from its own, SI units"
    )
    g_min: NotNegative | None = Field(default=None, description="lowest conductance, S (the same as params.g_min)")
    g_max: Positive | None = Field(default=None, description="highest conductance, S (the same as params.g_max)")
    tau: Positive | None = Field(default=None, description="decay time constant, s (the same as params.tau)")
    read_voltage: Positive = Field(default=0.1, description="V")
    write_voltage: Positive = Field(default=1.0, description="V")
    read_time: Positive = Field(default=20e-9, description="duration of a read, s")
    write_time: Positive = Field(default=10e-9, description="duration of a write pulse, s")


class Stdp(Section):
    """Pair STDP; its time constants are the only values that are not in SI units."""

    A_plus: NotNegative = Field(default=0.01, description="potentiation of a pair, fraction of the weight range")
    A_minus: NotNegative = Field(default=0.01, description="depression of a pair, fraction of the weight range")
    tau_plus: Positive = Field(default=20.0, description="decay of the presynaptic trace, ms")
    tau_minus: Positive = Field(default=20.0, description="decay of the postsynaptic trace, ms")

    def rule_params(self) -> dict[str, float]:
        """Return the keywords of the rule's Params, with times in seconds."""
        return {
            "a_plus": self.A_plus,
            "a_minus": self.A_minus,
            "tau_plus": self.tau_plus / 1000,
            "tau_minus": self.tau_minus / 1000,
        }


class Wires(Section):
    """Resistance of the lines of every module, and of what drives and senses them."""

    r_word: NotNegative = Field(default=1.0, description="segment of a word line, ohm")
    r_bit: NotNegative = Field(default=1.0, description="segment of a bit line, ohm")
    r_source: NotNegative = Field(default=0.0, description="driver of a word line, ohm")
    r_sense: NotNegative = Field(default=0.0, description="sense amplifier of a bit line, ohm")
    topology: Literal["single", "double_drive", "double_sense", "double"] = Field(
        default="single", description="which lines have a driver or a sense amplifier at both ends"
    )
    refresh: AtLeastOne | None = Field(
        default=2000,
        description="while learning, samples between two solutions of the wires; null: solve every read and write",
    )


class Array(Section):
    """Sizes of the crossbar arrays and of the modules (tiles) that they are cut into."""

    n_inputs: AtLeastOne = Field(default=784, description="rows of the first array")
    n_outputs: AtLeastOne = Field(default=100, description="columns of the first array: the network's hidden neurons")
    n_classes: AtLeastOne = Field(default=10, description="columns of the second array: the network's outputs")
    module_size: Annotated[tuple[AtLeastOne, AtLeastOne], BeforeValidator(_pair)] = Field(
        default=(28, 28), description="rows and columns of a module; one number makes it square"
    )
    wires: Wires | None = Field(default=None, description="resistance of the modules' lines; null: ideal lines")


class Patches(Section):
    """A patch layer in place of the first array: filters shared by all positions of an image, that learn before all."""

    size: AtLeastOne = Field(default=6, description="side of a patch, pixels; array.n_outputs filters look at it")
    stride: AtLeastOne = Field(default=2, description="pixels from one position to the next")
    padding: Annotated[Count, Field(ge=0)] = Field(default=0, description="zero pixels around the image")
    pool: Annotated[tuple[AtLeastOne, AtLeastOne], BeforeValidator(_pair)] = Field(
        default=(4, 4), description="rows and columns of the grid that spikes are summed over; one number: square"
    )
    images: AtLeastOne | None = Field(default=10_000, description="first so many training images teach; null: all")
    per_image: AtLeastOne = Field(default=48, description="random patches that an image teaches")
    learning_rate: NotNegative = Field(default=0.05, description="share of the way that a winner moves to its patch")
    decay_at: tuple[Share, ...] = Field(default=(0.5, 0.8), description="parts of these images after which it falls")
    decay_factor: tuple[Positive, ...] = Field(default=(0.3, 0.3), description="factors by which it falls then")
    programmer: Literal["accumulator", "stochastic", "pulse_train", "composite", "mixed_precision", "write_verify"] = (
        Field(default="accumulator", description="weight changes of the filters -> pulses")
    )
    epsilon: Positive = Field(default=0.1, description="regularises the whitening, mean variance of a pixel")
    floor: Positive = Field(default=0.03, description="contrast that noise has, of full scale")
    fill: Positive = Field(default=1.0, description="share of the weights' range that the whitened patches ask for")
    handicap: NotNegative = Field(default=0.2, description="of filters that win too often, cosine; 0: none")
    inhibition: Real = Field(default=1.0, description="of each other, standard deviations over the filters")
    saturation: Positive = Field(default=4.0, description="current that fires at every step, over the mean current")
    drive: Literal["raw", "normalised"] = Field(
        default="raw", description="what the word lines get: pixels, or pixels without mean and contrast"
    )
    both: bool = Field(default=False, description="neurons of both signs for every filter: twice the features")
    code: Literal["count", "first"] = Field(default="count", description="what counts: spikes, or the first one's time")

    @model_validator(mode="after")
    def _schedule(self) -> "Patches":
        _check_schedule(self.decay_at, self.decay_factor)
        return self


class Spread(Section):
    """Device-to-device spread of one parameter."""

    sigma: NotNegative = Field(description="standard deviation relative to the nominal value")
    distribution: Literal["lognormal", "normal", "truncated"] = Field(
        default="lognormal", description="shape of the spread"
    )
    die: Share = Field(default=0.0, description="share of the variance that all devices of a chip have in common")
    patch: Share = Field(default=0.0, description="share of the variance that neighbours have in common")
    length: NotNegative = Field(default=0.0, description="correlation length of that, devices")
    covariance: Literal["exponential", "gaussian"] = Field(default="exponential", description="how it falls off")

    @model_validator(mode="after")
    def _shares(self) -> "Spread":
        if self.die + self.patch > 1:
            raise ValueError("die + patch should be at most 1")
        if self.distribution == "truncated" and self.sigma >= 0.43:
            raise ValueError("sigma of a truncated normal should be less than 0.43")
        return self


class DeadLines(Section):
    """Lines of the modules without voltage."""

    word: Share = Field(default=0.0, description="share of a module's word lines that are dead")
    bit: Share = Field(default=0.0, description="share of a module's bit lines that are dead, of one polarity")
    driver: Share = Field(default=0.0, description="share of the word-line drivers that are dead, for all modules")


class Flicker(Section):
    """1/f noise of every device."""

    sigma: NotNegative = Field(default=0.02, description="sd relative to the current")
    tau_min: Positive = Field(default=1e-6, description="shortest time constant, s")
    tau_max: Positive = Field(default=10.0, description="longest time constant, s")
    modes: AtLeastOne = Field(default=8, description="processes that the spectrum is the sum of; one a decade")


class Telegraph(Section):
    """Random telegraph noise."""

    amplitude: Annotated[Real, Field(ge=0, le=2)] = Field(
        default=0.05, description="difference of the two currents, relative to their mean"
    )
    tau_high: Positive = Field(default=1e-3, description="mean time in the upper level, s")
    tau_low: Positive = Field(default=1e-3, description="mean time in the lower level, s")
    share: Share = Field(default=1.0, description="share of devices with a trap")


class Drift(Section):
    """Power-law drift of what was written."""

    nu: NotNegative = Field(default=0.05, description="exponent")
    spread: NotNegative = Field(default=0.0, description="its sd over the devices, relative to it (lognormal)")
    t0: Positive = Field(default=1.0, description="s")


class Retention(Section):
    """Exponential loss of what was written."""

    tau: Positive = Field(default=1e8, description="time constant, s")
    spread: NotNegative = Field(default=0.0, description="its sd over the devices, relative to it (lognormal)")
    x_rest: Share = Field(default=0.0, description="normalised state that it ends at")


class HalfSelect(Section):
    """What a write does to the other devices on its lines."""

    share: Share = Field(default=0.5, description="of the write voltage (pulsed models: what it amounts to)")
    scheme: Literal["half", "third"] = Field(default="half", description="V/2 or V/3")


class Endurance(Section):
    """A window that closes with the writes."""

    n_wear: Positive = Field(default=1e6, description="writes after which 1/e of the window is left")
    beta: Positive = Field(default=1.0, description="exponent")
    x_worn: Share = Field(default=0.5, description="normalised state that it closes on")


class Breakdown(Section):
    """Devices that fail for good after a number of writes (Weibull)."""

    life: Positive = Field(default=1e6, description="writes after which 1 - 1/e of them have failed")
    exponent: Positive = Field(default=1.5, description="Weibull's")
    x_failed: Share = Field(default=0.0, description="normalised state of a failed device")


class Heat(Section):
    """Temperature, of the ambient and from what reads dissipate."""

    ambient: Positive = Field(default=300.0, description="K")
    reference: Positive = Field(default=300.0, description="K, at which the device's parameters hold")
    e_a: NotNegative = Field(default=1.0, description="activation energy of what takes time, eV")
    e_g: Real = Field(default=0.0, description="activation energy of conduction, eV")
    duty: Share = Field(default=0.0, description="share of the time that devices are read at full scale")
    r_th: Positive = Field(default=1e6, description="thermal resistance of a cell to the ambient, K/W")
    c_th: Positive = Field(default=1e-15, description="heat capacity of a cell, J/K")
    g_side: NotNegative = Field(default=0.0, description="thermal conductance to each neighbour, W/K")


class Variation(Section):
    """Everything that is not ideal about real devices; a file may also call the section nonidealities."""

    d2d: dict[str, Annotated[Spread, BeforeValidator(_spread)]] = Field(
        default={}, description="device-to-device spread, parameter -> sigma or {sigma, distribution, ...}"
    )
    c2c: NotNegative = Field(default=0.0, description="cycle-to-cycle noise of a write, sd relative to the step")
    read_noise: NotNegative = Field(default=0.0, description="noise of a read, sd relative to g_max - g_min")
    stuck_on: Share = Field(default=0.0, description="share of devices stuck at g_max")
    stuck_off: Share = Field(default=0.0, description="share of devices stuck at g_min")
    lines: DeadLines | None = Field(default=None, description="dead lines: word, bit, driver")
    flicker: Flicker | None = Field(default=None, description="1/f noise: sigma, tau_min, tau_max, modes")
    telegraph: Telegraph | None = Field(default=None, description="telegraph noise")
    relaxation: NotNegative = Field(default=0.0, description="conductance relaxation, times that published for ReRAM")
    retention: Retention | None = Field(default=None, description="exponential loss: tau, spread, x_rest")
    drift: Drift | None = Field(default=None, description="power-law drift: nu, spread, t0")
    half_select: HalfSelect | None = Field(default=None, description="disturb of writes: share, scheme")
    endurance: Endurance | None = Field(default=None, description="closing window: n_wear, beta, x_worn")
    breakdown: Breakdown | None = Field(default=None, description="failures: life, exponent, x_failed")
    heat: Heat | None = Field(default=None, description="temperature")
    sample_period: NotNegative = Field(
        default=0.0, description="time from one training sample to the next, s, by which arrays age; 0: they do not"
    )
    age_every: AtLeastOne = Field(default=100, description="while learning, samples after which arrays age at once")

    @model_validator(mode="after")
    def _at_most_all(self) -> "Variation":
        if self.stuck_on + self.stuck_off > 1:
            raise ValueError("stuck_on + stuck_off should be at most 1")
        return self


class Neurons(Section):
    """Leaky integrate-and-fire neurons."""

    time_steps: AtLeastOne = Field(default=5, description="simulation steps a sample")
    leak: Share = Field(default=0.9, description="share of the potential that is left after a step")
    threshold: Positive = Field(default=1.0, description="potential above which a neuron spikes")
    reset: Literal["subtract", "zero"] = Field(default="subtract", description="what a spike does to the potential")
    refractory: Annotated[Count, Field(ge=0)] = Field(default=0, description="steps without spikes after a spike")
    surrogate_width: Positive = Field(default=1.0, description="width of the surrogate derivative around the threshold")


class Encoding(Section):
    """How an image becomes input."""

    kind: Literal["direct", "rate", "latency"] = Field(
        default="direct", description="constant current, Bernoulli rate or latency"
    )


class Learning(Section):
    """The learning rule, the programmer that turns its weight changes into pulses, and the schedule."""

    rule: Literal["three_factor", "error_driven"] = Field(default="three_factor", description="learning rule")
    programmer: Literal[
        "accumulator",
        "stochastic",
        "sign",
        "pulse_train",
        "composite",
        "mixed_precision",
        "tag_capture",
        "tiki_taka",
        "write_verify",
    ] = Field(default="accumulator", description="weight changes -> pulses")
    feedback: Literal["symmetric", "random"] = Field(
        default="symmetric", description="weights that carry the error back"
    )
    epochs: AtLeastOne = Field(default=100, description="passes over the training set")
    batch_size: Literal[1] = Field(default=1, description="learning is online")
    learning_rate: NotNegative = Field(default=0.01, description="weight change per unit of error and trace")
    learning_rate_hidden: NotNegative | None = Field(
        default=None, description="the same for the first array; null: as above"
    )
    decay_at: tuple[Share, ...] = Field(default=(0.5, 0.8), description="parts of the run after which the rate falls")
    decay_factor: tuple[Positive, ...] = Field(default=(0.3, 0.3), description="factors by which it falls then")
    fire_at: Positive = Field(default=2.0, description="accumulated change at which a pulse fires, device steps")
    rows_per_write: AtLeastOne | None = Field(
        default=1, description="word lines of every module that may fire a sample, in rotation; null: all"
    )
    max_pulses: AtLeastOne = Field(default=1, description="longest pulse train a sample (not accumulator, sign)")
    sign_threshold: NotNegative = Field(default=0.0, description="weight change above which a pulse fires (sign)")
    accumulator_leak: Share = Field(default=1.0, description="share of the accumulated change left after a sample")
    init_gain: NotNegative = Field(default=1.5, description="sd of the first array's weights, times sqrt(n_inputs)")
    output_gain: Positive = Field(default=0.5, description="gain of the softmax over output potentials")

    @model_validator(mode="after")
    def _schedule(self) -> "Learning":
        _check_schedule(self.decay_at, self.decay_factor)
        return self


class Data(Section):
    """The data set and how much of it."""

    dataset: Literal["digits", "mnist", "fashion_mnist", "cifar10"] = Field(
        default="digits", description="digits is embedded"
    )
    n_train: AtLeastOne | None = Field(default=None, description="first so many training samples; null: all")
    n_test: AtLeastOne | None = Field(default=None, description="first so many test samples; null: all")
    shift: Annotated[Count, Field(ge=0)] = Field(
        default=0, description="training images are moved by up to so many pixels, drawn anew each time"
    )
    shift_fill: Literal["zero", "edge"] = Field(default="zero", description="what then moves in from outside")
    flip: bool = Field(default=False, description="training images are mirrored half of the times, left to right")
    held_out: Annotated[Real, Field(ge=0, lt=1)] = Field(
        default=0.0, description="share of the training set to evaluate on in place of the test set"
    )


class Quantity(Section):
    """The range of a severity, 1 as described, of which every chip draws its own."""

    low: NotNegative = Field(default=0.0, description="lowest severity")
    high: NotNegative = Field(default=2.0, description="highest severity")

    @model_validator(mode="after")
    def _ordered(self) -> "Quantity":
        if self.low > self.high:
            raise ValueError(f"low should be at most high, got {self.low} and {self.high}")
        return self


class MonteCarlo(Section):
    """What `memjax mc` and `memjax ablate` do with sampled chips."""

    study: Literal["deployed", "learning", "arrays"] = Field(
        default="deployed",
        description="deployed: one trained network programmed into every chip; learning: every chip learns; "
        "arrays: bare devices under STDP",
    )
    chips: AtLeastOne = Field(default=1000, description="sampled chips")
    quantities: dict[str, Quantity] = Field(
        default={},
        description="severities of what the section variation describes, drawn by each chip: name -> {low, high}",
    )
    design: Literal["independent", "latin_hypercube", "sobol"] = Field(
        default="independent", description="how these severities are drawn"
    )
    images: AtLeastOne | None = Field(default=2000, description="first so many test images a chip; null: all")
    programming: Literal["write_verify", "open_loop"] = Field(
        default="write_verify", description="deployed: pulses until each weight reads right, or each device set once"
    )
    tolerance: Positive = Field(default=0.02, description="write_verify: half width of what is right, of the range")
    budget: AtLeastOne = Field(default=10, description="write_verify: pulses a weight may get")
    error: NotNegative = Field(default=0.02, description="open_loop: sd of what is set, relative to g_max - g_min")
    age: NotNegative = Field(
        default=0.0, description="time that a chip rests between its programming or learning and the test, s"
    )
    steps: AtLeastOne = Field(default=100, description="arrays: time steps")
    dt: Positive = Field(default=0.01, description="arrays: time step, s")
    rate: NotNegative = Field(default=20.0, description="arrays: mean rate of spikes on every line, Hz")


class Run(Section):
    """What changes how a run goes, not what it learns."""

    evaluate_every: Positive = Field(default=1.0, description="epochs between evaluations")
    checkpoint_every_s: Positive = Field(default=60.0, description="time between checkpoints, s")
    eval_batch: AtLeastOne = Field(default=500, description="samples evaluated at once")
    chunk: AtLeastOne = Field(default=500, description="samples in a compiled chunk")


class Config(Section):
    """Everything that decides a run."""

    seed: Annotated[Count, Field(ge=0, lt=2**32)] = Field(default=0, description="the run's one random seed")
    chips: AtLeastOne = Field(default=5, description="sampled chips that learn side by side")
    device: Device = Device()
    stdp: Stdp = Stdp()
    array: Array = Array()
    patches: Patches | None = Field(default=None, description="a patch layer as first array; null: fully connected")
    variation: Variation = Variation()
    neurons: Neurons = Neurons()
    encoding: Encoding = Encoding()
    learning: Learning = Learning()
    data: Data = Data()
    monte_carlo: MonteCarlo = MonteCarlo()
    run: Run = Run()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should be told about how the file was read."""
        return tuple(
            f"stdp.{field}: {getattr(self.stdp, field):g} is read as milliseconds, {seconds:g} s"
            for field, seconds in self.stdp.rule_params().items()
            if field in self.stdp.model_fields_set and "stdp" in self.model_fields_set
        )
