"""The voltage rule with a neuron that fires: pairs of spikes at five rates, as measured in visual cortex.

Adaptive exponential integrate-and-fire neuron with an afterdepolarisation and a threshold that jumps, in mV and ms:

    C u' = -g_L (u - E_L) + g_L D exp((u - V_T) / D) - w + z + I
    tau_w w' = a (u - E_L) - w,    tau_z z' = -z,    tau_V V_T' = V_rest - V_T

A spike holds u at 30 mV for 2 ms; then u = -49.5 mV, w grows by b, z = I_spike and V_T = V_rest + 20 mV. The post
neuron is made to fire by 12 nA for 1.2 ms; the pre spike is an event at the synapse and moves no charge.

Clopath, Buesing, Vasilaki, Gerstner 2010 (10.1038/nn.2479) for neuron and protocol. The constants are recalled, and may
differ in detail from the published program's, as do the input current and the step of 0.1 ms.
"""

import jax
import jax.numpy as jnp
import numpy as np

from memjax import plasticity
from memjax.plasticity import Signals, voltage

DT = 0.1  # ms
C, G_L, E_L, SLOPE, V_REST = 281.0, 30.0, -70.6, 2.0, -50.4  # pF, nS, mV
TAU_W, A, B = 144.0, 4.0, 80.5  # ms, nS, pA
TAU_Z, I_SPIKE, TAU_V, JUMP = 40.0, 400.0, 50.0, 20.0  # ms, pA, ms, mV
LATE = 50  # steps: the filtered potentials are read 5 ms late, after the spike
PEAK, AFTER, WIDTH = 30.0, -49.5, 20  # mV, mV, steps
DRIVE, DRIVE_STEPS = 12e3, 12  # pA, steps


def potential(current: np.ndarray) -> jax.Array:
    """Return the potential u [mV] under a current [pA] for each step."""

    def step(carry, i):
        u, w, z, v_t, spike = carry
        slope = -G_L * (u - E_L) + G_L * SLOPE * jnp.exp(jnp.minimum((u - v_t) / SLOPE, 20.0))
        free = u + DT / C * (slope - w + z + i)
        fires = (spike == 0) & (free > v_t + 5.0)
        spike = jnp.where(fires, WIDTH + 1, jnp.maximum(spike - 1, 0))
        ends = spike == 1
        w = w + DT / TAU_W * (A * (jnp.minimum(u, V_REST) - E_L) - w) + jnp.where(ends, B, 0.0)
        z = jnp.where(ends, I_SPIKE, z - DT / TAU_Z * z)
        v_t = jnp.where(ends, V_REST + JUMP, v_t + DT / TAU_V * (V_REST - v_t))
        u = jnp.where(spike > 1, PEAK, jnp.where(ends, AFTER, free))
        return (u, w, z, v_t, spike), u

    zero = jnp.float64(0)
    start = (zero + E_L, zero, zero, zero + V_REST, jnp.int32(0))
    return jax.lax.scan(step, start, current)[1]


def change(rate: float, delay: float, pairs: int = 5) -> float:
    """Return the change of a weight by pairs at a rate [Hz], the post spike `delay` [ms] after the pre spike."""
    period, lead = round(1e3 / rate / DT), round(50 / DT)
    steps = lead + (pairs - 1) * period + round(300 / DT)
    starts = lead + period * np.arange(pairs)
    current, pre = np.zeros(steps), np.zeros((steps, 1))
    for start in starts:
        current[start : start + DRIVE_STEPS] = DRIVE
    u = potential(current)
    fired = np.flatnonzero((np.asarray(u)[1:] == PEAK) & (np.asarray(u)[:-1] != PEAK)) + 1
    if len(fired) != pairs:
        raise RuntimeError(f"the neuron fired {len(fired)} times in {pairs} pairs at {rate} Hz")
    pre[fired - round(delay / DT)] = 1
    post = Signals(jnp.zeros((steps, 1)), 1e-3 * u[:, None])
    w, _ = plasticity.run(voltage.late(LATE), voltage.Params(), jnp.zeros((1, 1)), pre, post, 1e-3 * DT)
    return float(w[0, 0])
