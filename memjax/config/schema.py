"""The settings of a run: what there is, its default, its unit and its range."""

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from memjax.config._fields import (
    AtLeastOne,
    Count,
    NotNegative,
    Parameter,
    Positive,
    Real,
    Section,
    Share,
    check_schedule,
)
from memjax.config._mitigation import Mitigation
from memjax.config._monte_carlo import MonteCarlo
from memjax.config._variation import Variation


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int | str) else value


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
        check_schedule(self.decay_at, self.decay_factor)
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
    measured_pulses: Annotated[Count, Field(ge=0)] = Field(
        default=0,
        description="pulses of the trains that measure every weight's own step before it learns (not in the energy of "
        "a run: 4 times as many a device); 0: nominal",
    )
    measured_reads: AtLeastOne = Field(default=16, description="reads that are averaged in these measurements")
    init_gain: NotNegative = Field(default=1.5, description="sd of the first array's weights, times sqrt(n_inputs)")
    output_gain: Positive = Field(default=0.5, description="gain of the softmax over output potentials")

    @model_validator(mode="after")
    def _schedule(self) -> "Learning":
        check_schedule(self.decay_at, self.decay_factor)
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
    mitigation: Mitigation = Mitigation()
    run: Run = Run()

    @property
    def image(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that the first array sees."""
        channels = 3 if self.data.dataset == "cifar10" else 1
        side = math.isqrt(self.array.n_inputs // channels)
        return side, side, channels

    @property
    def word_lines(self) -> tuple[int, int]:
        """Rows of both arrays: of a patch layer a patch's pixels, and then the features of all cells."""
        if self.patches is None:
            return self.array.n_inputs, self.array.n_outputs
        cells = math.prod(self.patches.pool)
        return self.patches.size**2 * self.image[2], cells * self.array.n_outputs * (1 + self.patches.both)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should be told about how the file was read."""
        return tuple(
            f"stdp.{field}: {getattr(self.stdp, field):g} is read as milliseconds, {seconds:g} s"
            for field, seconds in self.stdp.rule_params().items()
            if field in self.stdp.model_fields_set and "stdp" in self.model_fields_set
        )
