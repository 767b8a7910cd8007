"""Statistics over chips meet known answers: coverage, differences, 1e-5 failure rates, Sobol indices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from memjax import crossbar, designs, devices, monte_carlo, noise, statistics, variation
from memjax.designs import LogNormal, Normal, Uniform

KEY = jax.random.key(3)
Z = stats.norm.ppf(0.975)


# --- summaries --------------------------------------------------------------------------------------------------------


def test_summary_of_known_numbers():
    y = np.array([3.0, np.nan, 1.0, 2.0, 5.0, np.inf, 4.0])
    found = statistics.summarise(y, quantiles=(0.25, 0.5))
    assert (found.n, found.undefined, found.mean, found.worst, found.worst_chip) == (5, 2, 3.0, 1.0, 2)
    assert found.sd == pytest.approx(np.sqrt(2.5), rel=1e-12)
    assert found.se == pytest.approx(np.sqrt(0.5), rel=1e-12)
    assert found.quantiles == {0.25: 2.0, 0.5: 3.0}
    below = statistics.summarise(y, direction="below")
    assert (below.worst, below.worst_chip) == (5.0, 4)
    assert below.quantiles == {0.0: 1.0, 0.25: 2.0, 0.5: 3.0, 0.75: 4.0, 1.0: 5.0}
    assert np.isnan(statistics.summarise([1.0]).sd)


def test_the_same_chips_under_two_remedies():
    """y = g + noise, after = 0.9 g + 0.1 + the same noise: sd of the change is a tenth of g's, on the same draws."""

    def chip(key, gain, offset):
        g = noise.normal(variation.named_key(key, "g"))
        return gain * g + offset + 0.3 * noise.normal(variation.named_key(key, "noise"))

    n = 2000
    before, after, others = (
        monte_carlo.run(chip, n, key, args=args)
        for key, args in ((KEY, (1.0, 0.0)), (KEY, (0.9, 0.1)), (jax.random.key(4), (0.9, 0.1)))
    )
    paired, apart = statistics.paired_difference(before, after), statistics.paired_difference(before, others)
    assert paired.low < 0.1 < paired.high
    assert paired.sd == pytest.approx(0.1, rel=4 / np.sqrt(2 * n))
    assert paired.variance_reduction == pytest.approx((1.09 + 0.9) / 0.01, rel=0.2)
    assert apart.variance_reduction == pytest.approx(1.0, abs=0.1)
    # The interval is Student's on the differences: SciPy's paired test.
    test = stats.ttest_rel(np.asarray(after, float), np.asarray(before, float)).confidence_interval()
    np.testing.assert_allclose((paired.low, paired.high), test, rtol=1e-9)


def test_pairs_that_all_gain_the_same_or_are_incomplete():
    found = statistics.paired_difference([1.0, 2.0, np.nan, 4.0], [1.5, 2.5, 3.0, 4.5])
    assert (found.n, found.undefined, found.difference, found.low, found.high) == (3, 1, 0.5, 0.5, 0.5)
    assert found.variance_reduction == np.inf


# --- yield ------------------------------------------------------------------------------------------------------------


@functools.cache
def intervals(n, method="wilson"):
    """Return the interval's ends [n + 1] for every count of passes."""
    found = [statistics.interval(k, n, method=method) for k in range(n + 1)]
    return np.array([each.low for each in found]), np.array([each.high for each in found])


def coverage(n, p):
    """Return P(the interval covers p), the sum of the binomial probabilities of the counts whose intervals do."""
    low, high = intervals(n)
    return stats.binom.pmf(np.arange(n + 1), n, p)[(low <= p) & (p <= high)].sum()


@pytest.mark.parametrize("p, n", [(0.5, 200), (0.9, 1000), (0.95, 2000), (0.99, 10000)])
def test_yield_intervals_cover_the_truth_in_93_to_97_percent_of_1000_repetitions(p, n):
    """At 100 expected failures each, where what Wilson's interval really covers is known to be within 0.6 % of 95 %."""
    metrics = np.asarray(jax.jit(lambda: jax.vmap(lambda k: noise.normal(k, (n,)))(jax.random.split(KEY, 1000)))())
    found = [statistics.yield_interval(y, stats.norm.isf(p)) for y in metrics]
    covered = np.mean([each.low <= p <= each.high for each in found])
    assert 0.93 <= covered <= 0.97
    assert np.mean([each.estimate for each in found]) == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / n / 1000))
    if n <= 2000:
        assert coverage(n, p) == pytest.approx(0.95, abs=0.006)
        assert covered == pytest.approx(coverage(n, p), abs=3 * np.sqrt(0.05 / 1000))


