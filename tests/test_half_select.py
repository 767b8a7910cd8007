"""Half-select disturb: every device sees what the scheme says, counted pulse by pulse in plain loops."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import crossbar, devices, variation
from memjax.config._variation import HalfSelect as HalfSelectSection
from memjax.crossbar import HalfSelect, Lines

LINEAR, ION, VTEAM = (devices.get(name) for name in ("exponential", "linear_ion_drift", "vteam"))
PARAMS = LINEAR.Params(step_up=1e-3, step_down=1e-3, beta_up=0.0, beta_down=0.0)
SHAPE, TILE = (7, 9), (4, 5)
KEY = jax.random.key(0)


def array(share=0.25, scheme="half", device=LINEAR, params=PARAMS, **kwargs):
    half = None if share is None else HalfSelect(share, scheme)
    return crossbar.create(device, SHAPE, TILE, params=params, half_select=half, **kwargs)


def seen(pulses, scheme, tile=TILE):
    """Half-select pulses of both signs [2, P, rows, cols], by going through every pulse of every word line."""
    p, rows, cols = pulses.shape
    count = np.zeros((2, *pulses.shape))
    for r in range(rows):
        top = r // tile[0] * tile[0]
        for left in range(0, cols, tile[1]):
            block = pulses[:, r, left : left + tile[1]]
            for sign in (1, -1):
                for k in range(int(np.max(np.maximum(sign * block, 0)))):
                    on = sign * block > k  # bit lines that get this pulse of the train
                    for q, i, j in np.ndindex(p, min(tile[0], rows - top), block.shape[1]):
                        same, other = (0, 1) if sign > 0 else (1, 0)
                        at = (q, top + i, left + j)
                        if top + i == r:
                            count[same][at] += not on[q, j]
                        elif on[q, j]:
                            count[same][at] += 1
                        elif scheme == "third":
                            count[other][at] += 1
    return count


@pytest.mark.parametrize("scheme", crossbar.SCHEMES)
def test_every_pulse_is_seen_by_the_others_on_its_lines(scheme):
    pulses = np.random.default_rng(0).integers(-2, 3, (2, *SHAPE)) * (np.random.default_rng(1).random(SHAPE) < 0.4)
    alone, _ = crossbar.write(array(None), jnp.asarray(pulses), 1e-8, KEY)
    disturbed, events = crossbar.write(array(0.25, scheme), jnp.asarray(pulses), 1e-8, KEY)
    up, down = seen(pulses, scheme)
    assert up.sum() > 100
    moved = (crossbar.conductance(disturbed) - crossbar.conductance(alone)) / (PARAMS.g_max - PARAMS.g_min)
    np.testing.assert_allclose(moved, 1e-3 * 0.25 * (up - down), atol=3e-7)
    assert int(events.pulse) == np.abs(pulses).sum()  # a disturb is no pulse of its own


@pytest.mark.parametrize("scheme", crossbar.SCHEMES)
def test_writing_some_lines_disturbs_as_writing_all_with_zeros(scheme):
    rows = jnp.asarray([1, 6])
    part = np.random.default_rng(2).integers(-1, 2, (2, 2, SHAPE[1]))
    whole = np.zeros((2, *SHAPE), int)
    whole[:, np.asarray(rows)] = part
    one, _ = crossbar.write(crossbar.cache(array(scheme=scheme)), jnp.asarray(part), 1e-8, KEY, rows=rows, max_pulses=1)
    all_, _ = crossbar.write(array(scheme=scheme), jnp.asarray(whole), 1e-8, KEY, max_pulses=1)
    np.testing.assert_array_equal(crossbar.conductance(one), crossbar.conductance(all_))
    np.testing.assert_allclose(one.net[0, 1], crossbar.net_conductance(all_)[1], rtol=1e-5, atol=1e-12)
    # Word line 2 of every row of tiles: 2 and 6.
    part = part[:, [0, 1]]
    whole = np.zeros((2, *SHAPE), int)
    whole[:, [2, 6]] = part
    one, _ = crossbar.write(array(scheme=scheme), jnp.asarray(part), 1e-8, KEY, rows=Lines(2, 1), max_pulses=1)
    all_, _ = crossbar.write(array(scheme=scheme), jnp.asarray(whole), 1e-8, KEY, max_pulses=1)
    np.testing.assert_array_equal(crossbar.conductance(one), crossbar.conductance(all_))


def test_an_ode_device_sees_half_the_voltage_for_as_long():
    params = ION.Params(mu=1e-15)
    pulses = jnp.zeros((2, *SHAPE)).at[0, 0, 1].set(3.0)
    xbar, _ = crossbar.write(array(0.5, device=ION, params=params), pulses, 1e-4, KEY)
    state = ION.init(params, 0.5)
    for _ in range(3):
        state = ION.step(params, state, 0.5, 1e-4, None)
    x = np.asarray(xbar.state.x)
    np.testing.assert_allclose(x[0, 0, 1, 0, 1], state.x, rtol=1e-6)  # another word line, its bit line
    np.testing.assert_allclose(x[1, 0, 0, 0, 1], state.x, rtol=1e-6)  # its word line, the other device of the pair
    assert x[0, 0, 1, 0, 0] == 0.5  # neither
    assert x[0, 1, 0, 0, 1] == 0.5  # another tile
    assert x[0, 0, 0, 0, 1] > state.x


@pytest.mark.parametrize("scheme", crossbar.SCHEMES)
def test_a_fraction_disturbs_an_ode_device_by_its_amplitude(scheme):
    """A pulse of 1 at the write voltage, and an eighth of eight times that, are one pulse: to the others too."""
    xbar = array(0.5, scheme, device=VTEAM, params=None, v_write=1.8)
    pulses = jnp.zeros((2, *SHAPE)).at[0, 1, 1].set(1.0).at[0, 3, 1].set(1.0)
    one, _ = crossbar.write(xbar, pulses, 1e-10, None, max_pulses=1)
    strong, _ = crossbar.write(replace(xbar, v_write=8 * 1.8), pulses / 8, 1e-10, None, max_pulses=1)
    np.testing.assert_allclose(strong.state.x, one.state.x, rtol=1e-6)
    # Half the voltage is below the SET threshold, its opposite on unselected devices beyond that of RESET.
    assert np.sum(np.asarray(one.state.x) > 0.5) == 2
    assert np.any(np.asarray(one.state.x) < 0.5) == (scheme == "third")


@pytest.mark.parametrize("device, v_write, dt", [(ION, 1.0, 1e-2), (VTEAM, 4.0, 1e-13)])
def test_unequal_fractions_disturb_as_one_after_another_and_more_where_convex(device, v_write, dt, x64):
    rng = np.random.default_rng(4)
    pulses = rng.uniform(0, 1, (2, *SHAPE)) * (rng.random((2, *SHAPE)) < 0.3)
    xbar = array(0.5, device=device, params=None, v_write=v_write)
    alone, _ = crossbar.write(replace(xbar, half_select=None), jnp.asarray(pulses), dt, None, max_pulses=1)
    after, _ = crossbar.write(xbar, jnp.asarray(pulses), dt, None, max_pulses=1)
    moved = progress(device, after) - progress(device, alone)

    def rate(v):  # of `progress`, which no state changes
        if device is ION:
            return 2 * 15.9e3 * 1e-14 * 100.0 / 1e-16 * v
        return 216.2 / 3e-9 * (v / 1.5 - 1) ** 4 if v > 1.5 else 0.0

    above = 0
    for q, i, j in np.ndindex(2, *SHAPE):
        top, left = i // TILE[0] * TILE[0], j // TILE[1] * TILE[1]
        own, longest = pulses[q, i, j], pulses[:, i, left : left + TILE[1]].max()
        column = [pulses[q, r, j] for r in range(top, min(top + TILE[0], SHAPE[0])) if r != i]
        each = [(f, f) for f in column if f > 0] + ([(longest, longest - own)] if longest > own else [])
        peak, area = max([amplitude for amplitude, _ in each] or [1.0]), sum(area for _, area in each)
        together = rate(0.5 * v_write * peak) * dt * area / peak
        apart = sum(rate(0.5 * v_write * f) * dt * area / f for f, area in each)
        np.testing.assert_allclose(moved[q, i, j], together, rtol=1e-9, atol=1e-7 if device is ION else 1e-13)
        assert together >= apart * (1 - 1e-12)
        above += together > apart * (1 + 1e-9)
    assert above == 0 if device is ION else above > 20


def progress(device, xbar):
    """Return what voltage times time, or its rate, adds to whatever the state is [P, rows, cols]."""
    x = np.asarray(xbar.state.x).reshape(2, 8, 10)[:, : SHAPE[0], : SHAPE[1]]
    return -((100.0 * x + 16e3 * (1 - x)) ** 2) if device is ION else x


def test_severity_zero_and_stuck_and_inactive_devices_do_not_move():
    pulses = jnp.ones((2, *SHAPE)).at[:, 3].set(-1.0)
    faults = np.zeros((2, *SHAPE), np.int8)
    faults[0, 2, 2] = 1
    xbar = crossbar.set_active(array(faults=faults), 1, 1, False)
    before = np.asarray(crossbar.conductance(crossbar.set_active(xbar, 1, 1, True)))
    after, _ = crossbar.write(xbar, pulses, 1e-8, KEY)
    g = np.asarray(crossbar.conductance(crossbar.set_active(after, 1, 1, True)))
    assert g[0, 2, 2] == before[0, 2, 2]
    np.testing.assert_array_equal(g[:, 4:, 5:], before[:, 4:, 5:])
    plain, _ = crossbar.write(array(None), pulses, 1e-8, KEY)
    for scheme in crossbar.SCHEMES:
        off, _ = crossbar.write(array(0.0, scheme), pulses, 1e-8, KEY)
        np.testing.assert_array_equal(crossbar.conductance(off), crossbar.conductance(plain))


def test_the_share_is_that_of_the_scheme():
    pulses = jnp.zeros((2, *SHAPE)).at[0, 0, 1].set(1.0)
    for scheme, share in zip(crossbar.SCHEMES, (1 / 2, 1 / 3), strict=True):
        plain, _ = crossbar.write(array(share, scheme), pulses, 1e-8, None)
        own, _ = crossbar.write(replace(array(), half_select=HalfSelect(scheme=scheme)), pulses, 1e-8, None)
        np.testing.assert_array_equal(crossbar.conductance(own), crossbar.conductance(plain))
        chip = variation.Nonidealities(half_select=HalfSelect(scheme=scheme))
        assert chip.with_severity({"half_select": 0.5}).scaled("half_select").share == share / 2
        assert HalfSelectSection(scheme=scheme).share == share
        assert HalfSelectSection(scheme=scheme, share=0.1).share == 0.1


def test_the_share_is_traced_and_the_scheme_is_checked():
    traces = []

    @jax.jit
    def write(share):
        traces.append(share)
        return crossbar.write(array(share), jnp.ones((2, *SHAPE)), 1e-8, KEY, max_pulses=1)[0].state

    write(0.1), write(0.0)
    assert len(traces) == 1
    with pytest.raises(ValueError, match="half-select scheme 'quarter': accepted is one of half, third"):
        array(scheme="quarter")
