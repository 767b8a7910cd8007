"""Drive a device with a waveform: one scan over the model's step, whatever the model."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax
from jax.core import Tracer

from memjax.devices._series import device_voltage
from memjax.devices._solvers import SOLVERS, advance
from memjax.devices._stability import fastest_decay, refuse_unstable
from memjax.devices.base import Chart, Device, accept


@struct.dataclass
class Trace:
    """Hold what `simulate` recorded; a field that was not asked for is None."""

    current: Any = None  # [T, ...] A: at the voltage of the step and the state before it
    state: Any = None  # leaves [T, ...]: after the step


def simulate(
    device: Device,
    params: Any,
    state: Any,
    voltage,
    dt,
    key: jax.Array | None = None,
    *,
    record: str | Sequence[str] = ("current", "state"),
    every: int = 1,
    r_series=None,
    solver: str | None = None,
) -> tuple[Any, Trace]:
    """Drive a device, or an array of devices, with a waveform: return the final state and a Trace.

    Step t does, in this order:  i_t = current(state_t, v_t);  state_{t+1} = step(state_t, v_t, dt_t).
    So trace.current[t] belongs to the state before step t, and trace.state[t] is the state after it (trace.state[-1] is
    the final state).  The voltage is held over a step.

    voltage [T] (shared by all devices) or [T, ...] (its own for each) in V; dt [] or [T] in s; key: for models that
    draw noise, step t gets fold_in(key, t).  record: any of "current", "state".  every=k keeps the steps 0, k, 2k, ...
    of the trace, without ever storing the others.  r_series [] or [...] in ohm: the device sees v - i r_series.
    solver: "euler", "heun" or "rk4" integrates the model's `rate` instead of taking its own `step`.  The state's
    dtype is the simulation's.

    Raises ValueError on parameters that the model refuses, shapes that do not fit, an unknown record or solver, or a
    dt at which the solver is unstable at a state that the run came to (not inside jit, vmap or grad, where nothing is
    known yet: see `check_step`).
    """
    if device.check is not None:
        device.check(params)
    record = check_record(record)
    if every < 1 or int(every) != every:
        raise ValueError(f"every = {every}: accepted is a whole number of steps, 1 or more")
    state, voltage, dt, r_series = fit_shapes(device, params, state, voltage, dt, r_series)
    if not record and solver is None and r_series is None and device.chart and device.chart.step is device.step:
        return _end(device.chart, params, state, voltage, dt), Trace()
    move = _mover(device, solver)
    steps = voltage.shape[0]
    keys = None if key is None else jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(steps))
    traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((params, state, voltage, dt, r_series)))
    stiffest = None if solver is None or traced else jnp.zeros((), dt.dtype)  # None: nobody can look at it

    def one(carry, inputs):
        state, stiffest = carry
        v, dt_t, key_t = inputs
        if r_series is not None:
            v = device_voltage(lambda u: device.current(params, state, u), jnp.broadcast_to(v, shape), r_series)
        dt_t = dt if dt_t is None else dt_t
        current = device.current(params, state, v) if "current" in record else None
        if stiffest is not None:
            stiffest = jnp.maximum(stiffest, dt_t * fastest_decay(device, params, state, v))
        state = move(params, state, v, dt_t, key_t)
        return (state, stiffest), Trace(current, state if "state" in record else None)

    def block(carry, inputs):
        carry, row = one(carry, jax.tree.map(lambda leaf: leaf[0], inputs))
        if every > 1:
            rest = jax.tree.map(lambda leaf: leaf[1:], inputs)
            carry, _ = lax.scan(lambda s, x: (one(s, x)[0], None), carry, rest)
        return carry, row

    shape = jax.eval_shape(device.current, params, state, voltage[0]).shape
    inputs = (voltage, dt if dt.ndim else None, keys)
    whole = steps // every * every
    blocks = jax.tree.map(lambda leaf: leaf[:whole].reshape(whole // every, every, *leaf.shape[1:]), inputs)
    carry, trace = lax.scan(block, (state, stiffest), blocks)
    if whole < steps:
        carry, row = block(carry, jax.tree.map(lambda leaf: leaf[whole:], inputs))
        trace = jax.tree.map(lambda rows, last: jnp.concatenate([rows, last[None]]), trace, row)
    state, stiffest = carry
    if solver is not None and stiffest is not None and not isinstance(stiffest, Tracer):
        refuse_unstable(device, solver, dt, stiffest)
    return state, trace


def _end(chart: Chart, params, state, voltage, dt):
    """Return the final state, having stepped in the chart's coordinate."""
    scalars = all(jnp.ndim(leaf) == 0 for leaf in jax.tree.leaves(params)) and voltage.ndim == 1
    dts = jnp.broadcast_to(dt, voltage.shape[:1])
    # Of different devices, or of a waveform each, the drives of all steps would fill the memory.
    drives = jax.vmap(partial(chart.drive, params))(voltage, dts) if scalars else None
    if scalars and chart.even is not None:
        drives = chart.even(params, drives)

    def move(y, inputs):
        v, dt_t, u = inputs
        return chart.advance(params, y, u if scalars else chart.drive(params, v, dt_t)), None

    y, _ = lax.scan(move, chart.enter(params, state), (voltage, dts, drives))
    return chart.leave(params, state, y)


