"""Pulse trains, retention and endurance: mean responses, noise told apart, drift by level, trends."""

import gzip
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from memjax import devices, fitting, presets
from memjax.fitting import pulses, retention, spread, state_space
from memjax.fitting.data import Pulses


def gong(folder: Path) -> dict:
    """Gong et al.: the shape of both branches, and read noise and C2C noise apart (data's own units)."""
    data = fitting.read(folder / "aihwkit-gong" / "gong_et_al.csv", "pulses")
    side = {"up": data._replace(g=data.g[:1], up=data.up[:1]), "down": data._replace(g=data.g[1:], up=data.up[1:])}
    span = {name: pulses.frame([one]).span for name, one in side.items()}
    out = {}
    # Soft bounds fall exponentially in the number of pulses: 1 - 2 step = exp(-1 / constant).
    down = fitting.fit(side["down"], "soft_bounds", starts=32, robust=None)
    steps = [getattr(down, end)["step_down"] for end in ("values", "low", "high")]
    out["down"] = {
        "constant": [float(-1 / np.log1p(-2 * s)) for s in (steps[0], steps[2], steps[1])],
        "towards": pulses.in_si(down.values, pulses.frame([side["down"]]))["g_min"],
        "rmse": down.rmse[0] * span["down"],
    }
    # A straight line: exponent 0, and bounds that are not met; beside it a line that ends at a bound, and soft bounds.
    far = {"p_up": 0.0, "g_min": -1.0, "g_max": 2.0}
    linear = fitting.fit(side["up"], "power_law", starts=32, robust=None, hold=far)
    ended = fitting.fit(side["up"], "power_law", starts=32, robust=None, hold={"p_up": 0.0})
    bent = fitting.fit(side["up"], "soft_bounds", starts=32, robust=None)
    range_ = far["g_max"] - far["g_min"]
    slope = [getattr(linear, end)["step_up"] * range_ * span["up"] for end in ("values", "low", "high")]
    bics = {"linear": linear.bic, "ended": ended.bic, "soft": bent.bic}
    last = (1 - ended.values["x0_up"]) / ended.values["step_up"]  # pulses to the bound
    out["up"] = {"slope": slope, "rmse": linear.rmse[0] * span["up"], "bic": bics, "pulses_to_the_bound": last}
    for name, found in (("up", linear), ("down", down)):
        noise = fitting.step_noise(found)[name]
        factor = span[name]
        out[name]["noise"] = {
            "read": noise.walk.read * factor,
            "read_interval": [x * factor for x in noise.walk.read_interval],
            "c2c": noise.walk.c2c * factor,
            "c2c_interval": [x * factor for x in noise.walk.c2c_interval],
            "step_sd": noise.walk.step * factor,
            "lag1": noise.walk.lag1,
            "fading": {"read": noise.fading.read * factor, "c2c": noise.fading.c2c * factor, "phi": noise.fading.phi},
            "log_likelihood": [noise.walk.log_likelihood, noise.fading.log_likelihood],
        }
    d, u = out["down"], out["up"]
    print("gong: down exponential, constant {:.0f} pulses ({:.0f} to {:.0f})".format(*d["constant"]))
    print(f"gong: up slope {u['slope'][0]:.5f} a pulse; BIC", {name: round(x, 1) for name, x in u["bic"].items()})
    for name in ("up", "down"):
        n = out[name]["noise"]
        print(
            f"gong {name}: step sd {n['step_sd']:.3f}, lag-1 {n['lag1']:.2f}; "
            f"read {n['read']:.3f}, C2C {n['c2c']:.3f} a pulse"
            f"; fading: read {n['fading']['read']:.3f}, phi {n['fading']['phi']:.2f}, "
            f"log-likelihood {n['log_likelihood'][1] - n['log_likelihood'][0]:+.1f}"
        )
    return out


def crosssim(folder: Path) -> dict:
    """CrossSim ramps: mean response of both directions, and the spread between ramps and within them."""
    both = [fitting.read(folder / "crosssim-pulses" / f"{n}.csv", "pulses", v_read=0.1) for n in ("set", "reset")]
    out = {}
    for name, one in zip(("set", "reset"), both, strict=True):
        for model in ("soft_bounds", "exponential"):
            found = fitting.fit(one, model, starts=16)
            out[f"{name} {model}"] = {"rmse": found.rmse[0], "bic": found.bic, "params": fitting.device_params(found)}
            print(f"crosssim {name} {model}: RMSE {100 * found.rmse[0]:.2f} % of the range, BIC {found.bic:.0f}")
        out[f"{name} spread"] = _ramps(one, name)
    return out


