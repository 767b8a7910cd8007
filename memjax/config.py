"""One run's settings: pydantic models <-> YAML. Unknown keys are refused, with the accepted ones named.

    config = load("configs/edge_mnist.yaml", ["learning.epochs=2", "device.params.step_up=0.01"])

Values are SI units, except the time constants of the section stdp, which are milliseconds in the file (that is the
format of the framework that memjax reproduces); `config.stdp.rule_params()` and `config.notes` say so.
"""

import difflib
import hashlib
import json
import math
import os
import re
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from memjax.errors import UserError


class ConfigError(UserError, ValueError):
    """Settings that cannot be read or are not accepted; the message lists every problem."""


# --- the schema -------------------------------------------------------------------------------------------------------


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


class Section(BaseModel):
    """Settings that cannot change and accept no unknown key; an empty section holds the defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value


class Device(Section):
    """Which memristor model, with which parameters, and how it is read and written."""

    name: str = Field(default="volatile", description="memristor model, one of `memjax devices`")
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


class Array(Section):
    """Sizes of the crossbar arrays and of the modules (tiles) that they are cut into."""

    n_inputs: AtLeastOne = Field(default=784, description="rows of the first array")
    n_outputs: AtLeastOne = Field(default=100, description="columns of the first array: the network's hidden neurons")
    n_classes: AtLeastOne = Field(default=10, description="columns of the second array: the network's outputs")
    module_size: Annotated[tuple[AtLeastOne, AtLeastOne], BeforeValidator(_pair)] = Field(
        default=(28, 28), description="rows and columns of a module; one number makes it square"
    )


class Spread(Section):
    """Device-to-device spread of one parameter."""

    sigma: NotNegative = Field(
        description="standard deviation relative to the nominal value (of the logarithm, lognormal)"
    )
    distribution: Literal["lognormal", "normal"] = Field(default="lognormal", description="shape of the spread")


class Variation(Section):
    """What makes real devices differ from the nominal one."""

    d2d: dict[str, Annotated[Spread, BeforeValidator(_spread)]] = Field(
        default={}, description="device-to-device spread, parameter -> sigma or {sigma, distribution}"
    )
    c2c: NotNegative = Field(default=0.0, description="cycle-to-cycle noise of a write, sd relative to the step")
    read_noise: NotNegative = Field(default=0.0, description="noise of a read, sd relative to g_max - g_min")
    stuck_on: Share = Field(default=0.0, description="share of devices stuck at g_max")
    stuck_off: Share = Field(default=0.0, description="share of devices stuck at g_min")

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
    programmer: Literal["accumulator", "stochastic", "sign", "pulse_train"] = Field(
        default="accumulator", description="weight changes -> pulses"
    )
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
    rows_per_write: AtLeastOne = Field(default=16, description="word lines written a sample")
    accumulator_leak: Share = Field(default=1.0, description="share of the accumulated change left after a sample")
    init_gain: NotNegative = Field(default=2.5, description="sd of the first array's weights, times sqrt(n_inputs)")
    output_gain: Positive = Field(default=4.0, description="gain of the softmax over output potentials")

    @model_validator(mode="after")
    def _schedule(self) -> "Learning":
        if len(self.decay_at) != len(self.decay_factor):
            lengths = f"{len(self.decay_at)} and {len(self.decay_factor)}"
            raise ValueError(f"decay_at and decay_factor should be of one length, got {lengths}")
        if list(self.decay_at) != sorted(self.decay_at):
            raise ValueError(f"decay_at should rise, got {list(self.decay_at)}")
        return self


class Data(Section):
    """The data set and how much of it."""

    dataset: Literal["digits", "mnist", "fashion_mnist"] = Field(default="digits", description="digits is embedded")
    n_train: AtLeastOne | None = Field(default=None, description="first so many training samples; null: all")
    n_test: AtLeastOne | None = Field(default=None, description="first so many test samples; null: all")
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
    variation: Variation = Variation()
    neurons: Neurons = Neurons()
    encoding: Encoding = Encoding()
    learning: Learning = Learning()
    data: Data = Data()
    run: Run = Run()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should be told about how the file was read."""
        return tuple(
            f"stdp.{field}: {getattr(self.stdp, field):g} is read as milliseconds, {seconds:g} s"
            for field, seconds in self.stdp.rule_params().items()
            if field in self.stdp.model_fields_set and "stdp" in self.model_fields_set
        )


# --- reading and writing ----------------------------------------------------------------------------------------------


