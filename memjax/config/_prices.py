"""Price-list files <-> checked plain numbers."""

from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from memjax.config import _yaml
from memjax.config._fields import NotNegative, Section
from memjax.errors import ConfigError


class Source(Section):
    """Where the numbers come from."""

    citation: str = Field(description="author, where, year")
    doi: str | None = Field(default=None, description="without https://doi.org/; null where there is none")


class Energies(Section):
    """Energy of one event, J; null: the source does not say."""

    mac: NotNegative | None = Field(description="one device read by one delivered input")
    read: NotNegative | None = Field(description="one column read-out; also one verify")
    write: NotNegative | None = Field(description="one pulse; also one of a refresh, and one accumulation")
    adc: NotNegative | None = Field(default=None, description="one conversion of a column")
    dac: NotNegative | None = Field(default=None, description="one conversion for a word line")


class Times(Section):
    """Duration of one event, s; null: the source does not say."""

    read: NotNegative | None = None
    write: NotNegative | None = None
    adc: NotNegative | None = None
    dac: NotNegative | None = None


class Prices(Section):
    """What the events of an array cost."""

    title: str = Field(description="one line")
    status: Literal["stated", "published", "recalled"] = Field(
        description="stated: by its source, without a measurement; recalled: not checked against the paper"
    )
    source: Source
    energy: Energies
    time: Times = Times()
    notes: str = Field(default="", description="how the numbers follow from the source's")


def names() -> list[str]:
    """List the price lists of the package, sorted."""
    files = resources.files("memjax").joinpath("prices").iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def read(name: str) -> Prices:
    """Read one of the package's price lists."""
    text = resources.files("memjax").joinpath("prices", f"{name}.yaml").read_text(encoding="utf-8")
    return parse(text, f"price list {name!r}")


def read_file(path: Path) -> Prices:
    """Read a price list of the user's; raise ConfigError where the file cannot be read or holds none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    return parse(text, str(path))


def parse(text: str, name: str) -> Prices:
    """Check the text of a price list; raise ConfigError, with every problem and its line, where it is none."""
    data, lines = _yaml.parse(text, name)
    try:
        return Prices.model_validate(data)
    except ValidationError as error:
        problems = [_problem(e, lines) for e in error.errors(include_url=False)]
        raise ConfigError(f"{name}: " + "; ".join(problems)) from None


def _problem(error, lines: dict) -> str:
    key = tuple(map(str, error["loc"]))
    place = next((f" (line {lines[key[:n]]})" for n in range(len(key), 0, -1) if key[:n] in lines), "")
    text = error["msg"]
    if error["type"] == "extra_forbidden":
        model = Prices if len(key) == 1 else Prices.model_fields[key[0]].annotation
        text = f"unknown key (accepted: {', '.join(getattr(model, 'model_fields', {}))})"
    elif error["type"] != "missing":
        text += f", got {error['input']!r}"
    return f"{'.'.join(key) or 'file'}{place}: {text}"
