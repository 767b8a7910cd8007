"""Figures of many chips show the numbers of `memjax.statistics`."""

import numpy as np
import pytest

from memjax import plot, statistics

Y = np.array([0.90, 0.92, np.nan, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99])


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_distribution():
    top, low = plot.chip_distribution(Y, "test accuracy", threshold=0.955, bins=2, title="plain").axes
    assert [bar.get_height() for bar in top.patches] == [3, 5]
    assert top.get_title() == "plain: 8 chips, 1 without a value"
    # The chip without a value is not known to pass: 4 of 9.
    assert labels(top) == ["44.4 % ≥ 0.955"]
    assert low.get_xlabel() == "test accuracy"
    ecdf = low.lines[0].get_xydata()
    np.testing.assert_allclose(ecdf[-8:, 1], np.arange(1, 9) / 8)
    np.testing.assert_allclose(ecdf[-8:, 0], Y[np.isfinite(Y)])
    assert labels(low) == ["quartiles", "mean", "worst: chip 0"]
    box = low.collections[0].get_paths()[0].get_extents()
    np.testing.assert_allclose([box.x0, box.x1], np.quantile(Y[np.isfinite(Y)], [0.25, 0.75]))


def test_distribution_of_what_should_be_small():
    _, low = plot.chip_distribution(Y, "error", direction="below").axes
    assert labels(low)[-1] == "worst: chip 8"


def test_yield_curve_is_the_interval_at_every_threshold():
    (ax,) = plot.yield_curve(np.stack([Y, Y - 0.05]), "required accuracy", at=0.955, labels=["a", "b"]).axes
    found = statistics.yield_interval(Y, 0.955)
    wanted = f"a: 44.4 % ({100 * found.low:.1f} to {100 * found.high:.1f})"
    assert labels(ax)[:2] == ["95 % interval", wanted]
    first, second, mark = ax.lines
    assert mark.get_xdata()[0] == 0.955
    x, shares = first.get_data()
    np.testing.assert_allclose(shares, [100 * np.mean(Y >= t) for t in x], rtol=1e-12)
    assert np.all(second.get_ydata() <= shares)
    band = ax.collections[0].get_paths()[0].get_extents()
    assert band.y1 == pytest.approx(100 * statistics.interval(8, 9).high)
    assert band.y0 == pytest.approx(0.0)


def indices(first=(0.6, 0.1), total=(0.8, 0.3)):
    first, total = np.array(first), np.array(total)
    ends = (first - 0.1, first + 0.2), (total - 0.1, total + 0.1)
    return statistics.Indices(("D2D", "C2C"), first, *ends[0], total, *ends[1], 1.0, 0.95, 100, 0)


def test_sobol_bars():
    fig = plot.sobol_bars(indices(), title="accuracy")
    (ax,) = fig.axes
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [60, 10, 80, 30])
    lines = np.concatenate([each.get_segments() for each in ax.collections])
    np.testing.assert_allclose(lines[:, :, 0], [[50, 80], [0, 30], [70, 90], [20, 40]], atol=1e-9)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["D2D", "C2C"]
    assert ax.yaxis_inverted()
    assert len(plot.sobol_bars(indices(), kind="total").axes[0].patches) == 2


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plot.chip_distribution([np.nan], "y"), "none of 1 chips"),
        (lambda: plot.chip_distribution([1.0], "y", direction="up"), "above, below"),
        (lambda: plot.yield_curve([np.nan], "y"), "0 finite values"),
        (lambda: plot.yield_curve([1.0, 2.0], "y", labels=["a", "b"]), "2 labels for 1 curves"),
        (lambda: plot.sobol_bars(indices(), kind="second"), "both, first, total"),
        (lambda: plot.sobol_bars(indices(first=(np.nan, 0.0))), "no variance"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
