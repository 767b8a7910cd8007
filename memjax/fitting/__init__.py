"""From measured curves to device parameters, with uncertainties.

    loop = fitting.read("loop.csv", frequency=10.0, r_series=5e3, units={"i": "uA"})
    found = fitting.fit(loop, "metastable_switch")
    fitting.save(found, "fits/mine")        # preset.yaml, fit.json, fit.png
    preset = presets.load("fits/mine/preset.yaml")

Needs optimistix: pip install "memjax[fit]".
"""

from importlib import resources

from memjax.fitting import pulses, retention, spaces
from memjax.fitting._fit import Fit, compare, fit, profile
from memjax.fitting._save import arrays, device_params, draw, quality, save, step_noise, summary
from memjax.fitting.data import Loop, Pulses, Retention, Window, read
from memjax.fitting.population import population
from memjax.fitting.retention import drift
from memjax.fitting.spread import components, trend
from memjax.fitting.state_space import split

__all__ = [
    "Fit",
    "Loop",
    "Pulses",
    "Retention",
    "Window",
    "arrays",
    "compare",
    "components",
    "demo",
    "device_params",
    "draw",
    "drift",
    "fit",
    "fittable",
    "population",
    "profile",
    "quality",
    "read",
    "save",
    "split",
    "step_noise",
    "summary",
    "trend",
]


def fittable(kind: str) -> list[str]:
    """List the models that are fitted to data of a kind."""
    models = {"loop": spaces.LOOPS, "pulses": pulses.MODELS, "retention": retention.MODELS, "stdp": ["stdp"]}
    return list(models.get(kind, []))


def demo() -> Pulses:
    """Read the pulse response that memjax ships: 1000 up and 1000 down pulses of a ReRAM device (aihwkit, MIT)."""
    file = resources.files("memjax").joinpath("data", "pulses", "gong_et_al.csv")
    with resources.as_file(file) as path:
        found = read(path, "pulses")
    assert isinstance(found, Pulses)
    return found