def load(path: str | os.PathLike, overrides: Iterable[str] = ()) -> Config:
    """Read a YAML file, apply overrides ("learning.epochs=2", values in YAML) and check everything -> Config.

    The device and its parameters are checked too. Raises ConfigError with every problem at once: for each its key, its
    line in the file or the override, what is wrong and what is accepted.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    data, lines = _parse(text, str(path))
    return load_text(text, overrides, name=str(path))


def load_text(text: str, overrides: Iterable[str] = (), *, name: str = "config") -> Config:
    """Read YAML text as `load` reads a file; name stands for it in messages."""
    data, lines = _parse(text, name)
    where = {key: f"line {line}" for key, line in lines.items()}
    for override in overrides:
        where[_override(data, override)] = f"--set {override}"
    return _validate(data, name, where)


def from_dict(data: Mapping[str, Any], name: str = "config") -> Config:
    """Check settings given as nested mappings as `load` checks a file, the device included; raise ConfigError."""
    return _validate(dict(data), name, {})


def dump(config: Config, header: str = "") -> str:
    """Write every setting as YAML text with what it means beside it; `load` reads the same Config back.

    header: lines for the top, written as comments (versions, the command).
    """
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    plain = config.model_dump(mode="json")
    for name, field in Config.model_fields.items():
        value = getattr(config, name)
        if not isinstance(value, Section):
            lines.append(_line("", name, plain[name], field.description))
            continue
        lines += ["", f"# {(type(value).__doc__ or '').strip()}", f"{name}:"]
        for key, inner in type(value).model_fields.items():
            lines.append(_line("  ", key, plain[name][key], inner.description))
    return "\n".join(lines) + "\n"


def identity(config: Config) -> dict:
    """Return the settings that decide what a run computes, as plain data: what a checkpoint must agree with."""
    return config.model_dump(mode="json", exclude={"run": {"checkpoint_every_s"}})


def digest(config: Config) -> str:
    """Return the SHA-256 of `identity`: equal for two configs that compute the same."""
    return hashlib.sha256(json.dumps(identity(config), sort_keys=True).encode()).hexdigest()


def device_params(config: Config) -> Any:
    """Return the Params of the configured device, from params and the flat keys g_min, g_max and tau.

    Raises ConfigError for an unknown device, parameters that it does not have, a value given twice, values that its
    model does not accept, and a device-to-device spread of a parameter that it does not have.
    """
    params, problems = _build_device(config)
    if problems:
        raise ConfigError(_message("config", problems, {}))
    return params


# --- the device -------------------------------------------------------------------------------------------------------

Key = tuple[Any, ...]  # ("learning", "epochs")
Problem = tuple[Key, str]


def _build_device(config: Config) -> tuple[Any, list[Problem]]:
    from memjax import devices  # imports JAX: only where a device is built

    try:
        device = devices.get(config.device.name)
    except ValueError as error:
        return None, [(("device", "name"), str(error))]
    known = list(device.Params.__dataclass_fields__)
    values, origin, problems = {}, {}, []
    flat = {key: getattr(config.device, key) for key in ("g_min", "g_max", "tau")}
    given = [(("device", "params", key), value) for key, value in config.device.params.items()]
    given += [(("device", key), value) for key, value in flat.items() if value is not None]
    for key, value in given:
        if key[-1] not in known:
            problems.append((key, f"device {device.name!r} has no such parameter{_nearest(key[-1], known)}"))
        elif key[-1] in values:
            problems.append((key, f"is given twice: also as device.params.{key[-1]}"))
        else:
            values[key[-1]], origin[key[-1]] = value, key
    for field in config.variation.d2d:
        if field not in known:
            message = f"device {device.name!r} has no such parameter{_nearest(field, known)}"
            problems.append((("variation", "d2d", field), message))
    if problems:
        return None, problems
    params = device.Params(**values)
    try:
        if device.check is not None:
            device.check(params)
    except ValueError as error:
        field = str(error).split(" ")[0]  # a check names the field first
        return None, [(origin.get(field, ("device", "params")), str(error))]
    return params, []


# --- errors -----------------------------------------------------------------------------------------------------------


def _validate(data: dict, name: str, where: Mapping[Key, str]) -> Config:
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        problems = [_describe(e) for e in error.errors(include_url=False)]
        raise ConfigError(_message(name, problems, where)) from None
    _, problems = _build_device(config)
    if problems:
        raise ConfigError(_message(name, problems, where))
    return config


def _message(name: str, problems: list[Problem], where: Mapping[Key, str]) -> str:
    listed = []
    for given, text in problems:
        key = tuple(map(str, given))  # as the file spells it: the key 1 is a number here
        # The nearest ancestor that the file names: a missing key has no line of its own.
        place = next((where[key[:n]] for n in range(len(key), 0, -1) if key[:n] in where), "")
        listed.append(f"{'.'.join(key) or 'settings'}{f' ({place})' if place else ''}: {text}")
    return f"{name}: {listed[0]}" if len(listed) == 1 else f"{name}:\n  " + "\n  ".join(listed)


def _describe(error: Any) -> Problem:
    key, value = error["loc"], error["input"]
    if error["type"] == "extra_forbidden":
        return key, f"unknown key{_nearest(str(key[-1]), list(_model_at(key[:-1]).model_fields))}"
    text = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        return key, f"is missing ({text})"
    if not isinstance(value, BaseModel | dict):
        text += f", got {value!r}"
    description = _description(key)
    return key, f"{text} ({description})" if description else text


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return (f"; did you mean {near[0]!r}?" if near else "") + f" (accepted: {', '.join(known)})"


def _model_at(key: Key) -> type[BaseModel]:
    """Return the model that the key of a section stands for."""
    model: Any = Config
    for part in key:
        fields = getattr(model, "model_fields", {})
        annotation = fields[part].annotation if part in fields else model
        if typing.get_origin(annotation) is dict:
            annotation = typing.get_args(annotation)[1]
        model = typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation
    return model


def _description(key: Key) -> str | None:
    model = _model_at(key[:-1]) if key else Config
    field = getattr(model, "model_fields", {}).get(key[-1] if key else "")
    return field.description if field is not None else None


# --- YAML -------------------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML with the numbers and flags of YAML 1.2: 100e-3 is a float, 010 is ten, on and no are words."""


