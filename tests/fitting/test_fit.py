"""The fit itself on synthetic measurements: it finds what made them, says how surely, and says what it cannot see."""

import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from synthetic import LOOPS, PULSES, RELAXATION, loop_problem, problem_of, trials

from memjax import cli, devices, fitting, presets
from memjax.fitting import loops, uncertainty
from memjax.fitting import problem as problems

KEY = jax.random.key(0)
CALIBRATED = 100  # trials


def calibrated(device):
    """Hold the share of intervals with the truth in them: 92 to 98 % of all, at least 87 % of each parameter's."""
    found = trials(*problem_of(device), CALIBRATED, KEY)
    shares = found.inside
    assert 0.92 <= np.mean(list(shares.values())) <= 0.98, shares
    assert min(shares.values()) >= 0.87, shares


@pytest.mark.parametrize("device", ["stdp", *(pytest.param(name, marks=pytest.mark.broad) for name in RELAXATION)])
def test_intervals_of_windows_and_relaxation_are_calibrated(device):
    calibrated(device)


@pytest.mark.slow
@pytest.mark.parametrize("device", PULSES)
def test_intervals_of_pulse_trains_are_calibrated(device):
    calibrated(device)


@pytest.mark.slow
@pytest.mark.parametrize("device", LOOPS)
def test_intervals_of_loops_are_calibrated(device):
    calibrated(device)


def test_every_fittable_model_is_calibrated():
    kinds = ("loop", "pulses", "retention")
    assert [*LOOPS, *PULSES, *RELAXATION] == [name for kind in kinds for name in fitting.fittable(kind)]


@pytest.mark.parametrize(
    "device, amplitudes, unseen",
    [
        # What never meets a bound knows r_off and the states from one resistance a loop.
        ("linear_ion_drift", (0.8, 1.2), {"r_off", "mu", "x0[0]", "x0[1]"}),
        pytest.param("vteam", (0.6, 0.8), {"k_on", "k_off", "r_off", "x0[0]", "x0[1]"}, marks=pytest.mark.broad),
    ],
)
def test_what_weak_drives_leave_open_is_named(monkeypatch, device, amplitudes, unseen):
    frequencies = {"linear_ion_drift": (1.0, 1.0), "vteam": (10.0, 10.0)}[device]
    truth = LOOPS[device][2] | ({"k_on": 8.0, "k_off": 3.0} if device == "vteam" else {})
    monkeypatch.setitem(LOOPS, device, (amplitudes, frequencies, truth))
    problem, phi = loop_problem(device, points=60)
    with jax.enable_x64(True):
        problem = jax.tree.map(jnp.asarray, problem)
        blind = uncertainty.directions(problem, uncertainty.covariance(problem, jnp.asarray(phi)))
    assert blind
    named = set().union(*(direction.weights for direction in blind))
    assert named >= unseen - {"k_on", "k_off"}, named
    assert named & {"mu", "k_on", "k_off"}


def test_a_pair_that_only_a_ratio_determines_is_named():
    """Of the mobility and the thickness of linear_ion_drift, mu / d^2 alone matters; without d all is determined."""

    def unseen(free):
        problem, phi = loop_problem("linear_ion_drift", free=free, points=60)
        with jax.enable_x64(True):
            problem = jax.tree.map(jnp.asarray, problem)
            return uncertainty.directions(problem, uncertainty.covariance(problem, jnp.asarray(phi)))

    (pair,) = unseen(("d",))
    assert set(pair.weights) == {"mu", "d"}
    np.testing.assert_allclose(pair.weights["d"] / pair.weights["mu"], 0.5, rtol=1e-3)  # up together
    assert "only mu * d^-2 is determined" in pair.text
    assert not unseen(())


def measured(noise=0.01):
    """Return a loop of a known device behind a known resistor, with white noise."""
    device = devices.get("metastable_switch")
    truth = {"tau": 5e-4, "v_on": 0.29, "v_off": 0.11, "r_on": 2400.0, "r_off": 1.2e5, "temperature": 300.0}
    t = np.arange(100) / 1000
    source = 0.8 * np.sin(2 * np.pi * 10 * t + 0.7) + 0.01
    inputs = {"u": source, "dt": np.diff(t), "r_series": 5e3}
    with jax.enable_x64(True):
        found = loops._respond(device.name, 2, 100, truth, jnp.asarray(0.4), inputs, 0.0)
    i = np.asarray(found.current)
    i = i + noise * np.abs(i).max() * np.random.default_rng(0).normal(size=100)
    return truth, fitting.read({"v": source - 5e3 * i, "i": i}, frequency=10.0, r_series=5e3), source


