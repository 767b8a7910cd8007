"""Soft-bounds devices in plain NumPy, one at a time: what the programmers' tests are held against."""

import jax.numpy as jnp
import numpy as np

from memjax import crossbar, devices

SOFT = devices.get("soft_bounds")
SHAPE, TILE, DT = (13, 5), (6, 4), 1e-8
STEP = 1 / 64


class Loop:
    """The devices of an array, written pulse by pulse."""

    def __init__(self, polarity=2, stuck=0.1, x=None, off=(), seed=0):
        rng = np.random.default_rng(seed)
        self.polarity, logical = polarity, (polarity, *SHAPE)
        self.step_up = rng.uniform(0.5, 1.5, logical) * STEP
        self.faults = rng.choice([0, 1, -1], logical, p=[1 - stuck, stuck / 2, stuck / 2]).astype(np.int8)
        x = rng.random(logical) if x is None else np.full(logical, x)
        self.x = np.where(self.faults > 0, 1.0, np.where(self.faults < 0, 0.0, x))
        self.off, self.pulses = off, 0
        xbar = crossbar.create(
            SOFT,
            SHAPE,
            TILE,
            polarity=polarity,
            params=SOFT.Params(step_up=jnp.asarray(self.step_up)),
            x=jnp.asarray(x),
            faults=self.faults,
        )
        for tile in off:
            xbar = crossbar.set_active(xbar, *tile, False)
        self.xbar = crossbar.cache(xbar)

    def active(self, i, j):
        return (i // TILE[0], j // TILE[1]) not in self.off

    def weight(self, i, j):
        if not self.active(i, j):
            return 0.0
        return self.x[0, i, j] - self.x[1, i, j] if self.polarity == 2 else self.x[0, i, j]

    def weights(self):
        return np.array([[self.weight(i, j) for j in range(SHAPE[1])] for i in range(SHAPE[0])])

    def device(self, p, i, j, scale):
        """Give one device a pulse of a signed scale."""
        x = self.x[p, i, j]
        if self.faults[p, i, j] == 0:
            size = 2 * self.step_up[p, i, j] * (1 - x) if scale > 0 else 2 * STEP * x
            self.x[p, i, j] = min(max(x + scale * size, 0.0), 1.0)

    def write(self, i, j, signed, sides="both", one_pulse=False):
        """Give a weight a signed number of pulses, the last in part; or one of that amplitude."""
        if not self.active(i, j):
            return
        per_device = [signed] if self.polarity == 1 else [signed, -signed]
        if sides == "one" and self.polarity == 2:
            per_device = [max(signed, 0), max(-signed, 0)]
        for p, wanted in enumerate(per_device):
            parts = [abs(wanted)] if one_pulse else [1.0] * int(abs(wanted)) + [abs(wanted) % 1]
            for part in parts:
                if part > 0:
                    self.device(p, i, j, np.sign(wanted) * part)
                    self.pulses += 1


def states(xbar):
    """Return the normalised states [P, rows, cols], inactive tiles included."""
    everywhere = xbar.replace(active=jnp.ones_like(xbar.active))
    return (np.asarray(crossbar.conductance(everywhere)) - 1e-6) / 99e-6


def drive(turn, seed=1, size=0.05):
    """Return one call's factors: a [13], b [5]."""
    rng = np.random.default_rng((seed, turn))
    return rng.normal(size=13) * rng.integers(0, 2, 13), rng.normal(size=5) * size
