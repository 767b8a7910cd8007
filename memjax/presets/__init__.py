"""Devices with the parameters of a publication or of a fit, and where they come from: one YAML file each.

    preset = presets.load("om_array")
    state = preset.device.init(preset.params, 0.5)

A preset's name also goes wherever a device's name goes: in a run's `device.name`, and on the command line.  So does the
path of a preset's file, such as one that `memjax fit` wrote.
"""

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

from memjax import devices
from memjax.config import _presets
from memjax.config._presets import Preset as Meta
from memjax.devices.base import Device
from memjax.variation import Spread

__all__ = ["Meta", "Preset", "load", "model", "names", "resolve"]


class Preset(NamedTuple):
    """A device as a preset describes it.

    device, params   the model in the preset's wrappers, and the Params of all of them
    spread           device-to-device spread of the model's own parameters, for `variation.sample_params`
    meta             the file: model, wrappers, numbers for arrays, source, quality of the fit, notes
    """

    name: str
    device: Device
    params: Any
    spread: dict[str, Spread]
    meta: Meta


def names() -> list[str]:
    """List the presets, sorted."""
    return _presets.names()


def load(name: str, overrides: Mapping[str, float] | None = None) -> Preset:
    """Build the preset of that name or path; overrides: parameters of its model to set otherwise.

    Raises ValueError for an unknown name, with the nearest one, for an override that the model does not have, and for
    values that the model does not accept.
    """
    if not _presets.known(name):
        raise ValueError(_unknown("preset", name, names()))
    meta = _presets.read(name)
    device = devices.get(meta.device)
    params = _params(device, {**_presets.values(meta), **(overrides or {})})
    for wrapper in meta.wrappers:
        device, params = _wrap(device, params, wrapper)
    if device.check is not None:
        device.check(params)
    spread = {f: Spread(s) if not isinstance(s, Mapping) else Spread(**s) for f, s in _presets.spread(meta).items()}
    if unknown := sorted(set(spread) - set(devices.get(meta.device).Params.__dataclass_fields__)):
        raise ValueError(f"preset {name!r}: device {meta.device!r} has no parameter {unknown[0]!r} to spread")
    return Preset(name, device, params, spread, meta)


def model(name: str) -> str:
    """Return the name of the model behind a preset's or a model's name; raise ValueError for any other name."""
    if _presets.known(name):
        return _presets.read(name).device
    if name not in devices.names():
        raise ValueError(_unknown("device", name, [*devices.names(), *names()]))
    return name


def resolve(name: str, overrides: Mapping[str, float] | None = None) -> tuple[Device, Any]:
    """Return the device of that name, a model's or a preset's, and its Params.

    Raises ValueError for a name that is neither, with the nearest one, and as `load`.
    """
    if _presets.known(name):
        preset = load(name, overrides)
        return preset.device, preset.params
    device = devices.get(model(name))
    params = _params(device, overrides or {})
    if device.check is not None:
        device.check(params)
    return device, params


def _params(device: Device, values: Mapping[str, Any]) -> Any:
    known = list(device.Params.__dataclass_fields__)
    for field in values:
        if field not in known:
            near = difflib.get_close_matches(field, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"device {device.name!r} has no parameter {field!r}{hint} (accepted: {', '.join(known)})")
    return device.Params(**values)


def _wrap(device: Device, params: Any, wrapper: _presets.Wrapper) -> tuple[Device, Any]:
    accepted = [name for name in devices.__all__ if name.startswith(("with_", "one_"))]
    if wrapper.name not in accepted:
        raise ValueError(_unknown("wrapper", wrapper.name, accepted))
    wrap = getattr(devices, wrapper.name)
    wrapped = wrap(device) if wrapper.kind is None else wrap(device, wrapper.kind)
    return wrapped, _params(wrapped, {"inner": params, **wrapper.params})


def _unknown(what: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {what} {name!r}{hint} (known: {', '.join(known)})"
