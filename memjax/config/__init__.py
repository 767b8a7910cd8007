"""One run's settings: pydantic models <-> YAML. Unknown keys are refused, with the accepted ones named.

    config = load("configs/edge_mnist.yaml", ["learning.epochs=2", "device.params.step_up=0.01"])

Values are SI units, except the time constants of the section stdp, which are milliseconds in the file (that is the
format of the framework that memjax reproduces); `config.stdp.rule_params()` and `config.notes` say so.
"""

import difflib
import hashlib
import json
import os
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ValidationError

from memjax.config import _presets, _yaml
from memjax.config._fields import Section
from memjax.config._yaml import Key
from memjax.config.schema import Config
from memjax.errors import ConfigError

__all__ = [
    "Config", "ConfigError", "device_params", "differences", "digest", "dump", "from_dict", "identity", "load",
    "load_text", "study_digest", "study_identity",
]  # fmt: skip


def load(path: str | os.PathLike, overrides: Iterable[str] = ()) -> Config:
    """Read a YAML file, apply overrides ("learning.epochs=2", values in YAML) and check everything -> Config.

    A preset in device.name becomes its model, parameters, spread and noise, where the file does not say otherwise. The
    section variation may also be called nonidealities. The device and its parameters are checked too. Raises
    ConfigError with every problem at once: for each its key, its line in the file or the override, what is wrong and
    what is accepted.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    return load_text(text, overrides, name=str(path))


def load_text(text: str, overrides: Iterable[str] = (), *, name: str = "config") -> Config:
    """Read YAML text as `load` reads a file; name stands for it in messages."""
    data, lines = _yaml.parse(text, name)
    where = {key: f"line {line}" for key, line in lines.items()}
    for override in overrides:
        where[_yaml.override(data, override)] = f"--set {override}"
    return _validate(_one_name(data, name), name, {_renamed(key): place for key, place in where.items()})


def from_dict(data: Mapping[str, Any], name: str = "config") -> Config:
    """Check settings given as nested mappings as `load` checks a file, the device included; raise ConfigError."""
    return _validate(_one_name(dict(data), name), name, {})


NONIDEALITIES, VARIATION = "nonidealities", "variation"


def _renamed(key: Key) -> Key:
    return (VARIATION, *key[1:]) if key[:1] == (NONIDEALITIES,) else key


def _one_name(data: dict, name: str) -> dict:
    """Put the section nonidealities under its other name, variation; refuse a setting that stands in both."""
    if NONIDEALITIES not in data:
        return data
    ours, theirs = data[NONIDEALITIES] or {}, data.get(VARIATION) or {}
    rest = {key: value for key, value in data.items() if key != NONIDEALITIES}
    if not isinstance(ours, Mapping) or not isinstance(theirs, Mapping):
        return {**rest, VARIATION: ours}  # refused by the schema
    if twice := sorted(set(ours) & set(theirs)):
        problems = [((NONIDEALITIES, key), f"is given twice: also as {VARIATION}.{key}") for key in twice]
        raise ConfigError(_message(name, problems, {}))
    return {**rest, VARIATION: {**theirs, **ours}}


def dump(config: Config, header: str = "") -> str:
    """Write every setting as YAML text with what it means beside it; `load` reads the same Config back.

    header: lines for the top, written as comments (versions, the command).
    """
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    plain = config.model_dump(mode="json")
    for name, field in Config.model_fields.items():
        value = getattr(config, name)
        if not isinstance(value, Section):
            lines.append(_yaml.line("", name, plain[name], field.description))
            continue
        lines += ["", f"# {(type(value).__doc__ or '').strip()}", f"{name}:"]
        for key, inner in type(value).model_fields.items():
            lines.append(_yaml.line("  ", key, plain[name][key], inner.description))
    return "\n".join(lines) + "\n"


def identity(config: Config) -> dict:
    """Return the settings that decide what a run computes, as plain data: what a checkpoint must agree with."""
    return config.model_dump(mode="json", exclude={"run": {"checkpoint_every_s"}, "monte_carlo": True})


def digest(config: Config) -> str:
    """Return the SHA-256 of `identity`: equal for two configs that compute the same."""
    return _sha(identity(config))


def study_identity(config: Config) -> dict:
    """Return the settings that decide what each chip of a study is, as plain data; how many there are is not one."""
    return config.model_dump(mode="json", exclude={"run": True, "monte_carlo": {"chips"}})


def study_digest(config: Config) -> str:
    """Return the SHA-256 of `study_identity`: equal for two configs whose studies have the same chips."""
    return _sha(study_identity(config))


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings, as "learning.epochs", in which two identities differ."""
    found = []
    for name in was:
        if isinstance(was[name], dict) and isinstance(now[name], dict):
            found += [f"{name}.{key}" for key in was[name] if was[name][key] != now[name].get(key)]
        elif was[name] != now[name]:
            found.append(name)
    return found


def _sha(plain: dict) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


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

Problem = tuple[Key, str]


def _build_device(config: Config) -> tuple[Any, list[Problem]]:
    from memjax import devices  # imports JAX: only where a device is built

    try:
        device = devices.get(config.device.name)
    except ValueError as error:
        return None, [(("device", "name"), _no_device(config.device.name, devices.names(), error))]
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


def _no_device(name: str, known: list[str], error: ValueError) -> str:
    presets = _presets.names()
    if name in presets:
        return f"{name!r} is a preset, which load, load_text and from_dict turn into settings; a Config holds those"
    if near := difflib.get_close_matches(name, [*known, *presets], n=1):
        return f"unknown device {name!r}; did you mean {near[0]!r}? (known: {', '.join([*known, *presets])})"
    return f"{error}; presets: {', '.join(presets)}"


# --- errors -----------------------------------------------------------------------------------------------------------


def _validate(data: dict, name: str, where: Mapping[Key, str]) -> Config:
    try:
        config = Config.model_validate(_presets.expand(data))
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
        if typing.get_origin(annotation) is types.UnionType:  # a section, or null
            annotation = next(choice for choice in typing.get_args(annotation) if choice is not type(None))
        model = typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation
    return model


def _description(key: Key) -> str | None:
    model = _model_at(key[:-1]) if key else Config
    field = getattr(model, "model_fields", {}).get(key[-1] if key else "")
    return field.description if field is not None else None
