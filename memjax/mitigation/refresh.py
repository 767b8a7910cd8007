"""Periodic refresh: read every device, compare with what it should hold, rewrite what has left the budget.

How often follows from what a device may lose. By power-law drift (`devices.with_drift`) a device written at t = 0 keeps
((t + t0) / t0)^-nu of its conductance, so that it has lost the share `error` of it after

    T = t0 ((1 - error)^(-1 / nu_q) - 1),    nu_q: the exponent that the share q of the devices stays below

A write restarts the clock of drift, and drift is fastest when it has just started: halving what may be lost takes far
more than twice as many refreshes, and a device that is still within the budget is better left alone, with its old
clock. Where a factor common to all devices is taken out at the reads (`drift_compensation`), only the excess over the
nominal exponent counts: nu_q - nu in place of nu_q.

A device that is written where it should be is wrong by all it loses until the next refresh. What it has lost at this
one tells how much that is: written higher by half of it, it is wrong by half, above at first and below at the end.
With e = aim - target, what is written on top, and lost = target - read,

    e <- e + anticipate (lost - e)

is there after one refresh with anticipate = 1/2, whatever the device's own exponent is. Since drift goes with the
logarithm of time, half the error is worth many times the period.

What a device should hold is kept in a digital memory, rows x cols words of as many bits as a weight was programmed
with; or in the array itself, where weights have a few levels: what is read is rounded to the nearest of them
(`nearest_level`), right for as long as nothing drifts by half a distance of levels within a period. Anticipation keeps
e beside it.

Cost: `reads` verifies a device at every look; for a device that is rewritten one pulse that restarts its clock, and
those of `programming.write_verify`, with their reads. In the ledger all these pulses are `refresh`. No more devices.
Source of the law: Ielmini et al., IEEE T. Electron Dev. 54, 308 (2007), doi:10.1109/TED.2006.888752; the interval that
follows from it is ours.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import Tracer
from jax.scipy.special import ndtri

from memjax import crossbar, noise
from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.programming import write_verify
from memjax.programming.base import dtype, none_yet, number_of, pulse_size, reached, spread
from memjax.variation import Drift


class Result(NamedTuple):
    """What a refresh found and did, [rows, cols]."""

    outside: Array  # weights outside the budget
    failed: Array  # those of them that rewriting has not brought to their aim
    extra: Array  # e, what is written on top of the target


def period(drift: Drift, error: Any, *, share: Any = 0.99, compensated: bool = False) -> Array:
    """Return the time [s] after which the share `share` of the devices has lost at most `error` of its conductance.

    T = t0 ((1 - error)^(-1 / nu_q) - 1), nu_q the quantile of the exponent's lognormal D2D spread. compensated: of
    what it has lost more than a device of the nominal exponent, nu_q - nu; where that is not positive, T is inf.
    Raises ValueError for a share or an error outside (0, 1).
    """
    for name, value in (("error", error), ("share", share)):
        if not isinstance(value, Tracer) and not 0 < value < 1:
            raise ValueError(f"mitigation: {name} = {value}: accepted is more than 0 and less than 1")
    s2 = jnp.log1p(jnp.square(jnp.asarray(drift.spread, jnp.result_type(float))))
    nu = drift.nu * jnp.exp(jnp.sqrt(s2) * ndtri(jnp.asarray(share, s2.dtype)) - 0.5 * s2)
    nu = nu - drift.nu if compensated else nu
    falls = nu > 0
    return jnp.where(falls, drift.t0 * jnp.expm1(-jnp.log1p(-error) / jnp.where(falls, nu, jnp.ones_like(nu))), jnp.inf)


def nearest_level(w: Array, levels: int, polarity: int = 2) -> Array:
    """Return weights rounded to the nearest of `levels` even levels over their range, [-1, 1] of pairs or [0, 1].

    Raises ValueError for fewer than two levels.
    """
    if levels < 2:
        raise ValueError(f"mitigation: levels = {levels}: accepted are at least 2")
    low = 1.0 - polarity
    gap = (1.0 - low) / (levels - 1)
    return jnp.clip(low + gap * jnp.round((w - low) / gap), low, 1.0)


def refresh(
    params: write_verify.Params,
    xbar: Crossbar,
    target: Array | int,
    dt: Any,
    key: Array | None,
    *,
    budget: Any = 0.02,
    reads: int = 1,
    anticipate: Any = 0.5,
    extra: Array | None = None,
    where: Array | None = None,
) -> tuple[Crossbar, Result, Events]:
    """Rewrite the weights that read further than `budget` (of their range) from target [rows, cols].

    params  those of the write-verify that rewrites; its read noise is that of one read, of which `reads` are averaged
    target  as of `programming.program_to`; or, without a memory, the number of levels that weights have
    extra   e of the last refresh [rows, cols]; None: 0, as after a programming without it
    where   [rows, cols]: weights to look at; None: all in active tiles

    The first pulse on a weight is the weakest of `params`: after power-law drift the state itself is in its place, and
    reads right as soon as its clock is restarted. Where half-selection has made weak pulses no writes (`v_write_min`),
    let `smallest` be above that share. Raises ValueError for a target of another shape, read noise without a key, and
    what `program_to` refuses.
    """
    if not isinstance(target, int) and target.shape != xbar.shape:
        raise ValueError(f"mitigation: target has shape {target.shape}: accepted is {xbar.shape} (rows, cols)")
    k_read, k_touch, k_write = (None,) * 3 if key is None else jax.random.split(key, 3)
    if params.read_noise is not None:
        params = replace(params, read_noise=params.read_noise * reads**-0.5)
    where = reached(xbar) if where is None else where & reached(xbar)
    seen = crossbar.weights(xbar)
    if params.read_noise is not None:
        if k_read is None:
            raise ValueError("mitigation: read noise is drawn at every read: give a key, as jax.random.key(0)")
        seen = seen + params.read_noise * xbar.polarity**0.5 * noise.normal(k_read, seen.shape, seen.dtype)
    if isinstance(target, int):
        target = nearest_level(seen, target, xbar.polarity)
    extra = jnp.zeros_like(seen) if extra is None else extra
    lost = target - seen
    outside = where & (jnp.abs(lost) > budget * xbar.polarity)
    extra = jnp.where(outside, extra + anticipate * (lost - extra), extra)
    aim = jnp.clip(target + extra, 1.0 - xbar.polarity, 1.0)
    error = aim - seen
    weak = jnp.where(outside, params.smallest * jnp.sign(error), jnp.zeros_like(error))
    pulse_size(xbar, params.step, params.sides)  # refuses unknown sides
    xbar, first = crossbar.write(xbar, spread(xbar, weak, params.sides), dt, k_touch, max_pulses=1)
    xbar, made, spent = write_verify.program_to(params, xbar, aim, dt, k_write, where=outside)
    events = none_yet() + Events(
        refresh=first.pulse + spent.pulse,
        verify=reads * (xbar.polarity * number_of(where) + spent.verify),
    )
    return xbar, Result(outside, made.failed, extra), events


def hold(
    params: write_verify.Params,
    xbar: Crossbar,
    target: Array | int,
    dt: Any,
    key: Array | None,
    *,
    period: Any,
    times: int,
    budget: Any = 0.02,
    reads: int = 1,
    anticipate: Any = 0.5,
    extra: Array | None = None,
    where: Array | None = None,
    fluctuates: bool = False,
) -> tuple[Crossbar, Array, Events]:
    """Let an array rest for `period` [s] and refresh it, `times` over: (array, extra, events [times]).

    What cannot be brought back, as stuck devices, is tried at every refresh: leave it out by `where`, or let `params`
    allow few pulses. fluctuates: what is drawn at rest moves too (`crossbar.relax`). Other arguments and errors are
    those of `refresh`.
    """

    def once(carry, number):
        xbar, extra = carry
        own = None if key is None else jax.random.fold_in(key, number)
        xbar = crossbar.relax(xbar, period, key=own if fluctuates else None)
        xbar, made, events = refresh(
            params, xbar, target, dt, own, budget=budget, reads=reads, anticipate=anticipate, extra=extra, where=where
        )
        return (xbar, made.extra), events

    start = crossbar.uncache(xbar), jnp.zeros(xbar.shape, dtype(xbar)) if extra is None else extra
    (after, extra), events = jax.lax.scan(once, start, jnp.arange(times, dtype=jnp.uint32))
    return crossbar.cache(after) if xbar.net is not None else after, extra, events
