"""Drift compensation: from a second to a year, where all devices drift alike and where they do not."""

from frame import Task, curve, joules, judge, run
from refresh import DAY, HOUR, KNOWN, left_alone, over

from memjax.energy import Events

TIMES = (1.0, 60.0, HOUR, DAY, 30 * DAY, 365 * DAY)
MONTH = TIMES.index(30 * DAY)
NU = 0.02


def study(task: Task) -> dict:
    # K reads of every device, and of every column.
    sizes = [(w.shape[0] * w.shape[1], w.shape[1]) for w in task.weights]
    spent = Events(mac=KNOWN * sum(n for n, _ in sizes), read=KNOWN * sum(cols for _, cols in sizes))
    price, curves = float(joules(spent)), {}
    for spread, ways in (
        (0.0, {"nothing": None, "one factor": "array"}),
        (0.2, {"one factor, spread 20 %": "array"}),
        (0.5, {"one factor, spread 50 %": "array", "a factor a column, spread 50 %": "column"}),
    ):
        chip = left_alone(NU, spread, tuple(ways.values()), TIMES)
        values = run(task, f"drift_compensation-{spread:g}", chip, [0.0])
        for label, per in ways.items():
            curves[label] = curve(over(values, per, TIMES), devices=1.0, energy=price if per else 0.0)
    perfect = run(task, "refresh-ideal", left_alone(0.0, 0.0, (None,), (1.0,)), [0.0])
    ideal = 100 * float(over(perfect, None, (1.0,))["accuracy"].mean())
    rows = [
        judge(ideal, curves, "nothing", "one factor", MONTH, "mean drift: within .5 point after a month", False),
        judge(
            ideal, curves, "one factor, spread 50 %", "a factor a column, spread 50 %", MONTH,
            "what a column's own mean gains where exponents differ", True,
        ),
    ]  # fmt: skip
    rows[0]["met"] = bool(rows[0]["lost"] >= 3 and rows[0]["left"] <= 0.5)
    rows[1]["met"] = bool(rows[1]["gain"]["low"] > 0)
    return {
        "title": f"single devices, nu {NU:g}", "ideal": ideal, "curves": curves, "judged": rows,
        "axis": {"label": "time after programming", "values": TIMES, "times": True},
        "energy_label": "a measurement (µJ)", "ylim": (75.0, 100.0),
    }  # fmt: skip
