"""The event ledger: joules worked out by hand from the convention, counts beyond 32 bits."""

import jax.numpy as jnp
import numpy as np
import pytest

from memjax import energy
from memjax.energy import Events

PJ = 1e-12


def test_joules_of_an_accumulating_array():
    counts = {"mac": 1000, "read": 20, "pulse": 6, "verify": 8, "refresh": 2, "accumulate": 50}
    found = energy.joules(counts)
    # .1 x 1000 + .5 x 8 + 5 (6 + 2) = 144; + .5 x 20 + 5 x 50 = 404; CMOS 1 x 500 + 100 x 50 = 5500
    assert found == pytest.approx({"e_min": 144 * PJ, "e_max": 404 * PJ, "cmos": 5500 * PJ}, rel=1e-12)


def test_joules_of_an_array_without_accumulators():
    counts = dict.fromkeys(energy.FIELDS, 0) | {"mac": 30, "pulse": 8}
    found = energy.joules(counts)
    # 8 pulses on pairs are 4 updates: .1 x 30 + 5 x 8 = 43; CMOS 1 x 15 + 100 x 4 = 415
    assert found == pytest.approx({"e_min": 43 * PJ, "e_max": 43 * PJ, "cmos": 415 * PJ}, rel=1e-12)
    single = energy.joules(counts, devices_per_weight=1)
    assert single["cmos"] == pytest.approx((30 + 800) * PJ, rel=1e-12)


def test_joules_follow_the_prices_given():
    mine = energy.PriceList(mac=1.0, read=2.0, write=4.0)
    counts = dict(zip(energy.FIELDS, (1, 10, 100, 1000, 10_000, 100_000), strict=True))
    found = energy.joules(counts, memristor=mine, cmos=mine)
    assert found["e_min"] == 1 + 2 * 1000 + 4 * (100 + 10_000)
    assert found["e_max"] == found["e_min"] + 2 * 10 + 4 * 100_000
    assert found["cmos"] == 0.5 + 4 * 100_000


def test_prices_are_the_frameworks_table():
    assert (energy.MEMRISTOR.mac, energy.MEMRISTOR.read, energy.MEMRISTOR.write) == (0.1 * PJ, 0.5 * PJ, 5 * PJ)
    assert (energy.CMOS.mac, energy.CMOS.read, energy.CMOS.write) == (1 * PJ, 10 * PJ, 100 * PJ)
    # 0.1 pJ is a read of 20 ns and 5 pJ a pulse of 10 ns, at 0.1 V and 1 V and the mid-range 5e-4 S of its device.
    assert 0.1**2 * 5e-4 * energy.MEMRISTOR.read_time == pytest.approx(0.1 * PJ)
    assert 1.0**2 * 5e-4 * energy.MEMRISTOR.write_time == pytest.approx(5 * PJ)


def test_totals_do_not_overflow():
    steps = Events(mac=jnp.full(3000, 2_000_000, jnp.int32), read=7, pulse=jnp.full((3, 1000), 2**31 - 1, jnp.int32))
    found = energy.total(steps)
    assert found["mac"] == 6_000_000_000
    assert found["pulse"] == 3000 * (2**31 - 1)
    assert found["read"] == 7
    assert all(type(value) is int for value in found.values())
    # An epoch's totals add up in Python integers, for as long as the run lasts.
    assert energy.joules({name: value * 10**12 for name, value in found.items()})["e_min"] > 0


def test_totals_over_one_axis():
    events = Events(*(jnp.arange(6, dtype=jnp.int32).reshape(2, 3) * k for k in range(1, 7)))
    found = energy.total(events, axis=1)
    np.testing.assert_array_equal(found["mac"], [3, 12])
    np.testing.assert_array_equal(found["accumulate"], [18, 72])
    assert found["mac"].dtype == np.int64


def test_adding_events():
    both = Events(mac=1, read=2, pulse=3) + Events(mac=10, verify=4, refresh=5, accumulate=6)
    assert energy.total(both) == {"mac": 11, "read": 2, "pulse": 3, "verify": 4, "refresh": 5, "accumulate": 6}


def test_count():
    x = jnp.asarray([[0.0, -1.0, 2.0], [0.0, 0.0, 1e-30]])
    assert energy.count(x) == 3
    assert energy.count(x).dtype == np.int32