def test_a_loop_behind_a_resistor(tmp_path):
    truth, loop, source = measured()
    drive = loops.drive(loop)
    np.testing.assert_allclose(drive.u, source, atol=1e-6)
    np.testing.assert_allclose([drive.amplitude, drive.phase, drive.offset], [0.8, 0.7, 0.01], rtol=1e-6)
    unknown = loops.drive(loop._replace(r_series="fit"))
    np.testing.assert_allclose(unknown.r_series, 5e3, rtol=1e-4)
    found = fitting.fit(loop, "metastable_switch", starts=8)
    assert found.rmse[0] < 0.012
    inside = [found.low[n] <= truth[n] <= found.high[n] for n in truth]
    assert sum(inside) >= len(truth) - 1
    assert any("c_parallel" in u.text for u in found.unseen)  # 10 Hz do not see it
    # What it writes goes wherever a device's name goes.
    folder = fitting.save(found, tmp_path / "fit")
    preset = presets.load(str(folder / "preset.yaml"))
    assert preset.params.r_on == found.values["r_on"]
    assert preset.meta.provenance.files == {"data": loop.sha256}
    assert (folder / "fit.png").stat().st_size > 10_000


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optimistix", None)
    with pytest.raises(ImportError, match=r'pip install "memjax\[fit\]"'):
        fitting.fit(fitting.demo(), "soft_bounds")


def test_the_better_model_comes_first():
    """A model that misses less but by one parameter in ten points wins; one that misses the same loses by it."""
    few = SimpleNamespace(
        held_out=None, rmse=(0.02,), correlation=0.0, problem=SimpleNamespace(weights=np.ones(100), size=3)
    )
    same = SimpleNamespace(**{**vars(few), "problem": SimpleNamespace(weights=np.ones(100), size=4)})
    better = SimpleNamespace(**{**vars(same), "rmse": (0.015,)})
    assert fitting.compare([same, few]) == [few, same]
    assert fitting.compare([few, better])[0] is better
    # Residuals that hang together: 100 points tell as much as five, and do not pay for a parameter.
    clumsy = SimpleNamespace(**{**vars(better), "rmse": (0.019,), "correlation": 0.9})
    assert fitting.compare([clumsy, few])[0] is few


