"""The README's tables and sentences with numbers, from results.json: between `<!-- name -->` and `<!-- end -->`."""

import difflib
import re
from pathlib import Path

import numpy as np

BLOCK = re.compile(r"(<!-- (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
FREQUENCIES = ("1", "10", "100", "1000")
FITTED = ("10", "100")


def percent(x: float, digits: int = 2) -> str:
    return f"{100 * x:.{digits}f}"


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def keyed(rows: dict) -> dict:
    """JSON has text for keys: so do rows that have not been through it."""
    return {str(k): v for k, v in rows.items()}


def drive(r: dict) -> str:
    rows = [
        [name.replace("_", " "), percent(one["resistor"]), percent(one["voltage"])] for name, one in r["drive"].items()
    ]
    return table(["loop", "through the resistor", "by the measured voltage"], rows)


THREE = ("metastable_switch", "vteam", "wox")


def alone(r: dict) -> str:
    models = [*THREE, *(m for m in r["alone"] if m not in THREE)]
    rows, errors = [], []
    for name in next(iter(r["alone"].values())):
        mine = [r["alone"][m][name]["rmse"] for m in models]
        errors.append(mine)
        best = min(mine[: len(THREE)])
        rows.append([name.replace("_", " "), *(f"**{percent(e)}**" if e == best else percent(e) for e in mine)])
    three = np.array(errors)[:, : len(THREE)]
    text = (
        f"Of `metastable_switch`, `vteam` and `wox` the best (bold) is at most {percent(three.min(1).max())} %, in the "
        f"median {percent(np.median(three.min(1)))} %; all three are at most {percent(three.max())} %.\n\n"
    )
    return text + table(["loop", *(f"`{m}`" for m in models)], rows)


def _spread(row: dict, f: str) -> str:
    value, (low, high) = row["predicted"][f], row["spread"][f]
    around = f" ({percent(low, 1)} to {percent(high, 1)})" if high - low > 1e-3 else ""
    return percent(value, 1) + around


def pairs(r: dict) -> str:
    rows = []
    for name, models in r["pairs"].items():
        order = r["chosen"][name]["bic"]
        for model in order:
            row = {k: keyed(v) if isinstance(v, dict) else v for k, v in models[model].items()}
            rows.append(
                [
                    name.replace("-", " "),
                    f"**`{model}`**" if model == order[0] else f"`{model}`",
                    ", ".join(percent(row["fit"][f], 1) for f in FITTED),
                    _spread(row, "1"),
                    _spread(row, "1000"),
                    str(len(row["unseen"])),
                ]
            )
        copy = [percent(keyed(r["copy"][name])[f], 1) for f in ("1", "1000")]
        rows.append([name.replace("-", " "), "copy the nearest loop", "-", *copy, "-"])
    header = ["series", "model", "fitted: 10, 100 Hz", "predicted 1 Hz", "predicted 1000 Hz", "unseen"]
    return _choices(r) + table(header, rows)


def _choices(r: dict) -> str:
    """What the models chosen on the fitted loops predict of the others, by either criterion."""
    lines = []
    for criterion, title in (("bic", "BIC"), ("held_out", "held-out error")):
        found = []
        for name, order in r["chosen"].items():
            model = order[criterion][0]
            one = keyed(r["pairs"][name][model]["predicted"])
            found.append(f"{name.replace('-', ' ')} `{model}` {percent(one['1'], 1)} and {percent(one['1000'], 1)} %")
        lines.append(f"- Chosen by {title}, predicted 1 and 1000 Hz: {'; '.join(found)}.")
    return "\n".join(lines) + "\n\n"


def periodic(r: dict) -> str:
    if "periodic" not in r:
        return "These parts (`--only 'periodic/*'`) are not among the results yet.\n"
    rows = []
    for name, models in r["periodic"].items():
        for model, row in models.items():
            row = {k: keyed(v) if isinstance(v, dict) else v for k, v in row.items()}
            fitted = ", ".join(percent(row["fit"][f], 1) for f in FITTED)
            rows.append([name.replace("-", " "), f"`{model}`", fitted, _spread(row, "1"), _spread(row, "1000")])
    return table(["series", "model", "fitted: 10, 100 Hz", "predicted 1 Hz", "predicted 1000 Hz"], rows)


def selection(r: dict) -> str:
    rows = []
    for name, order in r["chosen"].items():
        for k, model in enumerate(order["bic"]):
            row = r["pairs"][name][model]
            ranks = [str(k + 1), percent(row["held_out"]), str(order["held_out"].index(model) + 1)]
            rows.append([name.replace("-", " "), f"`{model}`", str(row["parameters"]), f"{row['bic']:.0f}", *ranks])
    header = ["series", "model", "parameters", "BIC, all points", "rank, points counted by correlation"]
    return table([*header, "held-out error", "rank"], rows)


def unseen(r: dict) -> str:
    lines = []
    for name, order in r["chosen"].items():
        model = order["bic"][0]
        found = r["pairs"][name][model]["unseen"]
        lines.append(f"- {name.replace('-', ' ')}, `{model}`: {'; '.join(found) if found else 'all is determined'}.")
    return "\n".join(lines) + "\n"


def whole(r: dict) -> str:
    rows, best = [], []
    for name, models in r["all"].items():
        for model, row in models.items():
            errors = keyed(row["fit"])
            rows.append(
                [
                    name.replace("-", " "),
                    f"`{model}`",
                    *(percent(errors[f], 1) if f in errors else "-" for f in FREQUENCIES),
                ]
            )
        best.append((name, *min(((max(row["fit"].values()), m) for m, row in models.items()))))
    text = "; ".join(f"{name.replace('-', ' ')} {percent(e, 1)} % (`{m}`)" for name, e, m in best)
    head = f"The worst loop of the model whose worst loop is best: {text}.\n\n"
    return head + table(["series", "model", *(f"{f} Hz" for f in FREQUENCIES)], rows)


def gong(r: dict) -> str:
    g = r["pulsed"]["gong"]
    value, low, high = g["down"]["constant"]
    (slope, least, most), bic, last = g["up"]["slope"], g["up"]["bic"], g["up"]["pulses_to_the_bound"]
    text = (
        f"Down: exponential in the number of pulses with the constant {value:.0f} ({low:.0f} to {high:.0f}; the "
        f"interval counts correlated residuals as fewer points). Up: a straight line, {slope:.5f} a pulse ({least:.5f} "
        f"to {most:.5f}), preferred to soft bounds by {bic['soft'] - bic['linear']:.0f} units of BIC; a line that ends "
        f"at a bound, after {last:.0f} pulses, by another {bic['linear'] - bic['ended']:.0f}.\n\n"
    )
    rows = []
    for side in ("up", "down"):
        n = g[side]["noise"]
        gain = n["log_likelihood"][1] - n["log_likelihood"][0]
        rows.append(
            [
                side,
                f"{n['step_sd']:.3f}",
                f"{n['lag1']:.2f}",
                f"{n['read']:.3f} ({n['read_interval'][0]:.3f} to {n['read_interval'][1]:.3f})",
                f"{n['c2c']:.3f} ({n['c2c_interval'][0]:.3f} to {n['c2c_interval'][1]:.3f})",
                f"fades in {1 / (1 - n['fading']['phi']):.0f} pulses, log-likelihood {gain:+.1f}",
            ]
        )
    header = ["branch", "sd of a step", "lag-1 correlation", "read noise", "C2C a pulse, random walk", "C2C that fades"]
    share = [2 * n["read"] ** 2 / n["step_sd"] ** 2 for n in (g["up"]["noise"], g["down"]["noise"])]
    tail = (
        f"\nRead noise alone is {percent(share[0], 0)} % and {percent(share[1], 0)} % of a step's variance: most of "
        "the step noise is read noise.\n"
    )
    return text + table(header, rows) + tail


def predictive(r: dict) -> str:
    p = r["pulsed"]["predictive"]
    up, down = p["covered"]
    return (
        f"A Monte Carlo of 2,000 devices of that preset: {percent(up, 1)} % (up) and {percent(down, 1)} % (down) of "
        f"the points lie in the 95 % band; sd about the mean {p['measured'][0]:.3f} and {p['measured'][1]:.3f} "
        f"measured, {p['simulated'][0]:.3f} and {p['simulated'][1]:.3f} simulated.\n"
    )


def crosssim(r: dict) -> str:
    c, rows = r["pulsed"]["crosssim"], []

    def three(value, digits=3):
        x, low, high = value
        return f"{x:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"

    for name, side in (("set", "up"), ("reset", "down")):
        s = c[f"{name} spread"]
        between = s["between"]
        between = [between[0], min(between[0], between[1]), between[2]]
        rows.append(
            [
                f"{side} ({name})",
                *(percent(c[f"{name} {m}"]["rmse"]) for m in ("exponential", "soft_bounds")),
                three(between),
                three(s["within"]),
                three([s["c2c"], *s["c2c_interval"]]),
                three([s["read"], *s["read_interval"]]),
            ]
        )
    header = ["ramps", "`exponential`", "`soft_bounds`", "between ramps", "within a ramp", "of which C2C", "read noise"]
    return table(header, rows)


def calibration(r: dict) -> str:
    rows = []
    for model, one in r["calibration"].items():
        worst = min(one["inside"], key=one["inside"].get)
        least = f"{percent(one['inside'][worst], 0)} (`{worst}`)"
        rows.append([f"`{model}`", str(len(one["inside"])), percent(one["pooled"], 1), least])
    return table(["model", "parameters", "intervals with the truth, %", "of one parameter, at least"], rows)


def uniformity(r: dict) -> str:
    u = r["pulsed"]["uniformity"]
    d, c = u["d2d"], u["c2c"]
    return (
        f"**Uniformity of 25 devices** ({u['sweeps']} sweeps, conductance at 2 V on the way up, logarithms): "
        f"D2D {d[0]:.3f} ({d[1]:.3f} to {d[2]:.3f}), C2C {c[0]:.3f} ({c[1]:.3f} to {c[2]:.3f}).\n"
    )


def retention(r: dict) -> str:
    rows = []
    for levels, reads in (("32", 1000), ("526", 350)):
        row = [f"{levels}, {reads} reads"]
        for one in r["pulsed"]["retention"][levels]:
            error = "one level" if one["error"] is None else f"{one['error']:.5f}"
            row.append(f"{one['mean']:.5f} ({error})")
        rows.append(row)
    return table(["levels", "< 10 kohm", "10-20", "20-50", "> 50"], rows)


def endurance(r: dict) -> str:
    rows = []
    for name, e in r["pulsed"]["endurance"].items():
        unit = "e-folds" if name.startswith("I") else "V"
        slope, low, high = (1000 * x for x in e["slope"])
        rows.append([name, f"{slope:+.2f} ({low:+.2f} to {high:+.2f}) {unit}", f"{e['sd']:.2f} {unit}"])
    return table(["", "over 1000 cycles", "cycle spread"], rows)


BLOCKS = {
    f.__name__: f
    for f in (
        calibration, drive, alone, pairs, selection, unseen, periodic, whole,
        gong, predictive, crosssim, uniformity, retention, endurance,
    )
}  # fmt: skip


def filled(text: str, results: dict) -> str:
    """Return the README with every block as the results have it."""
    return BLOCK.sub(lambda found: found[1] + BLOCKS[found[2]](results) + found[4], text)


def write(path: Path, results: dict) -> None:
    path.write_text(filled(path.read_text(encoding="utf-8"), results), encoding="utf-8")


def check(path: Path, results: dict) -> None:
    """Raise SystemExit with the differences where the README is not what the results say."""
    text = path.read_text(encoding="utf-8")
    wanted = filled(text, results)
    if wanted != text:
        diff = difflib.unified_diff(
            text.splitlines(), wanted.splitlines(), "README.md", "results.json", lineterm="", n=0
        )
        raise SystemExit("\n".join(diff))
    print(f"README.md is what results.json says ({len(BLOCK.findall(text))} blocks)")
