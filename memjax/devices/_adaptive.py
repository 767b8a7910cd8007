"""Drive a device with a waveform, the integrator choosing its own steps: for rates that span orders of magnitude."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from memjax.devices._series import device_voltage
from memjax.devices._simulate import Trace, check_record, fit_shapes
from memjax.devices._solvers import clamp, unbounded
from memjax.devices.base import Device

METHODS = ("kvaerno5", "tsit5")


def simulate_adaptive(
    device: Device,
    params: Any,
    state: Any,
    voltage,
    dt,
    *,
    record: str | Sequence[str] = ("current", "state"),
    r_series=None,
    method: str = "kvaerno5",
    tolerance: float | None = None,
    max_steps: int = 4096,
) -> tuple[Any, Trace]:
    """Integrate a device's `rate` under a waveform with error control: return the final state and a Trace.

    The arguments that `simulate` has too, and the result, mean what they mean there: the voltage is held over each
    sample, trace.current[t] belongs to the state before sample t and trace.state[t] to the one after it.  Within a
    sample the integrator takes as many steps of its own as the tolerance asks for, each device of an array its own,
    so that a sample may be as long as the waveform allows.

    method: "kvaerno5" (implicit, L-stable: stiff rates cost it nothing) or "tsit5" (explicit: cheaper a step, and as
    many steps as stability asks for); both of order 5.  tolerance: local error as a fraction of a state's range, by
    default 1e-5 in float32 and 1e-8 in float64; a step over a kink in the rate (a window's) may err by ten times that.
    max_steps: of the integrator in one sample.  r_series [] or [...] in ohm: the voltage is divided at every moment,
    where `simulate` divides it once a step.
    The state is held within its bounds at the end of each sample, and seen by the rate as if it always were.
    Differentiable in reverse mode (not in forward mode).  Needs diffrax: pip install "memjax[ode]".

    Raises ValueError on a device without `rate` and on what `simulate` refuses, ImportError without diffrax, and
    RuntimeError where max_steps do not reach the tolerance; inside jit, vmap or grad that state is nan instead.
    Source: Kvaerno, BIT 44, 489 (2004); Tsitouras, Comput. Math. Appl. 62, 770 (2011); Kidger's diffrax.
    """
    try:
        import diffrax
        import optimistix
    except ImportError as missing:
        raise ImportError('simulate_adaptive needs diffrax: pip install "memjax[ode]"') from missing
    if device.rate is None:
        raise ValueError(f"device {device.name!r} has no rate to integrate: accepted is simulate, with its own step")
    if method not in METHODS:
        raise ValueError(f"method = {method!r}: accepted are {', '.join(map(repr, METHODS))}")
    if device.check is not None:
        device.check(params)
    record = check_record(record)
    state, voltage, dt, r_series = fit_shapes(device, params, state, voltage, dt, r_series)
    dtype = jnp.result_type(*jax.tree.leaves(state))
    if tolerance is None:
        tolerance = 1e-8 if dtype == jnp.float64 else 1e-5
    # Not diffrax's own root finder: it reads rounding as divergence where the rate does not depend on the state.
    close = max(tolerance / 100, 16 * float(jnp.finfo(dtype).eps))
    newton = optimistix.Newton(rtol=close, atol=close)
    solver = diffrax.Kvaerno5(root_finder=newton) if method == "kvaerno5" else diffrax.Tsit5()
    controller = diffrax.PIDController(rtol=tolerance, atol=tolerance)

    def divided(params, state, v, r):
        return v if r is None else device_voltage(lambda u: device.current(params, state, u), v, r)

    def one_device(params, state, voltage, r):
        low, width = _ranges(device, params, state)

        def slope(_, y, inputs):
            # In fractions of the range and of the sample, so that one tolerance suits siemens and picoseconds alike.
            v, dt_t = inputs
            s = clamp(device.bounds, params, _from_unit(y, low, width))
            rate = device.rate(params, s, divided(params, s, v, r))  # type: ignore[misc]
            return jax.tree.map(lambda leaf, k, w: jnp.broadcast_to(k * dt_t / w, leaf.shape), y, rate, width)

        def sample(state, inputs):
            y = jax.tree.map(lambda s, a, w: (s - a) / w, state, low, width)
            end = diffrax.diffeqsolve(
                diffrax.ODETerm(slope),  # type: ignore[arg-type]
                solver,
                t0=0.0,
                t1=1.0,
                dt0=1.0,  # the whole sample, where nothing moves
                y0=y,
                args=inputs,
                stepsize_controller=controller,
                max_steps=max_steps,
                throw=False,
            )
            reached = end.result == diffrax.RESULTS.successful
            y = jax.tree.map(lambda leaf: jnp.where(reached, leaf[-1], jnp.nan), end.ys)
            state = clamp(device.bounds, params, _from_unit(y, low, width))
            return state, state

        times = jnp.broadcast_to(dt, voltage.shape)
        return lax.scan(sample, state, (voltage, times))

    shape = jax.eval_shape(device.current, params, state, voltage[0]).shape
    final, states = _each_device(one_device, shape, params, state, voltage, r_series)
    if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(states)):
        if any(np.isnan(leaf).any() for leaf in jax.tree.leaves(states)):
            raise RuntimeError(
                f"{device.name}: {max_steps} steps of {method!r} do not reach the tolerance {tolerance:g} in some"
                " sample: accepted are a larger tolerance, more max_steps, or a waveform with shorter samples"
            )
    kept = None
    if "current" in record:
        before = jax.tree.map(lambda first, rows: jnp.concatenate([first[None], rows[:-1]]), state, states)

        def read(state, v):
            v = v if r_series is None else jnp.broadcast_to(v, shape)
            return device.current(params, state, divided(params, state, v, r_series))

        kept = jax.vmap(read)(before, voltage)
    return final, Trace(kept, states if "state" in record else None)


def _ranges(device: Device, params, state):
    """Return (lowest, highest - lowest) of every leaf of one device's state; (0, 1) where it is unbounded."""
    zero = jax.tree.map(jnp.zeros_like, state)
    if device.bounds is None:
        return zero, jax.tree.map(jnp.ones_like, state)
    lo, hi = device.bounds(params)
    low = jax.tree.map(lambda z, a, b: z if unbounded(a, b) else z + a, zero, lo, hi)
    width = jax.tree.map(lambda z, a, b: z + 1 if unbounded(a, b) else z + (b - a), zero, lo, hi)
    return low, width


def _from_unit(y, low, width):
    return jax.tree.map(lambda u, a, w: a + w * u, y, low, width)


def _each_device(function, shape, params, state, voltage, r_series):
    """Apply function to one device at a time: devices do not wait for each other's step sizes, nor see their norms.

    A leaf of params that is a scalar, and a voltage [T], are shared; results are [...] and [T, ...] again.
    """
    rank, n = len(shape), math.prod(shape)
    if rank == 0:
        return function(params, state, voltage, r_series)

    def per_device(leaf):
        return jnp.broadcast_to(leaf, shape + leaf.shape[rank:]).reshape(n, *leaf.shape[rank:])

    def split(leaf):
        return (per_device(leaf), 0) if jnp.ndim(leaf) >= rank else (leaf, None)

    leaves, treedef = jax.tree.flatten((params, state, r_series))
    values, axes = zip(*map(split, leaves), strict=True)
    steps = voltage.shape[0]
    if voltage.ndim > 1:
        voltage = jnp.broadcast_to(voltage, (steps, *shape)).reshape(steps, n)

    def one(v, *leaves):
        params, state, r = treedef.unflatten(leaves)
        return function(params, state, v, r)

    shared = None if voltage.ndim == 1 else 1
    final, states = jax.vmap(one, in_axes=(shared, *axes), out_axes=(0, 1))(voltage, *values)
    final = jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), final)
    return final, jax.tree.map(lambda leaf: leaf.reshape(steps, *shape, *leaf.shape[2:]), states)