def _ramps(one: Pulses, name: str) -> dict:
    """Split relative steps: between ramps (or devices: the source does not say), and from pulse to pulse within one."""
    seen = ~np.isnan(one.g)
    mean = np.nanmean(np.diff(one.g, axis=1), 0)  # mean step at each pulse number
    relative = np.diff(one.g, axis=1) / mean
    enough = np.broadcast_to((seen[:, 1:].sum(0) >= 20) & (np.arange(relative.shape[1]) < 100), relative.shape)
    use = np.isfinite(relative) & enough
    ramp = np.broadcast_to(np.arange(len(one.g))[:, None], relative.shape)
    found = spread.components(relative[use], ramp[use])
    # Steps hold read noise twice: what stays a step is told apart by the state-space model of the ramp's residuals.
    middle = np.where(seen, one.g - np.nanmean(one.g, 0), np.nan)
    own = middle - np.nanmean(middle, 1, keepdims=True)
    noise = state_space.split(own[:, :100] / np.nanmean(np.abs(mean)))
    row = {
        "between": list(found.d2d),
        "within": list(found.c2c),
        "c2c": noise.c2c,
        "c2c_interval": list(noise.c2c_interval),
        "read": noise.read,
        "read_interval": list(noise.read_interval),
    }
    print(
        f"crosssim {name}: sd of the relative step between ramps {found.d2d.value:.3f} ({found.d2d.low:.3f} to "
        f"{found.d2d.high:.3f}), within {found.c2c.value:.3f} ({found.c2c.low:.3f} to {found.c2c.high:.3f}); of which "
        f"C2C {noise.c2c:.3f}, read {noise.read:.3f} mean steps"
    )
    return row


def retained(folder: Path) -> dict:
    """mnn-cam: the drift exponent of every level, by initial resistance."""
    out = {}
    for levels in (32, 526):
        path = folder / "mnn-cam-retention" / f"retention_{levels}_levels.csv.gz"
        # One read a second: the sheet is titled 1E3s, and holds 1000 reads.
        table = _columns(path)
        data = fitting.read({"v": table[0]} | {f"i{k}": c for k, c in enumerate(table[1:])}, "retention", interval=1.0)
        found = fitting.drift(data)
        out[str(levels)] = []
        for low, high, count, mean, error in retention.by_level(found):
            out[str(levels)].append({
                "from": low, "to": high if np.isfinite(high) else None, "levels": count,
                "mean": mean, "error": error if np.isfinite(error) else None,
            })  # fmt: skip
            print(
                f"retention {levels}: R0 {low / 1e3:.0f}-{high / 1e3:.0f} kohm, {count} levels: "
                f"nu {mean:.5f} +- {error:.5f}"
            )
    return out


def _columns(path: Path) -> np.ndarray:
    with gzip.open(path, "rt") as file:
        return np.loadtxt(file, delimiter=",", skiprows=1).T


def uniformity(folder: Path) -> dict:
    """mnn-cam: conductance of 25 devices in their repeated sweeps at +2 V on the way up, D2D and C2C apart."""
    with gzip.open(folder / "mnn-cam-retention" / "uniformity_iv.csv.gz", "rt") as file:
        rows = [line.strip().split(",") for line in file][1:]
    device, v, i = np.array([r[0] for r in rows]), *np.array([[float(r[1]), float(r[2])] for r in rows]).T
    values, names = [], []
    for name in np.unique(device):
        mine = device == name
        voltage, current = v[mine], i[mine]
        for k in np.flatnonzero((voltage[:-1] < 2.0) & (voltage[1:] >= 2.0) & (current[1:] > 0)):
            values.append(np.log(current[k + 1] / voltage[k + 1]))
            names.append(name)
    found = spread.components(np.array(values), np.array(names))
    print(
        f"uniformity: ln G at 2 V: D2D {found.d2d.value:.3f} ({found.d2d.low:.3f} to {found.d2d.high:.3f}), "
        f"C2C {found.c2c.value:.3f} ({found.c2c.low:.3f} to {found.c2c.high:.3f}); {len(values)} sweeps"
    )
    return {"mean": list(found.mean), "d2d": list(found.d2d), "c2c": list(found.c2c), "sweeps": len(values)}


