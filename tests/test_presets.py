"""Every preset builds, says where it comes from, runs, and goes wherever a device's name goes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import config, devices, presets, variation
from memjax.config import _presets
from memjax.errors import ConfigError

NAMES = presets.names()
TEXT = """
title: a device
device: soft_bounds
source: {citation: somebody, doi: null, data: null, licence: none}
fit: none
status: recalled
"""


def test_the_list():
    assert {
        "hp_tio2", "vteam_2015", "miao_taox", "jo_ag_asi", "oblea_chalcogenide", "chang_wox", "ibm_pcm", "gong_reram",
        "om_array", "hfo2_array", "ag_asi_pulsed", "diffusive_symmetric", "diffusive_asymmetric",
    } <= set(NAMES)  # fmt: skip
    assert not set(NAMES) & set(devices.names())  # a name means one thing


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_builds_and_runs(name):
    preset = presets.load(name)
    preset.device.check(preset.params)
    meta = preset.meta
    assert meta.title
    assert meta.fit
    assert meta.source.citation
    assert meta.source.licence
    assert meta.source.doi is None or meta.source.doi.startswith("10.")
    drawn = variation.sample_params(devices.get(meta.device).Params(), preset.spread, (4,), jax.random.key(0))
    assert all(np.shape(getattr(drawn, field)) == (4,) for field in preset.spread)

    def run(x):
        state = preset.device.init(preset.params, x)
        voltage = jnp.tile(jnp.array([1.0, 0.0]), 5)
        return devices.simulate(preset.device, preset.params, state, voltage, 1e-6, jax.random.key(0))

    _, trace = jax.jit(run)(jnp.full(2, 0.5))
    assert trace.current.shape == (10, 2)
    assert np.isfinite(trace.current).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_goes_where_a_device_goes_in_a_config(name):
    preset = presets.load(name)
    c = config.load_text(f"device: {{name: {name}}}")
    assert c.device.name == preset.meta.device
    params = preset.params
    while hasattr(params, "inner"):
        params = params.inner
    assert config.device_params(c) == params
    assert {f: variation.Spread(s.sigma, s.distribution) for f, s in c.variation.d2d.items()} == preset.spread
    assert c.variation.c2c == preset.meta.arrays.c2c
    for wrapper in preset.meta.wrappers:  # the same noise for the single device and for arrays
        if wrapper.name == "with_c2c_noise":
            assert wrapper.params["sigma"] == c.variation.c2c
    assert config.load_text(config.dump(c)) == c


def test_no_two_presets_are_the_same():
    seen = [(p.meta.device, repr(p.params), repr(p.spread), p.meta.arrays) for p in map(presets.load, NAMES)]
    assert len(set(seen)) == len(seen)


def test_what_the_settings_say_wins_over_the_preset():
    text = """
