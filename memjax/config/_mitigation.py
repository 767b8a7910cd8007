"""The section mitigation: the remedies of a deployed network."""

from typing import Annotated, Literal

from pydantic import Field

from memjax.config._fields import AtLeastOne, Count, Positive, Section


class Spares(Section):
    """Spare lines of every module."""

    word: Annotated[Count, Field(ge=0)] = Field(default=4, description="spare word lines of a module")
    bit: Annotated[Count, Field(ge=0)] = Field(default=4, description="spare bit lines of a module")


class Refresh(Section):
    """Periodic refresh while a chip rests."""

    period: Positive = Field(default=86400.0, description="time between two refreshes, s")
    budget: Positive = Field(default=0.02, description="error that a weight may have, of its range")


class Mitigation(Section):
    """Remedies of a deployed network; `memjax ablate` runs without them, with each, and with all."""

    pairs: bool = Field(default=False, description="partners and columns make up for stuck devices")
    spares: Spares | None = Field(default=None, description="spare lines in place of bad ones: word, bit")
    redundancy: AtLeastOne = Field(default=1, description="devices that share a weight, in arrays read together")
    committee: AtLeastOne = Field(default=1, description="networks whose outputs are averaged")
    refresh: Refresh | None = Field(default=None, description="refresh at rest: period, budget")
    drift_compensation: Literal["array", "column"] | None = Field(
        default=None, description="reference reads put back what drift has taken: one factor an array or a column"
    )
    calibration: bool = Field(default=False, description="gain and offset of every column, from test reads")

    @property
    def names(self) -> tuple[str, ...]:
        """The remedies that are described, in the order in which they act."""
        return tuple(name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default)

    def only(self, *names: str) -> "Mitigation":
        """Return these remedies alone."""
        return Mitigation(**{name: getattr(self, name) for name in names})
