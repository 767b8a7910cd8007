"""I-V loops as a problem: one set of device parameters for one loop or several, each with its own initial state.

The device is driven through the series resistor, by the sine that v + R i turns out to be (`drive`), and its current is
what is fitted.  Driving it by the measured voltage instead asks the exponential rates to repeat the noise and the
snaps of that voltage; `experiments/fits` compares the two.  A loop that no resistor is given for is driven by its own
voltage: nothing else is known.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from memjax import devices
from memjax.fitting import problem as problems
from memjax.fitting import spaces
from memjax.fitting.circuit import Response, respond
from memjax.fitting.data import Loop
from memjax.fitting.problem import Problem, Range

START = "x0"  # initial state of a loop; of several loops x0[0], x0[1], ...
CAPACITANCE = Range(1e-14, 1e-8, "F")
CAPACITANCE_PRIOR = (1e-10, 1.5)  # F, e-folds: cables and probes; fast loops overrule it, slow ones do not see it
SINE = 0.02  # of the amplitude: a drive that is closer to a sine than this is one
WARM_UP = 2  # periods before the one that counts, where the state is periodic


class Drive(NamedTuple):
    """What the source did: u [T] in V, the series resistance, and the sine in it, nan where it is none."""

    u: np.ndarray
    r_series: float
    amplitude: float
    phase: float
    offset: float
    distance: float  # sd of v + R i about the sine, of its amplitude


def drive(loop: Loop, by: str = "resistor") -> Drive:
    """Reconstruct the source of a loop from v + R i, or where R is unknown ("fit") from both.

    by "resistor": the sine of the loop's frequency where v + R i is one within 2 %, else v + R i itself; by "voltage":
    the measured voltage.  An unknown R comes with the sine out of one linear regression,
    v = offset + a cos(w t) + b sin(w t) - R i.
    """
    if by not in ("resistor", "voltage"):
        raise ValueError(f"drive by {by!r}: accepted are 'resistor' and 'voltage'")
    nothing = (float("nan"),) * 4
    if by == "voltage" or loop.r_series is None:
        return Drive(loop.v, 0.0, *nothing)
    unknown, given = loop.r_series == "fit", 0.0 if loop.r_series == "fit" else float(loop.r_series)
    if loop.frequency is None:
        if unknown:
            raise ValueError(f"{loop.name}: the series resistance is fitted with a sine, whose frequency is not given")
        return Drive(loop.v + given * loop.i, given, *nothing)
    angle = 2 * np.pi * loop.frequency * loop.t
    columns = [np.ones_like(angle), np.cos(angle), np.sin(angle)]
    known = loop.v if unknown else loop.v + given * loop.i
    basis = np.stack([*columns, -loop.i] if unknown else columns, 1)
    found = np.linalg.lstsq(basis / np.abs(basis).max(0), known, rcond=None)[0] / np.abs(basis).max(0)
    r_series = float(found[3]) if unknown else given
    if r_series < 0:
        raise ValueError(
            f"{loop.name}: no series resistance above 0 ohm makes v + R i a sine (found {r_series:.3g} ohm)"
        )
    sine, measured = basis[:, :3] @ found[:3], loop.v + r_series * loop.i
    amplitude = float(np.hypot(found[1], found[2]))
    distance = float(np.std(measured - sine)) / amplitude
    phase, offset = float(np.arctan2(found[1], found[2])), float(found[0])
    return Drive(sine if distance < SINE else measured, r_series, amplitude, phase, offset, distance)


def scales(loops: Sequence[Loop]) -> spaces.Scales:
    """Return the scales of the data: largest voltage and current, largest conductance away from 0 V, period."""
    v = max(float(np.abs(loop.v).max()) for loop in loops)
    i = max(float(np.abs(loop.i).max()) for loop in loops)
    g = max(
        float(np.abs(loop.i / np.where(far, loop.v, np.inf)).max())
        for loop in loops
        for far in [np.abs(loop.v) > 0.1 * np.abs(loop.v).max()]
    )
    periods = [1 / loop.frequency if loop.frequency else float(loop.t[-1] - loop.t[0]) for loop in loops]
    return spaces.Scales(v, i, g, min(periods), max(periods))


def problem(
    device: str,
    loops: Sequence[Loop],
    *,
    hold: Mapping[str, float] | None = None,
    free: Sequence[str] = (),
    bounds: Mapping[str, tuple[float, float]] | None = None,
    start: str = "fitted",
    by: str = "resistor",
    substeps: int = 2,
) -> Problem:
    """State the fit of a model to loops.

    hold: parameters kept at a value; free: parameters that are held by default, to be fitted too (a box around their
    default).  bounds: boxes in SI units.  start: "fitted", an initial state a loop, or "periodic": two periods run
    before the one that counts.

    Raises ValueError for a model, a parameter or an option that there is none of.
    """
    if start not in ("fitted", "periodic"):
        raise ValueError(f"start = {start!r}: accepted are 'fitted' and 'periodic'")
    model, found = devices.get(device), scales(loops)
    ranges = spaces.loops(device, found)
    held = {**spaces.HELD.get(device, {}), **(hold or {})}
    for name in free:
        if name in ranges:
            continue
        middle = held.pop(name, None)
        if middle is None:
            raise ValueError(f"free parameter {name!r}: device {device!r} has {', '.join([*ranges, *held])}")
        ranges[name] = Range(middle * 1e-3, middle * 1e3)
    for name, (lo, hi) in (bounds or {}).items():
        if name not in ranges:
            raise ValueError(f"bounds of {name!r}: the fitted parameters are {', '.join(ranges)}")
        ranges[name] = ranges[name]._replace(lo=lo, hi=hi)
    if unknown := set(hold or {}) - set(model.Params.__dataclass_fields__):
        raise ValueError(
            f"hold {unknown.pop()!r}: device {device!r} has {', '.join(model.Params.__dataclass_fields__)}"
        )
    ranges = {name: r for name, r in ranges.items() if name not in held}
    own = tuple(ranges)
    drives = [drive(loop, by) for loop in loops]
    if any(d.r_series for d in drives):
        ranges["c_parallel"] = CAPACITANCE
    if start == "fitted":
        ranges |= {name: Range(0.0, 1.0, "1", log=False) for name in start_names(len(loops))}
    inputs, data, weights = _stack(loops, drives, start)
    inputs["held"] = {name: float(value) for name, value in held.items()}
    # A box that the caller gave is what he knows: no prior beside it.
    priors = {n: p for n, p in spaces.PRIORS.get(device, {}).items() if n not in (bounds or {})}
    priors["c_parallel"] = CAPACITANCE_PRIOR
    predict = _predictor(device, own, len(loops), start, substeps)
    return problems.create(ranges, predict, inputs, data, weights, priors)


def start_names(number: int) -> list[str]:
    """Return the names of the initial states of that many loops."""
    return [START] if number == 1 else [f"{START}[{k}]" for k in range(number)]


def device_parameters(device: str, values: Mapping[str, float], held: Mapping[str, float]) -> dict[str, float]:
    """Return what of the fitted and held values belongs to the model itself."""
    fields = devices.get(device).Params.__dataclass_fields__
    return {name: float(value) for name, value in {**held, **values}.items() if name in fields}


def predicted(device: str, values: Mapping[str, float], held: Mapping[str, float], loop: Loop, *, substeps: int = 2):
    """Return the Response of a device to the drive of a loop that it may never have seen, in its periodic state."""
    parameters = device_parameters(device, values, held)
    with jax.enable_x64(True):
        inputs, _, _ = _stack([loop], [drive(loop)], "periodic")
        run = jax.jit(_respond, static_argnums=(0, 1, 2))
        one = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), {k: inputs[k] for k in ("u", "dt", "r_series")})
        found = run(device, substeps, len(loop.t), parameters, jnp.asarray(0.5), one, values.get("c_parallel", 0.0))
        return jax.tree.map(np.asarray, found)


def error(loop: Loop, current) -> float:
    """Return the root mean square error of a current [T], of the loop's largest."""
    return float(np.sqrt(np.mean((np.asarray(current) - loop.i) ** 2)) / np.abs(loop.i).max())


