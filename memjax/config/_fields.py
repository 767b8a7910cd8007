"""What settings are made of: kinds of numbers, and sections."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):  # YAML's true is Python's 1: `epochs: true` must not train for one epoch
        raise ValueError("Input should be a number, not true or false")
    return value


def _no_nan(value: float) -> float:
    if math.isnan(value):
        raise ValueError("Input should be a number, not nan")
    return value


Real = Annotated[float, BeforeValidator(_no_flag), Field(allow_inf_nan=False)]
Count = Annotated[int, BeforeValidator(_no_flag)]
Positive = Annotated[Real, Field(gt=0)]
NotNegative = Annotated[Real, Field(ge=0)]
Share = Annotated[Real, Field(ge=0, le=1)]
AtLeastOne = Annotated[Count, Field(ge=1)]
Parameter = Annotated[
    float, BeforeValidator(_no_flag), AfterValidator(_no_nan)
]  # inf is a time constant that never ends


def check_schedule(decay_at: tuple[float, ...], decay_factor: tuple[float, ...]) -> None:
    """Raise ValueError for parts of a run that do not rise, or have not a factor each."""
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
