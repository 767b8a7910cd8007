"""Pair and triplet STDP against Brian2, in its own interpreter: the newest for Python 3.11 does not run on numpy 2.3.

Skipped without one; `MEMJAX_BRIAN2` names it. The packages are the extra `peers`.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from memjax import plasticity

SCRIPT = Path(__file__).with_name("_brian2_weights.py")
RULES = ("stdp", "stdp_nearest", "triplet", "triplet_nearest")
PARAMS = {
    "stdp": plasticity.get("stdp").Params(a_plus=0.011, a_minus=0.013, tau_plus=0.0168, tau_minus=0.0337),
    "triplet": plasticity.get("triplet").Params(6.1e-3, 6.7e-3, 4.6e-3, 1.4e-3, 0.0168, 0.1, 0.0337, 0.04),
}
SYNAPSES = 50


@pytest.fixture(scope="module")
def brian2():
    """Return an interpreter that has Brian2."""
    named = os.environ.get("MEMJAX_BRIAN2")
    if named:
        return named
    if importlib.util.find_spec("brian2") is None:
        pytest.skip('no Brian2: set MEMJAX_BRIAN2 to the python of an environment with the extra "peers"')
    return sys.executable


@pytest.mark.parametrize("dt", [1e-4, 1e-3])
def test_weights_equal_brian2(dt, brian2, tmp_path, x64):
    rng, seconds = np.random.default_rng(0), 2.0
    pre, post = (rng.random((round(seconds / dt), SYNAPSES)) < rate * dt for rate in (60.0, 45.0))
    coincident = (pre & post).sum()
    assert coincident > 5 if dt == 1e-3 else coincident >= 0  # rare at the shorter step
    given = {"pre": pre, "post": post, "dt": dt, "rules": RULES}
    for kind, params in PARAMS.items():
        values = {name: value for name, value in vars(params).items() if value is not None}
        given |= {f"{kind}.names": list(values), f"{kind}.values": list(values.values())}
    np.savez(tmp_path / "in.npz", **given)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [brian2, str(SCRIPT), str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    wanted = np.load(tmp_path / "out.npz", allow_pickle=False)

    for name in RULES:
        rule, params = plasticity.get(name), PARAMS[name.partition("_")[0]]
        one = lambda a, b: plasticity.run(rule, params, np.zeros((1, 1)), a[:, None], b[:, None], dt)[0][0, 0]  # noqa: E731, B023
        found = jax.jit(jax.vmap(one, in_axes=1))(pre, post)
        np.testing.assert_allclose(found, wanted[name], rtol=0, atol=1e-9, err_msg=name)
        assert np.ptp(wanted[name]) > 0.05
