"""The section monte_carlo: studies of sampled chips."""

from typing import Literal

from pydantic import Field, model_validator

from memjax.config._fields import AtLeastOne, NotNegative, Positive, Section


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
