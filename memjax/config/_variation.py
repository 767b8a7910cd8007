"""The section variation: what is not ideal about devices."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from memjax.config._fields import AtLeastOne, NotNegative, Positive, Real, Section, Share


def _spread(value: Any) -> Any:
    return value if isinstance(value, Mapping | BaseModel) else {"sigma": value}


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

    share: Share = Field(
        default=0.5,
        description="of the write voltage (pulsed models: what it amounts to); left out: 1/2 or 1/3, as the scheme",
    )
    scheme: Literal["half", "third"] = Field(default="half", description="V/2 or V/3")

    @model_validator(mode="before")
    @classmethod
    def _of_scheme(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "share" not in value and value.get("scheme") == "third":
            return {**value, "share": 1 / 3}
        return value


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