def test_the_command_refuses_with_one_message(monkeypatch, capsys, tmp_path):
    def refused(*args):
        monkeypatch.setattr("sys.argv", ["memjax", "fit", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 2
        return capsys.readouterr().err

    path = tmp_path / "a.csv"
    path.write_text("t,v,i\n" + "\n".join(f"{k},{np.sin(k)},{k}e-6" for k in range(30)))
    assert "give data files" in refused()
    assert "give --device: loop data are fitted by" in refused(path)
    assert "unknown device 'vteem'; did you mean 'vteam'" in refused(path, "--device", "vteem")
    assert "device 'soft_bounds' is not fitted to loop data" in refused(path, "--device", "soft_bounds")
    assert "2 numbers for 1 files" in refused(path, "--device", "vteam", "--frequency", "1,2")
    assert "name=value" in refused(path, "--device", "vteam", "--units", "uA")
    assert "'x' is no number" in refused(path, "--device", "vteam", "--hold", "d=x")


@pytest.mark.broad  # the notebook fits the same data by default
def test_the_demo_runs(monkeypatch, capsys, tmp_path):
    out = str(tmp_path / "d")
    monkeypatch.setattr(
        "sys.argv", ["memjax", "fit", "--demo", "--device", "soft_bounds", "--starts", "4", "--out", out]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert "up: read noise 0.04" in capsys.readouterr().out
    assert presets.load(out + "/preset.yaml").meta.source.licence == "MIT (IBM)"


def windows(rng, devices=6, cycles=3, d2d=0.3, c2c=0.1, noise=0.02):
    """Return STDP windows whose amplitude differs by d2d from device to device, by c2c from cycle to cycle."""
    dt = np.concatenate([-np.geomspace(1e-3, 0.1, 30), np.geomspace(1e-3, 0.1, 30)])
    found, names = [], []
    for device in range(devices):
        a_plus = 0.8 + d2d * rng.normal()
        for _ in range(cycles):
            plus = (a_plus + c2c * rng.normal()) * np.exp(-dt.clip(0) / 0.017)
            dg = np.where(dt > 0, plus, -0.4 * np.exp(dt.clip(max=0) / 0.034))
            dg = dg + noise * rng.normal(size=dt.size)
            found.append(fitting.read({"dt": dt, "dg": dg}))
            names.append(f"device {device}")
    return found, names


def test_a_population_of_fits_tells_devices_from_cycles():
    """The amplitude differs between devices and cycles, nothing else does; what a fit did not know is no spread."""
    data, names = windows(np.random.default_rng(0))
    fits = [fitting.fit(one, "stdp", starts=4) for one in data]
    found = fitting.population(fits, names)
    assert found["a_plus"].d2d.low < 0.3 < found["a_plus"].d2d.high
    assert found["a_plus"].c2c.low < 0.1 < found["a_plus"].c2c.high
    np.testing.assert_allclose(found["a_plus"].relative, found["a_plus"].d2d.value / found["a_plus"].mean.value)
    for name, truth in (("tau_plus", 0.017), ("a_minus", 0.4), ("tau_minus", 0.034)):
        assert found[name].d2d.low == 0.0
        assert found[name].c2c.value < 0.03
        assert found[name].mean.low < truth < found[name].mean.high
    with pytest.raises(ValueError, match="18 fits of stdp for 3 devices"):
        fitting.population(fits, names[:3])


def test_points_left_out_are_predicted():
    """Of a right model the error of what it did not see is the noise, and little more."""
    data, _ = windows(np.random.default_rng(5), devices=1, cycles=1)
    found = fitting.fit(data[0], "stdp", starts=4, folds=5)
    noise = 0.02 / np.abs(data[0].dg).max()
    assert 0.8 * noise < found.held_out < 1.4 * noise
    assert found.held_out > found.rmse[0]


def test_residuals_drawn_anew_give_the_same_intervals():
    """Of independent noise the bootstrap and Gauss-Newton say the same."""
    data, _ = windows(np.random.default_rng(1), devices=1, cycles=1)
    plain = fitting.fit(data[0], "stdp", starts=4)
    drawn = fitting.fit(data[0], "stdp", starts=4, bootstrap=400)
    assert drawn.bootstrap.shape == (400, 4)
    for name in plain.values:
        width = [fit.high[name] - fit.low[name] for fit in (plain, drawn)]
        np.testing.assert_allclose(width[0], width[1], rtol=0.25)
        assert drawn.low[name] < plain.values[name] < drawn.high[name]


def test_a_profile_crosses_where_the_interval_ends():
    """Near its minimum the misfit is a parabola, so both say the same; the other parameters follow along."""
    data, _ = windows(np.random.default_rng(3), devices=1, cycles=1)
    found = fitting.fit(data[0], "stdp", starts=4)
    for name in ("a_plus", "tau_minus"):
        curve = fitting.profile(found, name, points=25)
        assert curve["deviance"].min() == 0.0
        inside = curve["value"][curve["deviance"] <= 3.84]
        width = found.high[name] - found.low[name]
        np.testing.assert_allclose(inside.max() - inside.min(), width, rtol=0.15)
    with pytest.raises(ValueError, match="profile of 'r_on': the fitted parameters are a_plus"):
        fitting.profile(found, "r_on")


@pytest.mark.broad  # by default the gradient itself is tested
def test_adam_ends_where_levenberg_marquardt_does():
    """By forward derivatives or by the gradient through the pulses: the same minimum."""
    rng = np.random.default_rng(2)
    k = np.arange(1, 61)
    g = np.stack([1 - np.exp(-k / 25), np.exp(-k / 40)]) + 0.01 * rng.normal(size=(2, 60))
    data = fitting.read({"up": g[0], "down": g[1]}, "pulses", units={"g": "1"})
    found = [fitting.fit(data, "soft_bounds", starts=8, method=m) for m in ("levenberg_marquardt", "adam")]
    np.testing.assert_allclose(found[1].costs[0], found[0].costs[0], rtol=1e-5)
    for name, value in found[0].values.items():
        np.testing.assert_allclose(found[1].values[name], value, rtol=2e-3, atol=2e-3)
    with pytest.raises(ValueError, match="method 'newton': accepted are levenberg_marquardt, adam"):
        fitting.fit(data, "soft_bounds", method="newton")


def test_the_gradient_goes_through_the_circuit(x64):
    """Reverse and forward derivatives of a loop behind a resistor agree: Adam takes the one, the rest the other."""
    t = np.arange(30) / 300
    loop = fitting.read({"v": np.sin(20 * np.pi * t), "i": 1e-4 * np.sin(20 * np.pi * t)}, frequency=10.0, r_series=1e3)
    problem = jax.tree.map(jnp.asarray, loops.problem("metastable_switch", [loop]))
    theta = 0.3 * jax.random.normal(KEY, (problem.size,), float)

    def cost(theta):
        return jnp.sum(problems.residuals(problem, theta) ** 2)

    reverse = jax.jit(jax.grad(cost))(theta)
    forward = jax.jit(jax.jacfwd(cost))(theta)
    np.testing.assert_allclose(reverse, forward, rtol=1e-6, atol=1e-9)


def test_a_relaxation_gives_a_volatile_device(tmp_path):
    """Levels of two traces of different length share tau; the preset relaxes as the traces do."""
    rng, data = np.random.default_rng(4), []
    for levels, points in (((9e-5, 5e-5), 60), ((7e-5,), 40)):
        t = 5e-3 * np.arange(1, points + 1)
        g = [2e-5 + (g0 - 2e-5) * np.exp(-(t - t[0]) / 0.08) for g0 in levels]
        g = np.array(g) * (1 + 0.01 * rng.normal(size=(len(levels), points)))
        data.append(fitting.read({"t": t} | {f"g{k}": x for k, x in enumerate(g)}))
    found = fitting.fit(data, "volatile", starts=8)
    assert found.kind == "retention"
    assert found.low["tau"] < 0.08 < found.high["tau"]
    assert found.low["g_min"] < 2e-5 < found.high["g_min"]
    assert max(found.rmse) < 0.012
    preset = presets.load(str(fitting.save(found, tmp_path / "fit") / "preset.yaml"))
    start = preset.device.init(preset.params, found.values["x0[2]"])
    np.testing.assert_allclose(preset.device.relax(preset.params, start, 0.0).g, 7e-5, rtol=0.02)
    with pytest.raises(ValueError, match="device 'vteam' is not fitted to relaxation: accepted are volatile"):
        fitting.fit(data, "vteam")