def _stack(loops, drives, start):
    """Stack loops of different lengths: shorter ones hold their drive, and what is filled up has no weight.

    Filled up at the end; before the warm-up where the state is periodic, so that the last period is always the last.
    """
    length = max(len(loop.t) for loop in loops)

    def fill(x, to):
        if start == "periodic":
            return np.concatenate([np.full(to - len(x), x[0]), x])
        return np.concatenate([x, np.full(to - len(x), x[-1])])

    columns = {"u": [], "dt": [], "r_series": [], "peak": []}
    data, weights = [], []
    for loop, source in zip(loops, drives, strict=True):
        u, dt, whole = source.u, np.diff(loop.t), length
        if start == "periodic":
            dt = np.append(np.tile(np.append(dt, dt[-1]), WARM_UP), dt)
            u, whole = np.tile(u, WARM_UP + 1), length * (WARM_UP + 1)
        columns["u"].append(fill(u, whole))
        columns["dt"].append(fill(dt, whole - 1))
        columns["r_series"].append(source.r_series)
        peak = np.abs(loop.i).max()
        columns["peak"].append(peak)
        data.append(fill(loop.i / peak, length))
        spare = np.zeros(length - len(loop.t))
        used = np.ones(len(loop.t))
        weights.append(np.concatenate([spare, used] if start == "periodic" else [used, spare]))

    inputs: dict[str, Any] = {name: np.asarray(column, float) for name, column in columns.items()}
    return inputs, np.concatenate(data), np.concatenate(weights)


def _respond(device, substeps, last, parameters, x0, one, capacitance) -> Response:
    model = devices.get(device)
    params = model.Params(**parameters)
    found = respond(
        model, params, model.init(params, x0), one["u"], one["dt"], one["r_series"], capacitance, substeps=substeps
    )
    return Response(found.current[-last:], found.voltage[-last:], found.state)


@cache
def _predictor(device: str, own: tuple[str, ...], number: int, start: str, substeps: int):
    """Return the prediction of stacked loops: one function for the same arguments, so that nothing compiles twice."""
    names = start_names(number)

    def predict(values, inputs):
        parameters = {**inputs["held"], **{name: values[name] for name in own}}
        capacitance = values.get("c_parallel", 0.0)
        length = inputs["u"].shape[1] // (1 if start == "fitted" else WARM_UP + 1)

        def one(given, x0):
            return _respond(device, substeps, length, parameters, x0, given, capacitance).current / given["peak"]

        x0 = jnp.stack([values[name] for name in names]) if start == "fitted" else jnp.full(number, 0.5, float)
        given = {name: inputs[name] for name in ("u", "dt", "r_series", "peak")}
        return jax.vmap(one)(given, x0).reshape(-1)

    return predict
