"""`pcm` against the published numbers, transcribed here, and the moments of what it draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import devices
from memjax.devices import pcm

pytestmark = pytest.mark.broad

HOUR, DAY, YEAR = 3600.0, 86400.0, 365 * 86400.0
PCM = devices.get("pcm")


def at(g, z=0.0, t=0.0):
    """Return a state with normalised conductance g (of 25 uS)."""
    g = jnp.asarray(g) * 25e-6
    return pcm.State(g=g, z=jnp.full_like(g, z), t=jnp.full_like(g, t))


def test_drift_keeps_the_published_shares(x64):
    params = PCM.Params()
    published = {1.0: [0.7751, 0.6635, 0.4969], 0.1: [0.7317, 0.6047, 0.4242]}
    for g, shares in published.items():
        for time, share in zip((HOUR, DAY, YEAR), shares, strict=True):
            kept = PCM.current(params, PCM.relax(params, at(g), time), 0.2) / (g * 25e-6 * 0.2)
            assert float(kept) == pytest.approx(share, abs=5e-5)


def test_drift_exponents(x64):
    g = np.array([1.0, 0.3, 0.1, 0.01, 0.004])
    for z in (0.0, 1.3, -4.0):
        mean = np.clip(-0.0155 * np.log(g) + 0.0244, 0.049, 0.1)
        spread = np.clip(-0.0125 * np.log(g) - 0.0059, 0.008, 0.045)
        np.testing.assert_allclose(pcm.drift_exponent(PCM.Params(), at(g, z)), abs(mean + spread * z), rtol=1e-12)
    assert pcm.drift_exponent(PCM.Params(nu_scale=0.0), at(0.5)) == 0


def test_read_noise(x64):
    g, t = np.array([0.02, 0.1, 1.0]), 100.0
    nu = np.clip(-0.0155 * np.log(g) + 0.0244, 0.049, 0.1)
    now = 25e-6 * g * (120 / 20) ** -nu
    sd = now * np.minimum(0.0088 / g**0.65, 0.2) * np.sqrt(np.log((t + 250e-9) / 500e-9))
    np.testing.assert_allclose(pcm.read_noise_sd(PCM.Params(), at(g, t=t), 0.3), 0.3 * sd, rtol=1e-12)
    assert pcm.read_noise_sd(PCM.Params(read_scale=0.0), at(0.5, t=t)) == 0
    early = jax.grad(lambda t: pcm.read_noise_sd(PCM.Params(), at(0.5).replace(t=t)))(1e-8)
    assert early == 0  # and not nan: the logarithm is negative there


def test_programming_noise_and_drift_spread_have_the_published_moments():
    params, n = PCM.Params(), 40_000
    for x in (0.3, 0.7):
        state = pcm.program(params, jnp.full(n, x), jax.random.key(1))
        target = 1e-7 + (25e-6 - 1e-7) * x
        u = target / 25e-6
        sd = (0.26348 + 1.9650 * u - 1.1731 * u**2) * 1e-6
        # Sampling error of a mean is sd / sqrt(n), of a standard deviation sd / sqrt(2 n): four of them.
        assert float(state.g.mean()) == pytest.approx(target, abs=4 * sd / n**0.5)
        assert float(state.g.std()) == pytest.approx(sd, rel=4 / (2 * n) ** 0.5)
        assert float(state.z.mean()) == pytest.approx(0, abs=4 / n**0.5)
        assert float(state.z.std()) == pytest.approx(1, rel=4 / (2 * n) ** 0.5)
        assert abs(np.corrcoef(state.g, state.z)[0, 1]) < 4 / n**0.5
    quiet = pcm.program(params.replace(prog_scale=0.0), jnp.full(5, 0.3), jax.random.key(1))
    np.testing.assert_array_equal(quiet.g, PCM.init(params, jnp.full(5, 0.3)).g)


def test_a_pulse_starts_from_the_drifted_conductance(x64):
    params, dt = PCM.Params(), 1e-3
    state = at(np.array([0.2, 0.8]), z=0.5, t=HOUR)
    now = PCM.current(params, state, 1.0)
    up, down = PCM.step(params, state, 1.0, dt, None), PCM.step(params, state, -1.0, dt, None)
    np.testing.assert_allclose(up.g, now + 0.05 * (25e-6 - now), rtol=1e-14)
    np.testing.assert_allclose(down.g, now - 0.5 * (now - 1e-7), rtol=1e-14)
    np.testing.assert_array_equal(up.t, dt)  # the clock of the drift starts anew
    np.testing.assert_array_equal(up.z, 0.5)
    melted = PCM.step(params, state, -1e3, dt, None)
    np.testing.assert_allclose(melted.g, 1e-7, rtol=1e-14)


@pytest.mark.parametrize(
    "field, value, accepted",
    [("g_min", 0.0, "more than 0 S"), ("t0", -1.0, "more than 0 s"), ("step_down", 1.5, "0 to 1"),
     ("nu_scale", -1.0, "0 .off. or more")],
)  # fmt: skip
def test_refuses(field, value, accepted):
    with pytest.raises(ValueError, match=f"{field} = {value}: accepted is {accepted}"):
        PCM.check(PCM.Params(**{field: value}))
