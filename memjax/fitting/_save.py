"""What a fit leaves behind: a preset with its provenance, the numbers as JSON, and a figure."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from memjax import files
from memjax.fitting import pulses
from memjax.fitting._fit import Fit, _blocks
from memjax.fitting.pulses import Frame
from memjax.fitting.state_space import Split, split

SCALE = (1e-6, 1e-4)  # S: where normalised pulse data are put, a scale of ours


def save(
    found: Fit,
    folder: str | os.PathLike,
    *,
    title: str | None = None,
    citation: str = "a measurement of the user's",
    licence: str = "not stated",
    spread: Mapping[str, float] | None = None,
    arrays: Mapping[str, float] | None = None,
    figure: bool = True,
) -> Path:
    """Write preset.yaml, fit.json and fit.png into a folder -> its path.

    The preset's path goes wherever a device's name goes.  spread: relative device-to-device sd of parameters; arrays:
    c2c, read_noise, stuck_on, stuck_off.  STDP windows have no device, and no preset.  Raises UserError where the
    folder cannot be written or holds something.
    """
    folder = files.new_folder(folder)
    if found.kind != "stdp":
        files.write_text(folder / "preset.yaml", preset(found, title, citation, licence, spread, arrays))
    files.write_json(folder / "fit.json", summary(found))
    if figure:
        from memjax import plot

        plot.save(draw(found), folder / "fit.png")
    return folder


def quality(found: Fit) -> str:
    """Say in one sentence how good the fit is."""
    errors = ", ".join(f"{100 * e:.2f} % ({d.name})" for e, d in zip(found.rmse, found.data, strict=True))
    held = "" if found.held_out is None else f"; {100 * found.held_out:.2f} % where left out"
    return f"RMSE of the peak {errors}{held}; BIC {found.bic:.1f}"


def device_params(found: Fit) -> dict[str, float]:
    """Return the parameters for the model's Params, in SI units."""
    params = found.params()
    if found.kind != "pulses":
        return params
    scale = pulses.frame(found.data)  # type: ignore[arg-type]
    if found.data[0].unit == "1":  # type: ignore[union-attr]
        low, high = params["g_min"], params["g_max"]
        scale = Frame(SCALE[0] - low * (SCALE[1] - SCALE[0]) / (high - low), (SCALE[1] - SCALE[0]) / (high - low))
    return pulses.in_si(params, scale)


def preset(found: Fit, title, citation, licence, spread=None, arrays=None) -> str:
    """Return the text of the preset's file."""
    from importlib.metadata import version

    from memjax.config import _presets

    names = ", ".join(d.name for d in found.data)
    notes = [u.text for u in found.unseen]
    notes += [f"{n} is at the {end} end of where it was looked for" for n, end in found.at_bounds.items()]
    if found.kind == "pulses" and found.data[0].unit == "1":  # type: ignore[union-attr]
        notes.append(f"the data are normalised; g_min and g_max, {SCALE[0]:g} and {SCALE[1]:g} S, are a scale of ours")
    return _presets.dump(
        _presets.Preset(
            title=title or f"{found.device}, fitted to {names}",
            device=found.device,
            params=device_params(found),
            spread=dict(spread or {}),
            wrappers=_wrappers(arrays or {}),
            arrays=_presets.Arrays(**(arrays or {})),
            source=_presets.Source(citation=citation, doi=None, data=names, licence=licence),
            fit=quality(found),
            status="fitted",
            notes=". ".join(notes),
            provenance=_presets.Provenance(
                files={d.name: d.sha256 for d in found.data},
                date=found.date,
                memjax=version("memjax"),
                intervals={n: (found.low[n], found.high[n]) for n in found.values},
            ),
        )
    )


class StepNoise(NamedTuple):
    """The noise of one direction's pulses, split twice: C2C noise that stays, and C2C noise that fades."""

    walk: Split
    fading: Split

    @property
    def fades(self) -> bool:
        """Tell whether the data ask for fading: a likelihood better by more than its one parameter more explains."""
        return self.fading.log_likelihood > self.walk.log_likelihood + 2 and self.fading.phi < 0.99


def step_noise(found: Fit) -> dict[str, StepNoise]:
    """Split the noise of pulse trains about the fitted mean response, by direction, in shares of the data's range."""
    scale, out = pulses.frame(found.data), {}  # type: ignore[arg-type]
    length = max(one.g.shape[1] for one in found.data)  # type: ignore[union-attr]
    for block, one in zip(_blocks(found.data), found.data, strict=True):
        g, up = one.g, one.up  # type: ignore[union-attr]
        left = np.full((len(g), length), np.nan)
        seen = np.zeros(left.shape, bool)
        seen[:, : g.shape[1]] = ~np.isnan(g)
        left[seen] = (g[~np.isnan(g)] - scale.low) / scale.span - found.curve[block]
        for side, mine in (("up", up), ("down", ~up)):
            if mine.any():
                out.setdefault(side, []).append(left[mine])
    rows = {side: np.concatenate(parts) for side, parts in out.items()}
    return {side: StepNoise(split(y), split(y, forget=True)) for side, y in rows.items()}


