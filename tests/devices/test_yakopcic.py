"""`yakopcic`, three parameter sets, against SciPy's integration of an independent transcription."""

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from memjax import devices

YAKOPCIC = devices.get("yakopcic")
SETS, INITIAL_X = devices.yakopcic.PARAMETER_SETS, devices.yakopcic.INITIAL_X

# a1, a2, b, Ap, An, Vp, Vn, alpha_p, alpha_n, xp, xn, x0; then the drive: amplitudes up and down [V], period [s]
TABLE = {
    "miao": (0.11, 0.11, 0.5, 7.5, 2, 0.09, 0.75, 1, 5, 0.3, 0.5, 0.11, 0.75, 1.25, 1.0),
    "jo": (3.7e-7, 4.35e-7, 0.7, 0.005, 0.08, 1.5, 0.5, 1.2, 3, 0.2, 0.5, 0.1, 4.0, 2.0, 20.0),
    "oblea": (0.097, 0.097, 0.05, 4000, 4000, 0.16, 0.15, 1, 5, 0.3, 0.5, 0.001, 0.25, 0.25, 0.01),
}


def reference(name):
    """Return f(x, v) and i(x, v) from the table, with the paper's w_p and w_n written out."""
    a1, a2, b, ap, an, vp, vn, alpha_p, alpha_n, xp, xn = TABLE[name][:11]

    def slope(x, v):
        if v > vp:
            w = (xp - x) / (1 - xp) + 1
            return ap * (np.exp(v) - np.exp(vp)) * (np.exp(-alpha_p * (x - xp)) * w if x >= xp else 1.0)
        if v < -vn:
            w = x / (1 - xn)
            return -an * (np.exp(-v) - np.exp(vn)) * (np.exp(alpha_n * (x + xn - 1)) * w if x <= 1 - xn else 1.0)
        return 0.0

    return slope, lambda x, v: np.where(v >= 0, a1, a2) * x * np.sinh(b * v)


def staircase(name, steps=400):
    """One period and a half of a sine with its own amplitude on each side, sampled in the middle of the steps."""
    up, down, period = TABLE[name][-3:]
    s = np.sin(2 * np.pi * 1.5 * (np.arange(steps) + 0.5) / steps)
    return np.where(s > 0, up, down) * s, 1.5 * period / steps


@pytest.mark.parametrize("name", TABLE)
def test_trajectory_meets_scipy(x64, name):
    """Over a period and a half, through both kinks of f: integrated up to each of them, and on from there."""
    slope, current = reference(name)
    (voltage, dt), x0 = staircase(name), TABLE[name][11]
    x, path = x0, []
    for v in voltage:
        x = solve_ivp(lambda t, x, v=v: [slope(x[0], v)], (0, dt), [x], rtol=1e-10, atol=1e-12).y[0, -1]
        path.append(x)
    path = np.array(path)
    assert INITIAL_X[name] == x0
    params = SETS[name]
    YAKOPCIC.check(params)
    _, trace = devices.simulate(YAKOPCIC, params, YAKOPCIC.init(params, x0), voltage, dt)
    np.testing.assert_allclose(trace.state.x, path, rtol=0, atol=1e-8)
    before = np.concatenate([[x0], path[:-1]])
    i = current(before, voltage)
    np.testing.assert_allclose(trace.current, i, rtol=0, atol=1e-8 * np.abs(i).max())
    assert path.max() - path.min() > 0.2  # it switched


def test_own_step_is_of_order_four_between_the_kinks(x64):
    params = SETS["miao"]
    run = jax.jit(lambda v, dt: devices.simulate(YAKOPCIC, params, YAKOPCIC.init(params, 0.35), v, dt, record=())[0].x)
    ends = {n: float(run(np.full(n, 1.0), 0.06 / n)) for n in (4, 8, 16, 256)}
    errors = np.array([abs(ends[n] - ends[256]) for n in (4, 8, 16)])
    np.testing.assert_allclose(np.log2(errors[:-1] / errors[1:]), 4, atol=0.3)


def test_loop_of_the_miao_set_opens_on_both_sides(x64):
    """Why v_p = .09 V is kept: at +.75 V the state rises only if the threshold is below that."""
    voltage, dt = staircase("miao")

    def swing(params):
        _, trace = devices.simulate(YAKOPCIC, params, YAKOPCIC.init(params, 0.11), voltage, dt)
        return float(trace.state.x.max() - trace.state.x.min())

    assert swing(SETS["miao"]) > 0.6
    assert swing(SETS["miao"].replace(v_p=0.9)) < 0.05  # it can only fall from 0.11


def test_rests_between_the_thresholds_and_leaves_both_bounds():
    params = SETS["miao"]
    v = np.array([0.09, -0.75, 0.0, 0.1, -0.8])
    np.testing.assert_array_equal(
        np.sign(YAKOPCIC.rate(params, YAKOPCIC.init(params, np.full(5, 0.4)), v).x), [0, 0, 0, 1, -1]
    )
    assert YAKOPCIC.step(params, YAKOPCIC.init(params, 0.0), 1.0, 1e-3, None).x > 0
    assert YAKOPCIC.step(params, YAKOPCIC.init(params, 1.0), -1.0, 1e-3, None).x < 1


@pytest.mark.parametrize(
    "change, message",
    [
        ({"v_p": -0.1}, "v_p = -0.1: accepted is 0 V or more"),
        ({"v_n": -0.75}, "v_n = -0.75: accepted is 0 V or more: the size of the threshold, which is at -v_n"),
        ({"a_n": -2.0}, "a_n = -2.0: accepted is more than 0 1/s"),
        ({"x_p": 1.0}, "x_p = 1.0: accepted is 0 or more, less than 1"),
        ({"alpha_p": -1.0}, "alpha_p = -1.0: accepted is 0 or more"),
    ],
)
def test_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        YAKOPCIC.check(SETS["miao"].replace(**change))
