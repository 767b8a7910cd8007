"""A deployed network's chips at other severities are chips of other settings."""

import jax
import numpy as np
import pytest

from memjax import config, energy, monte_carlo, studies
from memjax.energy import Events
from memjax.training import Samples

SHAPE = (12, 8, 3)


def deployed(mitigation=None, **variation):
    settings = config.from_dict(
        {
            "device": {"name": "exponential"},
            "array": {"n_inputs": SHAPE[0], "n_outputs": SHAPE[1], "n_classes": SHAPE[2], "module_size": 4},
            "variation": {"d2d": {"g_max": 0.2}, "c2c": 0.3, "read_noise": 0.02, **variation},
            "monte_carlo": {"study": "deployed"},
            "mitigation": mitigation or {},
        }
    )
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (20, SHAPE[0]), np.uint8), rng.integers(0, SHAPE[2], 20).astype(np.int32)
    weights = rng.uniform(-1, 1, SHAPE[:2]), rng.uniform(-1, 1, SHAPE[1:])
    return studies.build(settings, Samples(x, y, x, y, "test"), weights)


def test_a_severity_is_that_much_of_what_is_described():
    # Write-verify reads with read noise and is told of C2C noise: both must follow the severity, or pulses differ.
    steps = {"read_noise": 4.0, "c2c": 3.0}
    dtype, key = np.dtype(jax.numpy.result_type(float)), jax.random.key(0)
    at = {name: np.repeat(np.asarray([s, 1.0], dtype), 6) for name, s in steps.items()}
    scaled, other = deployed(), deployed(read_noise=0.08, c2c=0.9)
    a = monte_carlo.run(scaled.severe_chip, 12, key, inputs=at, args=scaled.args)
    b = monte_carlo.run(other.chip, 6, key, args=other.args)
    np.testing.assert_allclose(a["pulses"][:6], b["pulses"], atol=1)  # a rounding may turn a pulse
    np.testing.assert_allclose(a["missed"][:6], b["missed"], atol=0.01)
    assert a["pulses"][6:].mean() < 0.8 * a["pulses"][:6].mean()


@pytest.mark.parametrize("mitigation", [None, {"committee": 2}])
def test_states_before_programming_are_a_source_of_their_own(mitigation):
    """Write-verify leaves what is within its tolerance: of ideal devices, that alone differs from chip to chip."""
    study, key = deployed(mitigation, d2d={}, c2c=0, read_noise=0), jax.random.key(0)
    own = study.keys(key)
    given = [own, *(own | {name: jax.random.key(1)} for name in study.sources)]
    keys = {name: jax.numpy.stack([each[name] for each in given]) for name in own}
    found = monte_carlo.run(study.keyed_chip, len(given), key, inputs=keys, args=study.args)["cross_entropy"]
    assert [name for name, y in zip(study.sources, found[1:], strict=True) if y != found[0]] == ["start"]
    # Where no design of keys is asked for, all is drawn as ever: the states from the key of D2D.
    np.testing.assert_array_equal(*(jax.random.key_data(own[name]) for name in ("start", "d2d")))


def test_devices_of_remedies_are_counted():
    """Two networks of two arrays, each with a spare line of both kinds on every 4 x 4 tile (the last column has 3)."""
    study = deployed({"committee": 2, "redundancy": 2, "spares": {"word": 1, "bit": 1}})
    (found,) = monte_carlo.run(study.chip, 1, jax.random.key(0), args=study.args)["devices"]
    used, built = 12 * 8 + 8 * 3, (12 + 3) * (8 + 2) + (8 + 2) * (3 + 1)
    assert found == pytest.approx(4 * built / used)


def test_drift_compensation_is_paid_as_three_measurements():
    """Two when new and one when old, of two inputs a column: its positive weights, and its negative ones."""
    study = deployed({"drift_compensation": "array"}, drift={"nu": 0.1})
    found = monte_carlo.run(study.chip, 1, jax.random.key(0), args=study.args)
    layers = (SHAPE[:2], SHAPE[1:])
    mac, read = (2 * 3 * sum(count) for count in zip(*((m * n * n, 2 * n * n) for m, n in layers), strict=True))
    np.testing.assert_allclose(found["upkeep_energy"], float(energy.priced(Events(mac=mac, read=read))), rtol=1e-5)
