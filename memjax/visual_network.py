"""The visual network: N neurons, every one connected to every other through a memristor that is drawn as a line.

Each step applies a matrix of voltages to the N x N devices of model `sine_drift` (its file holds the equations);
entry (i, j) is the synapse from neuron i to neuron j, and the source has (i, i) too.  `memjax.plot` draws the result.
Source: dynamic visualisation of memristor synapses, preprint, 17 May 2024.
"""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.core import Tracer

from memjax import devices
from memjax.devices import sine_drift
from memjax.devices.base import accept


@struct.dataclass
class NetworkTrace:
    """Hold a run: T steps of N x N synapses; w, phi and r start with the values before the first step."""

    voltage: Any  # [T, N, N] V
    current: Any  # [T, N, N] A, at the voltage of the step and the state before it
    w: Any  # [T + 1, N, N] 1
    phi: Any  # [T + 1, N, N] V s
    r: Any  # [T + 1, N, N] ohm


def simulate_network(
    n: int = 5,
    steps: int = 20,
    dt=0.1,
    key: jax.Array | None = None,
    *,
    params: sine_drift.Params | None = None,
    v_max=5.0,
    voltage=None,
    w0=None,
) -> NetworkTrace:
    """Drive the N x N synapses: w' = clip(w + beta sin(V) dt, 0, 1), R = r_on w + r_off (1 - w).

    The defaults are the published run.  What is not given is drawn from `key`: voltage [T, N, N] uniform in
    [-v_max, v_max] V, w0 [N, N] uniform in [0.1, 0.9].  dt in s.

    Raises ValueError on n or steps below 1, a negative dt, a shape that is not the stated one, w0 outside [0, 1], a
    voltage that is not finite, or nothing to draw from.
    """
    if n < 1 or steps < 1:
        raise ValueError(f"n = {n}, steps = {steps}: accepted are whole numbers, 1 or more")
    if key is None and (voltage is None or w0 is None):
        raise ValueError("key is None: accepted only where both voltage and w0 are given")
    if key is not None:
        key_w0, key_voltage = jax.random.split(key)
        if w0 is None:
            w0 = jax.random.uniform(key_w0, (n, n), minval=0.1, maxval=0.9)
        if voltage is None:
            voltage = v_max * jax.random.uniform(key_voltage, (steps, n, n), minval=-1.0, maxval=1.0)
    w0 = jnp.asarray(w0, dtype=jnp.result_type(float, w0))
    voltage = jnp.asarray(voltage, dtype=w0.dtype)
    if w0.shape != (n, n) or voltage.shape != (steps, n, n):
        raise ValueError(
            f"w0 has shape {w0.shape} and voltage {voltage.shape}: accepted are {(n, n)} and {(steps, n, n)}"
        )
    if not isinstance(voltage, Tracer):
        accept("voltage", voltage, np.isfinite(voltage), "a finite number of V")

    params = sine_drift.Params() if params is None else params
    state = sine_drift.DEVICE.init(params, w0)
    _, trace = devices.simulate(sine_drift.DEVICE, params, state, voltage, dt)
    states = jax.tree.map(lambda start, after: jnp.concatenate([start[None], after]), state, trace.state)
    g = jax.vmap(lambda state: devices.conductance(sine_drift.DEVICE, params, state, v_read=1.0))(states)
    return NetworkTrace(voltage=voltage, current=trace.current, w=states.w, phi=states.phi, r=1 / g)


def load_voltage(path: str | os.PathLike[str]) -> np.ndarray:
    """Read voltages [T, N, N] in V from a CSV file: one row a step, N^2 values a row, (1, 1), (1, 2), ..., (N, N).

    Raises ValueError on a file that is not such a table, OSError on one that cannot be read.
    """
    path = Path(path)
    try:
        rows = np.loadtxt(path, delimiter=",", ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; accepted is a table of numbers separated by commas") from None
    n = round(rows.shape[1] ** 0.5)
    if rows.size == 0 or n * n != rows.shape[1] or not np.isfinite(rows).all():
        raise ValueError(
            f"{path}: {rows.shape[0]} rows of {rows.shape[1]} values: accepted are finite numbers, one row a step and"
            " one column a synapse, N x N columns (25 for five neurons)"
        )
    return rows.reshape(-1, n, n)