def arrays(found: Fit, noise: Mapping[str, StepNoise]) -> dict[str, float]:
    """Return a preset's c2c (of a step) and read_noise (of the device's range) from the split of a pulse train's noise.

    What fades within some pulses was not written: no pulsed model forgets it again, so it is counted as read noise.
    """
    params = found.params()
    span = params["g_max"] - params["g_min"]
    read, c2c = [], []
    for side, one in noise.items():
        fades = one.fades
        stays = one.fading.c2c**2 / (1 - one.fading.phi**2) if fades else 0.0
        read.append(float(np.hypot(one.fading.read if fades else one.walk.read, np.sqrt(stays))) / span)
        c2c.append(0.0 if fades else one.walk.c2c / span / params[f"step_{side}"])
    return {"c2c": float(np.mean(c2c)), "read_noise": float(np.mean(read))}


def _wrappers(arrays: Mapping[str, float]):
    from memjax.config import _presets

    if not arrays.get("c2c"):
        return ()
    return (_presets.Wrapper(name="with_c2c_noise", params={"sigma": arrays["c2c"]}),)


def summary(found: Fit) -> dict[str, Any]:
    """Return everything about a fit as plain numbers for JSON."""

    def plain(x: float) -> float | None:
        return float(x) if math.isfinite(x) else None

    return {
        "device": found.device,
        "kind": found.kind,
        "date": found.date,
        "data": [{"file": d.name, "sha256": d.sha256, "rmse": e} for d, e in zip(found.data, found.rmse, strict=True)],
        "parameters": {
            n: {
                "value": plain(found.values[n]),
                "low": plain(found.low[n]),
                "high": plain(found.high[n]),
                "unit": found.problem.units[k],
                "near_optimal": [plain(found.near[:, k].min()), plain(found.near[:, k].max())],
            }
            for k, n in enumerate(found.problem.names)
        },
        "held": found.held,
        "bic": plain(found.bic),
        "held_out": found.held_out,
        "noise": found.noise,
        "correlation": found.correlation,
        "starts": {"number": len(found.costs), "near_optimal": len(found.near)},
        "unseen": [{"weights": u.weights, "sd": plain(u.sd), "text": u.text} for u in found.unseen],
        "at_bounds": found.at_bounds,
        "intervals": "bootstrap" if found.bootstrap is not None else "Gauss-Newton",
    }


def draw(found: Fit):
    """Draw the fit: overlay, residuals, intervals."""
    from memjax import plot

    curve, sets = np.asarray(found.curve), []
    for block, one in zip(_blocks(found.data), found.data, strict=True):
        if one.kind == "loop":
            peak = np.abs(one.i).max()  # type: ignore[union-attr]
            sets.append((one.name, one.v, one.i, curve[block] * peak))  # type: ignore[union-attr]
        elif one.kind == "pulses":
            scale, g = pulses.frame(found.data), one.g  # type: ignore[arg-type,union-attr]
            number = np.broadcast_to(np.arange(1.0, g.shape[1] + 1), g.shape)
            model = np.full(g.shape, np.nan)
            model[~np.isnan(g)] = scale.low + scale.span * curve[block]
            gap = np.full((len(g), 1), np.nan)  # between ramps the line is lifted
            sets.append((one.name, *(np.hstack([x, gap]).ravel() for x in (number, g, model))))
        elif one.kind == "retention":
            g, peak = one.g, max(float(d.g.max()) for d in found.data)  # type: ignore[union-attr]
            t, gap = np.broadcast_to(one.t, g.shape), np.full((len(g), 1), np.nan)  # type: ignore[union-attr]
            model = peak * curve[block].reshape(g.shape)
            sets.append((one.name, *(np.hstack([x, gap]).ravel() for x in (t, g, model))))
        else:
            peak = max(float(np.abs(d.dg).max()) for d in found.data)  # type: ignore[union-attr]
            sets.append((one.name, one.dt, one.dg, curve[block] * peak))  # type: ignore[union-attr]
    axes = {
        "loop": (("voltage", "V"), ("current", "A")),
        "pulses": (("pulse", ""), ("conductance", getattr(found.data[0], "unit", "S").replace("1", ""))),
        "retention": (("time", "s"), ("conductance", "S")),
        "stdp": (("timing", "s"), ("change", "")),
    }[found.kind]
    units = dict(zip(found.problem.names, found.problem.units, strict=True))
    rows = {n: (found.values[n], found.low[n], found.high[n], units[n]) for n in found.values}
    return plot.fit_overview(sets, rows, x=axes[0], y=axes[1], title=f"{found.device}: {quality(found)}"[:110])