def _decimal(loader: yaml.SafeLoader, node: Any) -> int:
    return int(loader.construct_scalar(node))


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("merge", r"<<", "<"),
):
    _starts = ["" if letter == "\0" else letter for letter in _first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _starts)
_Loader.add_constructor("tag:yaml.org,2002:int", _decimal)


class _Dumper(yaml.SafeDumper):
    """Quotes a word where `_Loader` would read something else."""


_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def _parse(text: str, name: str) -> tuple[dict, dict[Key, int]]:
    """Return the settings of a YAML text and the line of every key; raise ConfigError where it is no mapping."""
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines = _lines(node) if node is not None else {}
        data = loader.construct_document(node) if node is not None else None
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        reason = getattr(error, "problem", None) or str(error).split("\n")[0]
        raise ConfigError(f"{name} is no readable YAML{place}: {reason}") from error
    finally:
        if loader is not None:
            loader.dispose()
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"{name} should hold settings (key: value), it holds a {type(data).__name__}")
    return data, lines


def _lines(node: yaml.Node, key: Key = ()) -> dict[Key, int]:
    """Return the line of every key below a node; raise ConfigError where a mapping has one key twice."""
    lines: dict[Key, int] = {}
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            inner, line = (*key, name.value), name.start_mark.line + 1
            if not isinstance(name, yaml.ScalarNode):
                continue
            if inner in lines and name.value != "<<":
                raise ConfigError(f"{'.'.join(inner)} is given twice (lines {lines[inner]} and {line})")
            lines |= {inner: line, **_lines(value, inner)}
    return lines


def _override(data: dict, text: str) -> Key:
    """Put "a.b=value" into data; return its key."""
    path, equals, value = text.partition("=")
    key = tuple(part.strip() for part in path.split("."))
    if not equals or not all(key):
        raise ConfigError(f"--set {text}: a setting is written key=value, such as learning.epochs=2")
    parsed, _ = _parse(f"value: {value}", f"--set {text}")
    if list(parsed) != ["value"]:
        raise ConfigError(f"--set {text}: the value is no single YAML value")
    inner = data
    for part in key[:-1]:
        if inner.get(part) is None:
            inner[part] = {}
        inner = inner[part]
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {text}: {part} holds {inner!r}, which has no keys")
    inner[key[-1]] = parsed["value"]
    return key


def _line(indent: str, key: str, value: Any, description: str | None) -> str:
    # In a flow list, where any value fits on one line and is quoted as it must be; then without the brackets.
    text = yaml.dump([value], Dumper=_Dumper, default_flow_style=True, width=math.inf, sort_keys=False)
    return f"{indent}{key}: {text.strip()[1:-1]}" + (f"  # {description}" if description else "")