def check_record(record: str | Sequence[str]) -> Sequence[str]:
    """Return what to record as a sequence; raise ValueError on what there is not."""
    record = (record,) if isinstance(record, str) else record
    if unknown := set(record) - {"current", "state"}:
        raise ValueError(f"record = {sorted(unknown)}: accepted are 'current' and 'state'")
    return record


def _mover(device: Device, solver: str | None) -> Callable:
    if solver is None:
        return device.step
    if solver not in SOLVERS:
        raise ValueError(
            f"solver = {solver!r}: accepted are {', '.join(map(repr, SOLVERS))}, or None for the model's own step"
        )
    rate = device.rate
    if rate is None:
        raise ValueError(f"solver = {solver!r}: device {device.name!r} has no rate to integrate; accepted is None")
    return lambda params, state, v, dt, key: advance(solver, rate, device.bounds, params, state, v, dt)


def fit_shapes(device: Device, params, state, voltage, dt, r_series):
    """Bring state, voltage and r_series to one rank and one dtype; check what cannot be brought there."""
    dtype = jnp.result_type(float, *jax.tree.leaves(state))
    state = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype=dtype), state)
    voltage, dt = jnp.asarray(voltage, dtype=dtype), jnp.asarray(dt, dtype=dtype)
    if voltage.ndim == 0 or voltage.shape[0] == 0:
        raise ValueError(f"voltage has shape {voltage.shape}: accepted is [T] or [T, ...] with T >= 1 steps")
    if dt.shape not in ((), voltage.shape[:1]):
        raise ValueError(f"dt has shape {dt.shape}: accepted is [] or [T] = {voltage.shape[:1]}")
    if not isinstance(dt, Tracer):
        accept("dt", dt, np.asarray(dt) >= 0, "0 s or more")
    devices = jax.eval_shape(device.current, params, state, 0.0).shape
    rank, own = len(devices), voltage.shape[1:]
    if rank and len(own) > rank:
        raise ValueError(
            f"voltage has shape {voltage.shape} for devices of shape {devices}: accepted is [T] or [T, ...] of that"
            " rank; give the state the leading axes too"
        )
    if own and len(own) < rank:
        own = (1,) * (rank - len(own)) + own
        voltage = voltage.reshape(voltage.shape[0], *own)
    if r_series is not None:
        r_series = jnp.asarray(r_series, dtype=dtype)
        if not isinstance(r_series, Tracer):
            accept("r_series", r_series, np.asarray(r_series) >= 0, "0 ohm or more")
    try:
        shape = np.broadcast_shapes(devices, own, np.shape(r_series) if r_series is not None else ())
    except ValueError:
        raise ValueError(f"voltage [T, ...] = {voltage.shape} does not fit devices of shape {devices}") from None
    # A model's inner axes (modes, table entries) follow those of the devices.
    state = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, shape + leaf.shape[rank:]), state)
    return state, voltage, dt, r_series