device: {name: om_array, g_max: 2.0e-4, params: {step_up: 0.01}}
variation: {c2c: 0, d2d: {step_up: 0.1}}
"""
    c = config.load_text(text, ["variation.stuck_on=0.001"])
    whole = presets.load("om_array")
    params = config.device_params(c)
    assert (params.g_max, params.step_up) == (2e-4, 0.01)
    assert params.step_down == whole.params.inner.step_down
    assert (c.variation.c2c, c.variation.stuck_on) == (0, 0.001)
    assert c.variation.stuck_off == whole.meta.arrays.stuck_off
    assert c.variation.d2d["step_up"].sigma == 0.1
    assert c.variation.d2d["g_max"].sigma == whole.spread["g_max"].sigma
    with pytest.raises(ConfigError, match=r"device.params.gmax \(line 1\): device 'soft_bounds' has no such parameter"):
        config.load_text("device: {name: om_array, params: {gmax: 1}}")


def test_an_unknown_name_gets_the_nearest_of_both():
    with pytest.raises(ConfigError, match=r"device.name \(line 1\): unknown device 'om_aray'; did you mean 'om_array'"):
        config.load_text("device: {name: om_aray}")
    with pytest.raises(ValueError, match="unknown preset 'hp_tio'; did you mean 'hp_tio2'"):
        presets.load("hp_tio")
    with pytest.raises(ValueError, match="unknown device 'vteem'; did you mean 'vteam'"):
        presets.resolve("vteem")
    with pytest.raises(ConfigError, match="'om_array' is a preset"):
        config.device_params(config.Config(device={"name": "om_array"}))


def test_resolve_takes_both_and_their_overrides():
    device, params = presets.resolve("soft_bounds", {"g_max": 2e-4})
    assert device is devices.get("soft_bounds")
    assert params == devices.soft_bounds.Params(g_max=2e-4)
    device, params = presets.resolve("om_array", {"g_max": 2e-4})
    assert device is devices.with_c2c_noise(devices.get("soft_bounds"))
    assert params.inner.g_max == 2e-4
    with pytest.raises(ValueError, match="'soft_bounds' has no parameter 'gmax'; did you mean 'g_max'"):
        presets.resolve("om_array", {"gmax": 1.0})
    with pytest.raises(ValueError, match="g_max = 0.0: accepted is more than g_min"):
        presets.resolve("om_array", {"g_max": 0.0})


@pytest.mark.parametrize(
    "change, message",
    [
        ("", None),
        ("tite: x", "tite: Extra inputs"),
        ("params: {g_max: high}", "params.g_max: Input should be a valid number"),
        ("spread: {g_max: -1}", "g_max.sigma"),
        ("arrays: {stuck_on: 2}", "arrays.stuck_on"),
        ("wrappers: [{kind: white}]", "wrappers.0.name: Field required"),
    ],
)
def test_a_file_that_is_no_preset_is_refused(change, message):
    if message is None:
        assert _presets.parse(TEXT, "mine").device == "soft_bounds"
        return
    with pytest.raises(ConfigError, match=f"^mine: .*{message}"):
        _presets.parse(TEXT + change, "mine")
    with pytest.raises(ConfigError, match="source: Field required"):
        _presets.parse(TEXT.replace("source", "sauce"), "mine")


# --- the numbers --------------------------------------------------------------------------------------------------


def test_parameter_sets_are_not_copied():
    for name, chosen in {"miao_taox": "miao", "jo_ag_asi": "jo", "oblea_chalcogenide": "oblea"}.items():
        assert presets.load(name).params == devices.yakopcic.PARAMETER_SETS[chosen]
    spread = presets.load("diffusive_symmetric").spread
    assert {field: s.sigma for field, s in spread.items()} == devices.diffusive.SPREADS["symmetric"]
    assert presets.load("vteam_2015").params == devices.vteam.Params()
    assert presets.load("hp_tio2").params == devices.linear_ion_drift.Params()


@pytest.mark.parametrize(
    "name, step, log, width, write", [
        ("om_array", 0.0949, 0.7829, (0.3499, 0.5695), 1.4113),
        ("hfo2_array", 0.4622, 0.7125, (0.4295, 0.5990), 0.5841),
    ]
)  # fmt: skip
def test_array_statistics_are_the_published_ones(name, step, log, width, write):
    """Sampled steps have the published median and sd of the logarithm, the window the published spread."""
    preset = presets.load(name)
    drawn = variation.sample_params(preset.params.inner, preset.spread, (200_000,), jax.random.key(1))
    logs = np.log(np.asarray(drawn.step_up, np.float64))
    np.testing.assert_allclose(np.exp(logs.mean()), step / 2, rtol=0.01)
    np.testing.assert_allclose(logs.std(), log, rtol=0.01)
    window = np.asarray(drawn.g_max) - drawn.g_min
    assert (window > 0).all()
    np.testing.assert_allclose(window.std() / window.mean(), np.hypot(*width) / 2, rtol=0.02)
    np.testing.assert_allclose(preset.meta.arrays.read_noise, write * step / 2, rtol=2e-3)


def test_gong_is_what_its_data_say(data_dir):
    """The noiseless response from the fit's own start leaves the stated residuals of the measured ramps."""
    up, down = np.loadtxt(data_dir / "devices" / "aihwkit-gong" / "gong_et_al.csv", delimiter=",").T
    preset = presets.load("gong_reram")
    p = preset.params
    for measured, v, start in ((up, 1.0, -0.875), (down, -1.0, 0.831)):
        state = preset.device.init(p, (start + 1.1064) / 2.2394)
        _, trace = devices.simulate(preset.device, p, state, np.full(999, v), 1e-3, record="state")
        modelled = np.append(start, np.asarray(trace.state.x) * 2.2394 - 1.1064)
        np.testing.assert_allclose((measured - modelled).std(), 0.173 if v > 0 else 0.177, atol=0.001)
        assert abs((measured - modelled).mean()) < 0.002


def test_ag_asi_follows_the_curves_of_its_nonlinearity_labels():
    """(1 - exp(-k/A)) / (1 - exp(-N/A)): rms 1.1 % up and 2.2 % down, as the file says."""
    preset = presets.load("ag_asi_pulsed")
    device, p = devices.get("exponential"), preset.params.inner
    assert preset.params.sigma == 0.035
    for n, a, start, v, rms in ((97, 0.4992, 0.0, 3.2, 0.011), (100, 0.2003, 1.0, -3.2, 0.022)):
        _, trace = devices.simulate(device, p, device.init(p, start), np.full(n, v), 1e-3, record="state")
        x = np.append(start, trace.state.x)
        k = np.arange(n + 1)
        label = np.expm1(-k / (a * n)) / np.expm1(-1 / a)
        label = label if v > 0 else np.expm1((n - k) / (a * n)) / np.expm1(1 / a)
        np.testing.assert_allclose(np.sqrt(np.mean((x - label) ** 2)), rms, rtol=0.06)
    mean_step = (p.step_up + p.step_down) / 2
    np.testing.assert_allclose(preset.meta.arrays.c2c, preset.params.sigma / mean_step, rtol=2e-3)


# --- the command --------------------------------------------------------------------------------------------------


def command(monkeypatch, *words):
    """Run `memjax WORDS`; return its exit code."""
    from memjax import cli

    monkeypatch.setattr("sys.argv", ["memjax", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


def test_the_command_lists_presets_with_their_sources(monkeypatch, capsys):
    assert command(monkeypatch, "devices", "--presets") in (0, None)
    listed = capsys.readouterr().out
    assert all(name in listed for name in NAMES)
    assert "10.1038/nature06932" in listed


def test_the_command_simulates_a_preset_in_its_wrappers(monkeypatch, capsys, tmp_path):
    words = (
        "simulate",
        "om_array",
        "--waveform",
        "pulses",
        "--steps",
        8,
        "--set",
        "g_max=2e-4",
        "--out",
        tmp_path / "a",
    )
    assert command(monkeypatch, *words) in (0, None)
    assert (tmp_path / "a" / "results.nc").exists()
    assert command(monkeypatch, "simulate", "om_aray") == 2
    assert "did you mean 'om_array'" in capsys.readouterr().err
    assert command(monkeypatch, "simulate", "om_array", "--set", "gmax=1") == 2
    assert "device 'soft_bounds' has no such parameter; did you mean 'g_max'" in capsys.readouterr().err