def test_coverage_is_what_the_module_says():
    for n in (100, 200, 500, 1000, 2000):
        many, one = ([coverage(n, p) for p in np.linspace(0.5, 1 - fails / n, 60)] for fails in (8, 1))
        assert 0.93 <= min(many) < max(many) <= 0.968
        assert 0.91 <= min(one)
        assert coverage(n, 1 - 0.17 / n) == pytest.approx(0.84, abs=0.005)


def test_wilson_is_its_formula_and_exact_is_wider():
    k, n = 37, 40
    found = statistics.interval(k, n)
    centre, half = (k + Z**2 / 2) / (n + Z**2), Z * np.sqrt(k * (n - k) / n + Z**2 / 4) / (n + Z**2)
    np.testing.assert_allclose((found.low, found.high), (centre - half, centre + half), rtol=1e-12)
    exact = statistics.interval(k, n, method="exact")
    assert exact.low < found.low < found.high < exact.high


def test_directions_and_chips_without_a_value():
    y = [0.9, 0.95, np.nan, 0.97]
    above = statistics.yield_interval(y, 0.95)
    assert (above.passed, above.n, above.undefined, above.estimate) == (2, 4, 1, 0.5)
    assert statistics.yield_interval(y, 0.95, direction="below").passed == 2


@pytest.mark.parametrize("expected", [0.5, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("half_width", [0.1, 0.01])
def test_chips_needed_is_the_smallest_number(expected, half_width):
    def half(n):
        return Z / (n + Z**2) * np.sqrt(n * expected * (1 - expected) + Z**2 / 4)

    n = statistics.chips_needed(expected, half_width)
    assert half(n) <= half_width < half(n - 1)


def coverage_at_the_stop(rule, p, batch):
    """Return P(the interval at the stop covers p), exactly: the distribution of passes, cut where the rule is met."""
    pmf, passes, n, covered = stats.binom.pmf(np.arange(batch + 1), batch, p), np.ones(1), 0, 0.0
    while passes.sum() > 1e-6:
        passes, n = np.convolve(passes, pmf), n + batch
        low, high = intervals(n, rule.method)
        stops = 0.5 * (high - low) <= rule.half_width
        covered += passes[stops & (low <= p) & (p <= high)].sum()
        passes = np.where(stops, 0.0, passes)
    return covered


@pytest.mark.parametrize("method, near, far", [("wilson", 0.84, 0.92), ("exact", 0.97, 0.93)])
def test_looking_again_and_again_costs_little_coverage(method, near, far):
    rule = statistics.Until(0.9, 0.05, method=method)
    assert all(far <= coverage_at_the_stop(rule, p, 64) <= 0.99 for p in (0.7, 0.8, 0.9, 0.95))
    assert min(coverage_at_the_stop(rule, p, 64) for p in (0.96, 0.975, 0.99)) >= near


@pytest.mark.parametrize("method, fewest", [("wilson", 35), ("exact", 36)])
def test_the_rule_is_met_when_the_interval_is_narrow(method, fewest):
    rule = statistics.Until(0.5, 0.05, direction="below", method=method)
    assert rule.fewest == fewest
    assert not rule.met(np.zeros(fewest - 1))
    assert rule.met(np.zeros(fewest))
    half = np.arange(1000) % 2
    n = next(n for n in range(1, 1000) if rule.met(half[:n]))
    assert n == pytest.approx(statistics.chips_needed(0.5, 0.05), rel=0.06 if method == "exact" else 0.003)


# --- rare failures ----------------------------------------------------------------------------------------------------

P = 1e-5
BETA = -stats.norm.ppf(P)


def product(z):
    """Fails where a product of three lognormals is too small: linear in their normals, so that P is exact."""
    quantities = {"g": LogNormal(1e-4, 0.3), "v": LogNormal(0.2, 0.05), "gain": LogNormal(5.0, 0.1)}
    values = designs.from_normal(quantities, z)
    s2 = sum(np.log1p(q.sigma**2) for q in quantities.values())
    median = np.prod([q.mean for q in quantities.values()]) * np.exp(-s2 / 2)
    return values["g"] * values["v"] * values["gain"] - median * np.exp(-BETA * np.sqrt(s2))


CASES = {  # name: (margin, dimensions, seeds)
    "product": (product, 3, 100),
    "plane": (lambda z: BETA - z @ np.arange(1.0, 21) / np.sqrt(2870), 20, 20),
    "sphere": (lambda z: stats.chi2.isf(P, 4) - np.sum(z**2, axis=1), 4, 20),  # no shift helps: the spread must grow
    "two sides": (lambda z: -stats.norm.ppf(P / 2) - np.abs(z[:, 0]), 1, 20),
}


@pytest.mark.parametrize("name", CASES)
def test_importance_sampling_finds_a_rate_of_1e5_within_20_percent_with_1e4_draws(name):
    margin, d, seeds = CASES[name]
    drawn = []

    def counted(z, key):
        drawn.append(len(z))
        return margin(z)

    found = [statistics.importance_sampling(counted, d, 10_000, jax.random.key(k)) for k in range(seeds)]
    assert sum(drawn) == 10_000 * seeds  # the pilots are in the budget
    error = np.array([each.estimate for each in found]) / P - 1
    assert np.abs(error).max() <= 0.2
    # Unbiased, as wide as it says, and it says how wide.
    assert abs(error.mean()) <= 4 * np.sqrt(np.mean(error**2) / seeds)
    assert np.sqrt(np.mean(error**2)) == pytest.approx(
        np.mean([each.se for each in found]) / P, rel=3 / np.sqrt(2 * seeds)
    )
    covered = np.mean([each.low <= P <= each.high for each in found])
    assert covered >= 0.95 - 3 * np.sqrt(0.05 / seeds)
    assert all(each.ess > 150 and abs(each.mean_weight - 1) < 0.2 for each in found)


def test_noise_of_the_chip_itself_stays_nominal():
    """The margin has a noise of its own, a fifth of what the quantity does, from the key that it is handed."""

    own = jax.jit(noise.normal, static_argnums=1)

    def margin(z, key):
        return BETA * np.sqrt(1.04) - z[:, 0] - 0.2 * np.asarray(own(key, (len(z),)), float)

    estimates = [statistics.importance_sampling(margin, 1, 10_000, jax.random.key(k)).estimate for k in range(20)]
    assert np.sqrt(np.mean((np.array(estimates) / P - 1) ** 2)) < 0.1


def test_weights_are_the_ratio_of_densities_and_bounded():
    proposal = statistics.Proposal(np.array([3.0, 0.0]), np.array([[1.0, 0.5], [0.5, 2.0]]), nominal=0.2)
    z, log_weight = statistics.draw(proposal, 500, KEY)
    shorter, _ = statistics.draw(proposal, 20, KEY)
    np.testing.assert_array_equal(shorter, z[:20])
    phi = stats.multivariate_normal([0, 0]).pdf(z)
    q = 0.2 * phi + 0.8 * stats.multivariate_normal(proposal.mean, proposal.covariance).pdf(z)
    np.testing.assert_allclose(np.exp(log_weight), phi / q, rtol=1e-9)
    assert np.exp(log_weight).max() <= 5 * (1 + 1e-9)
    assert np.mean(np.abs(z[:, 0] - 3) < 1.96) == pytest.approx(0.8 * 0.95 + 0.2 * stats.norm.sf(1.04), abs=0.06)


def test_nominal_draws_give_the_plain_share():
    y = np.array([-1.0, 1.0, np.nan, 2.0])
    found = statistics.failure_rate(y, np.zeros(4))
    assert (found.estimate, found.failures, found.undefined, found.mean_weight) == (0.5, 2, 1, 1.0)
    assert found.ess == pytest.approx(2.0)


# --- variance decomposition -------------------------------------------------------------------------------------------


def ishigami():
    """Return the groups, the function and its indices (Ishigami and Homma 1990, doi:10.1109/ISUMA.1990.151285)."""
    a, b, pi = 7.0, 0.1, np.pi
    first = np.array([0.5 * (1 + b * pi**4 / 5) ** 2, a**2 / 8, 0.0])
    both = b**2 * pi**8 * (1 / 18 - 1 / 50)
    total = first + [both, 0.0, both]
    variance = first.sum() + both
    groups = {name: Uniform(-pi, pi) for name in ("x1", "x2", "x3")}

    def f(x):
        return np.sin(x["x1"]) + a * np.sin(x["x2"]) ** 2 + b * np.asarray(x["x3"], float) ** 4 * np.sin(x["x1"])

    return groups, f, first / variance, total / variance


def test_indices_of_the_ishigami_function_within_2_percent():
    groups, f, first, total = ishigami()
    for k in range(10):
        design = statistics.sobol_design(groups, 2**13, jax.random.key(k))
        y = f(design.inputs)
        found = statistics.sobol_indices(*statistics.split(y, design.names), design.names, KEY, resamples=50)
        np.testing.assert_allclose(found.first, first, rtol=0, atol=0.02)
        np.testing.assert_allclose(found.total, total, rtol=0, atol=0.02)
        assert np.all((found.first_low < found.first) & (found.first < found.first_high))
    y_a, y_b, y_ab = statistics.split(y, design.names)
    reference = stats.sobol_indices(func={"f_A": y_a[None], "f_B": y_b[None], "f_AB": y_ab[:, None]}, n=2**13)
    np.testing.assert_allclose(found.total, reference.total_order, rtol=1e-9)
    np.testing.assert_allclose(found.first, reference.first_order, rtol=0, atol=0.03)


def chip(inputs):
    """Relative reading of 20 devices with D2D spread, a C2C factor and read noise, each drawn from its key.

    y = (1 + c) mean(f) + r, with var f = 0.3^2 / 20, var c = 0.05^2, var r = 0.04^2.
    """
    d2d = jnp.mean(variation.factor(variation.Spread(0.3), (20,), inputs["D2D"]))
    c2c, read = (noise.normal(inputs[name], (), jnp.result_type(float)) for name in ("C2C", "read noise"))
    return (1 + 0.05 * c2c) * d2d + 0.04 * read + 100.0


def test_noise_sources_are_told_apart_by_their_keys():
    d, c, r = 0.09 / 20, 0.05**2, 0.04**2
    variance = d + c + r + d * c
    first, total = np.array([d, c, r]) / variance, np.array([d + d * c, c + d * c, r]) / variance
    covered, errors = [], []
    run = jax.jit(jax.vmap(chip))
    for k in range(40):
        design = statistics.sobol_design(("D2D", "C2C", "read noise"), 500, jax.random.key(k))
        y = run(design.inputs)
        assert y.shape == (2500,)
        found = statistics.sobol_indices(*statistics.split(y, design.names), design.names, KEY, resamples=300)
        covered.append(
            [found.first_low <= first, first <= found.first_high, found.total_low <= total, total <= found.total_high]
        )
        errors.append([found.first - first, found.total - total])
    rms = np.sqrt(np.mean(np.square(errors), axis=0))
    assert rms.max() < 0.06
    assert np.all(np.abs(np.mean(errors, axis=0)) < 4 * rms / np.sqrt(40))
    # 40 x 6 intervals at 95 %, the six of a repetition correlated.
    inside = np.logical_and(np.array(covered)[:, ::2], np.array(covered)[:, 1::2])
    assert 0.90 <= inside.mean() <= 0.99


def test_the_variance_of_an_array_is_told_apart():
    """A column of 16 real devices: what its read noise adds is known, and what nothing is drawn from adds nothing."""
    device = devices.with_c2c_noise(devices.get("soft_bounds"))

    def column(keys):
        spread = variation.sample_params(devices.get("soft_bounds").Params(), {"g_max": 0.1}, (1, 16, 1), keys["D2D"])
        faults = variation.sample_stuck((1, 16, 1), 0.02, 0.02, keys["faults"])
        params = device.Params(inner=spread, sigma=0.2)
        xbar = crossbar.create(device, (16, 1), polarity=1, params=params, faults=faults)
        xbar, _ = crossbar.write(xbar, jnp.ones((1, 16, 1)), 1e-3, keys["C2C"], max_pulses=1)
        v = jnp.full((16,), 0.1)
        i = crossbar.read(xbar, v, noise=0.02, key=keys["read noise"])
        return 1e6 * i[0], jnp.square(1e6 * crossbar.noise_sd(xbar, v, 0.02))[0]

    names = ("D2D", "C2C", "read noise", "faults", "nothing")
    design = statistics.sobol_design(names, 1000, KEY)
    y, variance = jax.jit(jax.vmap(column))(design.inputs)
    found = statistics.sobol_indices(*statistics.split(y, names), names, KEY, resamples=200)
    np.testing.assert_allclose([found.total[4], found.first[4], found.first_high[4]], 0.0, rtol=0, atol=1e-12)
    # Half the mean of 1000 squared normal differences: known to sqrt(2 / 1000).
    assert found.total[2] * found.variance == pytest.approx(float(np.mean(variance)), rel=4 * np.sqrt(2 / 1000))
    # Read noise and C2C noise add to the rest: first-order and total indices are the same, and both estimators say so.
    np.testing.assert_allclose(found.first[[1, 2]], found.total[[1, 2]], rtol=0, atol=0.01)
    assert np.all(found.first_low <= found.total_high)


def test_evaluations_share_what_they_should():
    groups = {"noise": None, "spread": {"a": Normal(0.0, 1.0), "b": Uniform(0.0, 1.0)}, "gain": Uniform(1.0, 2.0)}
    design = statistics.sobol_design(groups, 8, KEY)
    assert design.names == ("noise", "spread", "gain")
    keys = np.asarray(jax.random.key_data(design.inputs["noise"])).reshape(8, 5, -1)[..., 1]
    columns = {
        "noise": [keys],
        "spread": [design.inputs["spread"][part].reshape(8, 5) for part in ("a", "b")],
        "gain": [design.inputs["gain"].reshape(8, 5)],
    }
    for i, name in enumerate(design.names):
        for x in columns[name]:
            a, b, *mixed = x.T
            assert not np.isin(a, b).any()
            assert len(np.unique(a)) == 8
            for j, ab in enumerate(mixed):
                np.testing.assert_array_equal(ab, b if i == j else a)
    # A group's keys are its own, and stay what they are when groups are added.
    alone = statistics.sobol_design(["noise"], 8, KEY)
    same = np.asarray(jax.random.key_data(alone.inputs["noise"])).reshape(8, 3, -1)[..., 1]
    np.testing.assert_array_equal(same[:, :2], keys[:, :2])


def test_a_base_sample_with_an_undefined_chip_is_left_out():
    design = statistics.sobol_design(("D2D", "C2C", "read noise"), 64, KEY)
    y = np.array(jax.jit(jax.vmap(chip))(design.inputs))
    whole = statistics.sobol_indices(*statistics.split(y[5:], design.names), design.names, KEY, resamples=50)
    y[3] = np.nan
    found = statistics.sobol_indices(*statistics.split(y, design.names), design.names, KEY, resamples=50)
    assert (found.n, found.undefined) == (63, 1)
    np.testing.assert_array_equal(found.first, whole.first)
    np.testing.assert_array_equal(found.total_high, whole.total_high)
    assert np.isnan(statistics.sobol_indices(np.ones(4), np.ones(4), np.ones((3, 4)), design.names, KEY).first).all()


# --- wrong input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: statistics.summarise([[1.0]]), r"shape \(1, 1\): accepted is one value a chip"),
        (lambda: statistics.summarise([np.nan, np.inf]), "none of 2 chips has a finite metric"),
        (lambda: statistics.summarise([1.0], direction="up"), "direction = 'up': accepted is one of above, below"),
        (lambda: statistics.paired_difference([1.0, 2.0], [1.0]), "2 chips before and 1 after"),
        (lambda: statistics.paired_difference([1.0, np.nan], [1.0, 2.0]), "1 pairs with finite metrics"),
        (lambda: statistics.Until(0.9, 0.0).check(), "half width 0.0"),
        (lambda: statistics.Until(np.inf, 0.1).check(), "threshold inf of a yield"),
        (lambda: statistics.yield_interval([0.5], np.nan), "threshold nan of a yield"),
        (lambda: statistics.Until(0.9, 0.1, confidence=1.0).check(), "confidence 1.0"),
        (lambda: statistics.chips_needed(1.2, 0.1), "expected yield 1.2"),
        (lambda: statistics.failure_rate([1.0, 2.0], [0.0]), "2 margins and 1 weights"),
        (lambda: statistics.failure_rate([1.0, 2.0], [0.0, 0.0]), "none of 2 chips fails"),
        (
            lambda: statistics.importance_sampling(lambda z, key: np.ones(len(z)), 2, 1000, KEY),
            "10% of the pilot draws have a margin up to 1 after 8 levels",
        ),
        (lambda: statistics.sobol_design([], 8, KEY), "0 groups"),
        (lambda: statistics.sobol_design({"a": Uniform(0.0, 1.0)}, 12, KEY), "powers of 2"),
        (lambda: statistics.split(np.ones(7), ("a", "b")), "7 evaluations of 2 groups: accepted is a multiple of 4"),
        (lambda: statistics.sobol_indices([1.0], [2.0], [[1.0]], "ab", KEY), "1 rows for 2 groups"),
        (lambda: statistics.sobol_indices([1.0], [2.0], [[1.0]], "a", KEY), "1 base samples"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
