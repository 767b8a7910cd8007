"""STDP and SRDP that emerge from a device: the waveforms of two spikes overlap on it, or a train of pulses drives it.

    v(t) = post(t - t_post) - pre(t - t_pre)

A spike is a short positive part and a long negative tail, too low to move the device. Where a spike of one side
meets the tail of the other the two add up: post after pre gives a positive voltage, which raises the conductance, and
pre after post a negative one. `window` measures dG(t_post - t_pre) from `device.step` alone, for any device and any
pair of sampled waveforms; `rates` measures dG against the rate of pulses. No learning rule is in here.

On a device that moves at the rate k (|v| - v_th) above a threshold, with a spike of height v_th and a tail that decays
in tau, the window is that of `plasticity.stdp`, A exp(-dt / tau), exactly.

Zamarreno-Ramos et al. 2011 (10.3389/fnins.2011.00026) for spikes and tails; Linares-Barranco, Serrano-Gotarredona 2009
(10.1038/npre.2009.3010.1) for the bi-exponential spike. Rates: Kim et al. 2015 (10.1021/acs.nanolett.5b00697).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from memjax.devices import Device, conductance
from memjax.devices.base import Leaf

# --- waveforms: volts at the times t [...] [s] since the spike's start, 0 before and after it -----------------------


def spike_tail(t: ArrayLike, height: Leaf, width: Leaf, tail: Leaf, tau: Leaf) -> Array:
    """Return a rectangle of `height` [V] and `width` [s], then a tail -tail exp(-(t - width) / tau)."""
    t = jnp.asarray(t)
    after = -tail * jnp.exp(-jnp.maximum(t - width, 0.0) / tau)
    return jnp.where(t < 0, 0.0, jnp.where(t < width, height, after))


def triangular(t: ArrayLike, height: Leaf, width: Leaf, tail: Leaf, length: Leaf) -> Array:
    """Return a ramp up to `height` [V] and down over `width` [s], then a tail from -tail to 0 in `length`, linearly."""
    t = jnp.asarray(t)
    up = height * jnp.maximum(1.0 - jnp.abs(2.0 * t / width - 1.0), 0.0)
    return jnp.where(t < 0, 0.0, jnp.where(t < width, up, -tail * jnp.maximum(1.0 - (t - width) / length, 0.0)))


def biexponential(
    t: ArrayLike, height: Leaf, rise: Leaf, tau_rise: Leaf, tail: Leaf, fall: Leaf, tau_fall: Leaf
) -> Array:
    """Return an exponential rise to `height` [V] within `rise` [s], then a tail from -tail to 0 within `fall`.

    height (exp(t / tau_rise) - 1) / (exp(rise / tau_rise) - 1), and after the rise, with s = t - rise,
    -tail (exp(-s / tau_fall) - exp(-fall / tau_fall)) / (1 - exp(-fall / tau_fall)).
    """
    t = jnp.asarray(t)
    up = height * jnp.expm1(jnp.clip(t, 0.0, rise) / tau_rise) / jnp.expm1(rise / tau_rise)
    end = jnp.exp(-fall / tau_fall)
    down = -tail * (jnp.exp(-jnp.clip(t - rise, 0.0, fall) / tau_fall) - end) / (1.0 - end)
    return jnp.where(t < 0, 0.0, jnp.where(t < rise, up, down))


def birectangular(t: ArrayLike, height: Leaf, width: Leaf, tail: Leaf, length: Leaf) -> Array:
    """Return a rectangle of `height` [V] and `width` [s], then one of -tail and `length`."""
    t = jnp.asarray(t)
    return jnp.where((t < 0) | (t >= width + length), 0.0, jnp.where(t < width, height, -tail))


# --- protocols ------------------------------------------------------------------------------------------------------


def window(
    device: Device,
    params: Any,
    pre: ArrayLike,
    post: ArrayLike,
    dts: ArrayLike,
    dt: float,
    *,
    x: ArrayLike = 0.5,
    key: Array | None = None,
    threshold: Leaf = 0.0,
    rest: Leaf = 0.0,
    v_read: Leaf = 0.1,
) -> Array:
    """Measure the change of conductance by one pre and one post spike, dG [n, ...] [S], for each dts [n] [s].

    pre [m] and post [m] are waveforms [V] in steps of dt [s]; dts = t_post - t_pre lie on that grid (concrete numbers,
    they set the run's length). x [...] is where the devices start, of one shape with the leaves of params: many devices
    at once are an axis of these, each with its own noise from `key`. Voltages below `threshold` [V] in size do not
    reach the device (a selector): a programmed device, whose pulse counts by its sign alone, needs it. The change is
    read at v_read after the last sample and `rest` seconds, against the same device left alone as long, so that what a
    volatile device forgets in any case is not in it. Raises ValueError for times off the grid and waveforms that are
    not lists of one length.
    """
    if device.check is not None:
        device.check(params)
    pre, post = jnp.asarray(pre), jnp.asarray(post)
    if pre.ndim != 1 or pre.shape != post.shape:
        raise ValueError(f"window: pre and post must be lists of one length, got shapes {pre.shape} and {post.shape}")
    lags = np.atleast_1d(np.asarray(dts, np.float64)) / float(dt)
    steps = np.rint(lags).astype(int)
    if lags.ndim != 1 or not np.allclose(lags, steps, rtol=0, atol=1e-3):
        raise ValueError(f"window: dts must be a list of multiples of dt = {dt} s, got {dts}")
    start = device.init(params, x)
    time = np.arange(len(pre) + np.max(np.abs(steps), initial=0))[None, :]
    v = _at(post, time - np.maximum(0, steps)[:, None]) - _at(pre, time - np.maximum(0, -steps)[:, None])
    v = jnp.where(jnp.abs(v) < threshold, 0.0, v)
    v = jnp.concatenate([v, jnp.zeros_like(v[:1])])  # the last one is left alone

    def one(v, key):
        def body(state, xs):
            v, number = xs
            return device.step(params, state, v, dt, _draw(key, number)), None

        last, _ = jax.lax.scan(body, start, (v, jnp.arange(v.shape[0])))
        return conductance(device, params, _wait(device, params, last, rest, _draw(key, v.shape[0])), v_read)

    g = _lanes(one, v, key)
    return g[:-1] - g[-1:]


def rates(
    device: Device,
    params: Any,
    rate: ArrayLike,
    n: int,
    *,
    height: Leaf,
    width: Leaf,
    x: ArrayLike = 0.5,
    key: Array | None = None,
    rest: Leaf = 0.0,
    v_read: Leaf = 0.1,
) -> Array:
    """Measure the change of conductance by n pulses at equal intervals, dG [k, ...] [S], for each rate [k] [Hz].

    A pulse is `height` [V] for `width` [s], shorter than every interval; an interval of rest follows the last one too.
    x, key, rest and v_read are those of `window`; the change is against the start, so that a volatile device may lose
    at low rates. Raises ValueError for pulses that overlap.
    """
    if device.check is not None:
        device.check(params)
    rate = jnp.atleast_1d(jnp.asarray(rate))
    if not isinstance(rate, Tracer) and not isinstance(width, Tracer):
        if np.any(np.asarray(rate) * width > 1):
            raise ValueError(f"rates: pulses of {width} s overlap at {np.max(np.asarray(rate))} Hz")
    start = device.init(params, x)

    def one(rate, key):
        def body(state, number):
            state = device.step(params, state, height, width, _draw(key, 2 * number))
            return _wait(device, params, state, 1.0 / rate - width, _draw(key, 2 * number + 1)), None

        last, _ = jax.lax.scan(body, start, jnp.arange(n))
        return conductance(device, params, _wait(device, params, last, rest, _draw(key, 2 * n)), v_read)

    return _lanes(one, rate, key) - conductance(device, params, start, v_read)[None]


def _at(waveform: Array, index: np.ndarray) -> Array:
    inside = (index >= 0) & (index < waveform.shape[0])
    return jnp.where(inside, waveform[np.clip(index, 0, waveform.shape[0] - 1)], 0.0)


def _lanes(one, values: Array, key: Array | None) -> Array:
    """Map one(value, key) over values [n, ...], each with a key of its own, or None."""
    if key is None:
        return jax.vmap(lambda value: one(value, None))(values)
    return jax.vmap(one)(values, jax.random.split(key, values.shape[0]))


def _draw(key: Array | None, number: ArrayLike) -> Array | None:
    return None if key is None else jax.random.fold_in(key, number)


def _wait(device: Device, params: Any, state: Any, seconds: Leaf, key: Array | None) -> Any:
    """Let a device rest at 0 V: in closed form where it has one, by a single step where it is volatile without one."""
    if device.relax is not None:
        return device.relax(params, state, seconds)
    return device.step(params, state, 0.0, seconds, key) if device.volatile else state
