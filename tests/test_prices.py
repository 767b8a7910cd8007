"""Price lists: the framework's, the published one worked out again, and what a file of one's own may not say."""

import pytest

from memjax import energy, prices
from memjax.errors import ConfigError

GOOD = """
title: mine
status: stated
source: {citation: here}
energy: {mac: 1e-13, read: null, write: 2e-12, adc: 3e-12}
time: {read: 1e-8}
"""


def test_the_package_holds_the_frameworks_lists():
    assert {"memristor", "cmos", "isaac"} <= set(prices.names())
    assert prices.load("memristor").prices == energy.MEMRISTOR
    assert prices.load("cmos").prices == energy.CMOS


@pytest.mark.parametrize("name", prices.names())
def test_every_list_says_where_it_is_from(name):
    found = prices.load(name)
    assert found.name == name
    assert found.meta.title
    assert found.meta.source.citation
    assert found.meta.notes


def test_isaac_follows_from_its_table():
    """Powers of a unit, over its cycle, by what it does in a cycle."""
    cycle, arrays, lines, found = 100e-9, 8, 128, prices.load("isaac").prices
    assert found.mac == pytest.approx(2.4e-3 * cycle / (arrays * lines * lines), rel=1e-3)
    assert found.read == pytest.approx(10e-6 * cycle / (arrays * lines), rel=1e-3)
    assert found.adc == pytest.approx(16e-3 * cycle / (arrays * lines), rel=1e-3)
    assert found.adc == pytest.approx(2e-3 / 1.28e9, rel=1e-3)  # one ADC of eight at its rate
    assert found.dac == pytest.approx(4e-3 * cycle / (arrays * lines), rel=1e-3)
    assert found.adc_time == pytest.approx(cycle / lines)  # an ADC converts its array's columns in a cycle
    assert found.write is None
    # One array for one cycle: cells 30 pJ, DACs 50 pJ, ADC 200 pJ.
    counts = dict.fromkeys(energy.FIELDS, 0) | {"mac": lines * lines, "read": lines, "adc": lines, "dac": lines}
    each = energy.breakdown(counts, found)
    assert each["mac"] == pytest.approx(30e-12, rel=1e-3)
    assert each["dac"] == pytest.approx(50e-12, rel=1e-3)
    assert each["adc"] == pytest.approx(200e-12, rel=1e-3)
    assert each["pulse"] is None


def test_a_list_of_ones_own(tmp_path):
    path = tmp_path / "lab.yaml"
    path.write_text(GOOD)
    found = prices.load(path)
    assert found.name == "lab"
    assert found.prices == energy.PriceList(1e-13, None, 2e-12, 1e-8, None, 3e-12)
    assert prices.load(str(path)) == found


@pytest.mark.parametrize(
    "change, complaint",
    [
        (("mac: 1e-13", "mac: -1"), "energy.mac (line 5): Input should be greater than or equal to 0, got -1"),
        (("mac: 1e-13", "mac: cheap"), "energy.mac (line 5): Input should be a valid number"),
        (("mac: 1e-13", "mac: .nan"), "energy.mac (line 5)"),
        (("mac: 1e-13, ", ""), "energy.mac (line 5): Field required"),
        (("adc", "acd"), "energy.acd (line 5): unknown key (accepted: mac, read, write, adc, dac)"),
        (("time:", "times:"), "times (line 6): unknown key (accepted: title, status, source, energy, time, notes)"),
        (("stated", "measured"), "status (line 3): Input should be 'stated', 'published' or 'recalled'"),
        (("{citation: here}", "null"), "source.citation (line 4): Field required"),
        (("title: mine", "title: [mine"), "is no readable YAML"),
        ((GOOD, "3"), "should hold settings"),
    ],
)
def test_a_file_that_is_no_list_is_refused(tmp_path, change, complaint):
    path = tmp_path / "lab.yaml"
    path.write_text(GOOD.replace(*change))
    with pytest.raises(ConfigError) as refused:
        prices.load(path)
    assert complaint in str(refused.value)
    assert "lab.yaml" in str(refused.value)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="unknown price list 'memristors'; did you mean 'memristor'"):
        prices.load("memristors")
    with pytest.raises(ConfigError, match="cannot read nowhere.yaml"):
        prices.load("nowhere.yaml")
