"""Preset files <-> checked plain settings, and what a preset puts into a run's settings."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from memjax.config import _yaml
from memjax.config._fields import NotNegative, Parameter, Section, Share
from memjax.config._variation import Variation
from memjax.errors import ConfigError


class Source(Section):
    """Where the numbers come from."""

    citation: str = Field(description="author, journal, year")
    doi: str | None = Field(description="without https://doi.org/; null where there is none")
    data: str | None = Field(description="data file that was fitted, and where it comes from; null: published numbers")
    licence: str = Field(description="of the data or, for published numbers, that these are facts of a publication")


class Wrapper(Section):
    """A wrapper or a cell around the device, by the name of its function in `memjax.devices`."""

    name: str = Field(description="as with_c2c_noise")
    kind: str | None = Field(default=None, description="for wrappers of several kinds")
    params: dict[str, Parameter] = Field(default={}, description="its own parameters")


class Arrays(Section):
    """What a run's section `variation` takes over beside the spread; see there."""

    c2c: NotNegative = 0.0
    read_noise: NotNegative = 0.0
    stuck_on: Share = 0.0
    stuck_off: Share = 0.0


class Provenance(Section):
    """Of a fit: what it was made from, and how sure it is."""

    files: dict[str, str] = Field(description="data file -> SHA-256")
    date: str = Field(description="of the fit")
    memjax: str = Field(description="version that fitted")
    intervals: dict[str, tuple[float, float]] = Field(default={}, description="95 % interval of each fitted parameter")


class Preset(Section):
    """A device with the parameters of a publication or of a fit to data."""

    title: str = Field(description="one line")
    device: str = Field(description="memristor model, one of `memjax devices`")
    parameter_set: str | None = Field(
        default=None, description="entry of the model's PARAMETER_SETS (SPREADS); null: defaults"
    )
    params: dict[str, Parameter] = Field(default={}, description="parameters that differ from those, SI units")
    spread: dict[str, Any] = Field(
        default={}, description="device-to-device, beside the set's; as variation.d2d of a run"
    )
    wrappers: tuple[Wrapper, ...] = Field(default=(), description="around the single device, from the inside out")
    arrays: Arrays = Arrays()
    source: Source
    fit: str = Field(description="how well the model meets the data, in numbers; or that nothing was fitted")
    status: Literal["published", "fitted", "recalled"] = Field(description="recalled: not checked against the paper")
    notes: str = ""
    provenance: Provenance | None = Field(default=None, description="where a fit comes from; null: published numbers")

    @model_validator(mode="after")
    def _spread_is_a_spread(self) -> "Preset":
        Variation(d2d=self.spread)
        return self


def names() -> list[str]:
    """List the presets, sorted."""
    files = resources.files("memjax").joinpath("presets").iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def known(name: str) -> bool:
    """Tell whether a name is a preset's, or the path of a preset's file (.yaml, .yml)."""
    return name in names() or is_path(name)


def is_path(name: str) -> bool:
    """Tell whether a name is meant as a path; no model and no preset of the package is named like a YAML file."""
    return name.endswith((".yaml", ".yml"))


def read(name: str) -> Preset:
    """Read one preset's file, by its name or its path; raise ConfigError where it does not hold what a preset must."""
    if not is_path(name):
        return _packaged(name)
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the preset {name}: {getattr(error, 'strerror', None) or error}") from None
    return parse(text, f"preset {name!r}")


@cache
def _packaged(name: str) -> Preset:
    text = resources.files("memjax").joinpath("presets", f"{name}.yaml").read_text(encoding="utf-8")
    return parse(text, f"preset {name!r}")


def parse(text: str, name: str) -> Preset:
    """Check the text of a preset file; raise ConfigError, with every problem, where it is none."""
    data, _ = _yaml.parse(text, name)
    try:
        return Preset.model_validate(data)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors(include_url=False)]
        raise ConfigError(f"{name}: " + "; ".join(problems)) from None


def dump(preset: Preset) -> str:
    """Write a preset as YAML text that `parse` reads back."""
    plain = preset.model_dump(mode="json", exclude_defaults=True)
    return "".join(
        _yaml.line("", name, plain[name], field.description) + "\n"
        for name, field in Preset.model_fields.items()
        if name in plain
    )


def values(preset: Preset) -> dict[str, Any]:
    """Return the parameters that the preset gives to the model; raise ConfigError for an unknown parameter set."""
    if preset.parameter_set is None:
        return dict(preset.params)
    from memjax import devices

    devices.get(preset.device)  # names the nearest model where there is none
    sets = getattr(getattr(devices, preset.device, None), "PARAMETER_SETS", {})
    if preset.parameter_set not in sets:
        accepted = ", ".join(sets) or "none"
        wrong = f"device {preset.device!r} has no parameter set {preset.parameter_set!r}"
        raise ConfigError(f"{wrong} (accepted: {accepted})")
    chosen = sets[preset.parameter_set]
    return {**(chosen if isinstance(chosen, Mapping) else vars(chosen)), **preset.params}


def spread(preset: Preset) -> dict[str, Any]:
    """Return the device-to-device spread: that of the model's SPREADS for the parameter set, then the preset's own."""
    if preset.parameter_set is None:
        return dict(preset.spread)
    from memjax import devices

    return {**getattr(getattr(devices, preset.device), "SPREADS", {}).get(preset.parameter_set, {}), **preset.spread}


def expand(data: Mapping[str, Any]) -> dict[str, Any]:
    """Put a preset that stands for a device into a run's settings; what the settings say themselves stays.

    device.name becomes the model's; device.params, variation.d2d (parameter by parameter), c2c, read_noise, stuck_on
    and stuck_off are filled in where the settings leave them open.
    """
    device = data.get("device")
    if not isinstance(device, Mapping) or not isinstance(device.get("name"), str) or not known(device["name"]):
        return dict(data)
    preset, given = read(device["name"]), data.get("variation") or {}
    own = device.get("params") or {}
    if not isinstance(given, Mapping) or not isinstance(own, Mapping):
        return dict(data)  # refused by the schema
    flat = {key for key in ("g_min", "g_max", "tau") if device.get(key) is not None}
    inherited = {key: value for key, value in values(preset).items() if key not in flat}
    own_spread = given.get("d2d") or {}
    return {
        **data,
        "device": {**device, "name": preset.device, "params": {**inherited, **own}},
        "variation": {
            **preset.arrays.model_dump(),
            **given,
            "d2d": {**spread(preset), **own_spread} if isinstance(own_spread, Mapping) else own_spread,
        },
    }