def endurance(folder: Path) -> dict:
    """rram-endurance: trend over 1000 cycles and what scatters about it, of both resistances and voltages."""
    text = (folder / "rram-endurance" / "h16248l_m12_endurance.csv").read_text(encoding="utf-8-sig").splitlines()
    rows = [line.split(",") for line in text[2:]]
    rows = [r for r in rows if r[0].strip().isdigit()]
    table = {"ILRS": 1, "IHRS": 2, "VSET": 3, "VRESET": 17, "IRESET": 18}
    cycle, out = np.array([float(r[0]) for r in rows]), {}
    for name, column in table.items():
        y = np.array([float(r[column]) if r[column].strip() else np.nan for r in rows])
        log = name.startswith("I")
        y = np.log(np.where(y > 0, y, np.nan)) if log else y
        found = fitting.trend(cycle, y)
        out[name] = {"slope": list(found.slope), "sd": found.sd, "level": found.level, "correlation": found.correlation}
        unit = "e-folds" if log else "V"
        print(
            f"endurance {name}: {1e3 * found.slope.value:+.3f} ({1e3 * found.slope.low:+.3f} to "
            f"{1e3 * found.slope.high:+.3f}) {unit} per 1000 cycles, cycle spread {found.sd:.3f} {unit}"
        )
    return out


def predictive(folder: Path, out: Path) -> dict:
    """Monte Carlo of the preset that a fit of the Gong data writes: which share of the data lies in its 95 % band."""
    from memjax import plot

    data = fitting.read(folder / "aihwkit-gong" / "gong_et_al.csv", "pulses")
    found = fitting.fit(data, "soft_bounds", starts=32)
    noise = fitting.step_noise(found)
    with tempfile.TemporaryDirectory() as where:
        source = {"licence": "MIT (IBM)", "citation": "Gong et al. (2018)"}
        saved = fitting.save(found, Path(where) / "gong", arrays=fitting.arrays(found, noise), figure=False, **source)
        made = presets.load(str(saved / "preset.yaml"))
    model, params, share = made.device, made.params, made.meta.arrays.read_noise
    inner = params.inner if hasattr(params, "inner") else params
    values = found.values
    covered, sds, curves = [], [], {}
    for k, name in enumerate(("up", "down")):
        sign = 1.0 if name == "up" else -1.0
        state = model.init(params, jnp.full(2000, values[f"x0_{name}"]))
        pulses_ = jnp.full(data.g.shape[1], sign * inner.v_write)
        _, trace = devices.simulate(model, params, state, pulses_, 1.0, jax.random.key(k), record="state")
        g = jax.vmap(lambda s: model.current(params, s, 1.0))(trace.state)
        read = share * (inner.g_max - inner.g_min) * jax.random.normal(jax.random.key(9 + k), g.shape)
        x = (np.asarray(g + read) - inner.g_min) / (inner.g_max - inner.g_min)
        scale = pulses.frame([data])
        low, high = (pulses.in_si(values, scale)[n] for n in ("g_min", "g_max"))
        sample = low + (high - low) * x
        band = np.quantile(sample, [0.025, 0.975], axis=1)
        covered.append(float(np.mean((data.g[k] >= band[0]) & (data.g[k] <= band[1]))))
        sds.append((float(np.std(data.g[k] - sample.mean(1))), float(np.mean(sample.std(1)))))
        curves[name] = (sample.mean(1), band)
        print(
            f"predictive {name}: {100 * covered[-1]:.1f} % of the points in the 95 % band; sd about the mean "
            f"{sds[-1][0]:.3f} measured, {sds[-1][1]:.3f} simulated"
        )
    fig = plot.figure(3.5, 2.6)
    ax = fig.add_subplot()
    for k, (name, (mean, band)) in enumerate(curves.items()):
        n = np.arange(1, len(mean) + 1)
        ax.plot(n, data.g[k], ".", color="0.6", markersize=1.5)
        ax.fill_between(n, *band, color=plot.OKABE_ITO[k], alpha=0.2, linewidth=0)
        ax.plot(n, mean, color=plot.OKABE_ITO[k], label=name)
    ax.set_xlabel("pulse", fontsize=8)
    ax.set_ylabel("conductance (data's unit)", fontsize=8)
    ax.legend(fontsize=7, frameon=False)
    plot.save(fig, out / "predictive.png")
    measured, simulated = zip(*sds, strict=True)
    return {"covered": covered, "measured": measured, "simulated": simulated}


def parts(folder: Path, out: Path) -> dict:
    """Return {name of a part: function that makes it}."""
    each = {"gong": gong, "crosssim": crosssim, "retention": retained, "uniformity": uniformity, "endurance": endurance}
    found = {f"pulsed/{name}": lambda make=make: make(folder) for name, make in each.items()}
    return found | {"pulsed/predictive": lambda: predictive(folder, out)}
