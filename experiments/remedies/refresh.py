"""Periodic refresh: a simulated month of a drifting array of single devices.

Once with devices that hardly drift, against a reference column that does not drift at all: every weight then falls
together, and an exponent of a thousandth is too much. Once with a larger exponent and one factor of drift compensation
at every read, which leaves the spread for refresh to work against. Refreshes come after an hour, after six more, and
then once a day; a test is always the last thing before a refresh, when things are worst.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from frame import LAYERS, Task, accuracy, curve, joules, judge, layers, run, step

from memjax import crossbar, mitigation, noise
from memjax.energy import Events
from memjax.mitigation import drift_compensation, refresh
from memjax.programming import write_verify
from memjax.variation import Drift, Nonidealities, named_key

HOUR, DAY = 3600.0, 86400.0
# When a test is, how long arrays rest before it, and before each refresh since the last test, and how many there are.
SCHEDULE = (
    (HOUR, HOUR, 0.0, 0),
    (7 * HOUR, 6 * HOUR, HOUR, 1),
    (7 * HOUR + DAY, DAY, 6 * HOUR, 1),
    (7 * HOUR + 7 * DAY, DAY, DAY, 6),
    (7 * HOUR + 30 * DAY, DAY, DAY, 23),
)
TIMES = tuple(time for time, *_ in SCHEDULE)
NOISE, T0, SPREAD, KNOWN = 0.02, 20.0, 0.5, 8
READS = 4  # averaged, at every look of a refresh
SETTINGS = {"bare": (0.001, None), "factor": (0.0135, "array")}  # nu, and what is compensated at reads


def programmer() -> write_verify.Params:
    return write_verify.Params(step(), tolerance=0.01, budget=20, read_noise=NOISE)


def programmed(task: Task, key: Any, nu: Any, spread: Any) -> list:
    """Sample the two arrays of single devices and program them by write-verify."""
    chip = Nonidealities(
        d2d={"step_up": 0.2, "step_down": 0.2}, c2c=0.3, read_noise=NOISE, drift=Drift(nu, spread, T0)
    )  # fmt: skip
    made = []
    for name, xbar, w in zip(LAYERS, layers(chip, key, polarity=1), task.weights, strict=True):
        target = 0.5 + 0.5 * w
        params = programmer().replace(read_noise=0.5 * NOISE)  # four reads averaged
        xbar, _, _ = write_verify.program_to(params, xbar, target, 1e-8, named_key(key, f"program {name}"))
        made.append(xbar)
    return made


def compensated(then: Any, now: Any, key: Any, per: str = "array") -> mitigation.Reader:
    """Return the reader of an array whose drift since `then` is measured and put back."""
    known = noise.uniform(named_key(key, "known"), (KNOWN, then.shape[0]), jnp.result_type(float))
    rho, read = drift_compensation.reference(then), mitigation.reader(now, NOISE)
    fresh = mitigation.reader(then, NOISE)
    before = [drift_compensation.measure(fresh, known, named_key(key, name)) for name in ("then", "again")]
    after = drift_compensation.measure(read, known, named_key(key, "now"))
    left = drift_compensation.factors(*before, after, known, reference=rho, per=per)
    return drift_compensation.compensate(read, left, reference=rho)


def tested(task: Task, start: list, now: list, key: Any, per: str | None) -> Any:
    """Return the accuracy of a chip's arrays as they are now, compensated `per` array or column, or not."""
    readers = []
    for name, then, xbar in zip(LAYERS, start, now, strict=True):
        own = named_key(key, name)
        readers.append(mitigation.reader(xbar, NOISE) if per is None else compensated(then, xbar, own, per))
    return accuracy(task, *readers, named_key(key, "test"))


def left_alone(nu: float, spread: float, pers: tuple[str | None, ...], times: tuple[float, ...]) -> Any:
    """Return the function of a chip that is programmed once, and read at all these times in each of these ways."""

    def chip(task: Task, key: Any, _: Any) -> dict:
        start = programmed(task, key, nu, spread)

        def at(time):
            now = [crossbar.relax(xbar, time) for xbar in start]
            return [tested(task, start, now, key, per) for per in pers]

        found = jax.lax.map(at, jnp.asarray(times))
        return {f"{per} {time}": y[k] for per, y in zip(pers, found, strict=True) for k, time in enumerate(times)}

    return chip


def over(values: dict, per: str | None, times: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Return one way's accuracy over time [times, chips]."""
    return {"accuracy": np.concatenate([values[f"{per} {time}"] for time in times])}


def refreshed(nu: float, per: str | None) -> Any:
    """Return the function of a chip that is refreshed for a month, and tested at all `TIMES`."""

    def chip(task: Task, key: Any, _: Any) -> dict:
        start = now = programmed(task, key, nu, SPREAD)
        found, spent, extra = {}, Events(), [None, None]
        for time, last, rest, times in SCHEDULE:
            for n, w in enumerate(task.weights if times else ()):
                xbar, extra[n], events = refresh.hold(
                    programmer(), now[n], 0.5 + 0.5 * w, 1e-8, named_key(key, f"{LAYERS[n]} {time}"), period=rest,
                    times=times, budget=0.005, reads=READS, extra=extra[n],
                )  # fmt: skip
                now = [*now[:n], xbar, *now[n + 1 :]]
                counts = (jnp.sum(part, dtype=float) for part in (events.refresh, events.verify))
                spent = spent + Events(**dict(zip(("refresh", "verify"), counts, strict=True)))
            found[f"{per} {time}"] = tested(task, start, [crossbar.relax(xbar, last) for xbar in now], key, per)
        energy = joules(Events(pulse=spent.refresh, verify=spent.verify))
        devices = sum(w.size for w in task.weights)
        return found | {"energy": energy / 30, "pulses": spent.refresh / devices / 30}

    return chip


def study(task: Task) -> dict:
    times = (1.0, *TIMES)
    perfect = run(task, "refresh-ideal", left_alone(0.0, 0.0, (None,), (1.0,)), [0.0])
    ideal, curves, judged = 100 * float(over(perfect, None, (1.0,))["accuracy"].mean()), {}, []
    for name, (nu, per) in SETTINGS.items():
        alone = f"nu {nu:g}" if per is None else f"nu {nu:g}, one factor"
        held = f"{alone}, refreshed"
        values = run(task, f"refresh-{name}-alone", left_alone(nu, SPREAD, (per,), times), [0.0])
        curves[alone] = curve(over(values, per, times), devices=1.0, energy=0.0)
        values = run(task, f"refresh-{name}", refreshed(nu, per), [0.0])
        curves[held] = curve(over(values, per, TIMES), devices=1.0, energy=float(values["energy"].mean()))
        curves[held] |= {"at": TIMES, "pulses_a_day": float(values["pulses"].mean())}
        month = {alone: {"chips": curves[alone]["chips"][-1:]}, held: {"chips": curves[held]["chips"][-1:]}}
        row = judge(ideal, month, alone, held, 0, "within .5 point after a month", False)
        judged.append(row | {"met": bool(row["lost"] >= 3 and row["left"] <= 0.5)})
    return {
        "title": "single devices over a month", "ideal": ideal, "curves": curves, "judged": judged,
        "axis": {"label": "time after programming", "values": times, "times": True},
        "energy_label": "refresh (µJ a day)", "ylim": (86.0, 98.5),
    }  # fmt: skip
