"""How fast a model is: the frequency at which its hysteresis loop is open."""

import jax
import jax.numpy as jnp

from memjax.devices.base import Device

POINTS = 64  # of the midpoint rule; f is smooth, or has kinks: 1e-3 is enough to choose a frequency by


def characteristic_frequency(device: Device, params, v_peak) -> jax.Array:
    """Return the frequency [Hz] whose period a held v_peak needs to take the state through half of its range.

    The period is the integral of ds / |ds/dt| along the states init(x) from x = 1/4 to 3/4 under +v_peak, or back under
    -v_peak where that takes longer; a unipolar device is only taken up.  A periodic drive much slower than this moves
    it from bound to bound, one much faster leaves it almost still.  0 where v_peak never takes it that far: below a
    threshold, or where a volatile device settles before.

    params: leaves [] or [...]; v_peak in V, > 0, [] or of the leaves' shape.  Result: their shape together.
    Raises ValueError on a device without `rate`: a pulsed model has no time but its pulses.
    """
    if device.rate is None:
        raise ValueError(f"device {device.name!r} has no rate: accepted is a model that is an ODE")

    def pace(x, sign):
        """Time a unit of x [s]: of the slowest state variable that x moves."""
        state, along = jax.jvp(lambda x: device.init(params, x), (x,), (jnp.ones_like(x),))
        rate = device.rate(params, state, sign * v_peak)  # type: ignore[misc]

        def time(d, r):
            forward = jnp.maximum(sign * jnp.sign(d) * r, 0.0)  # 0 where it does not go that way: for ever
            return jnp.where(d == 0, 0.0, jnp.abs(d) / forward)

        times = jax.tree.leaves(jax.tree.map(time, along, rate))
        return jnp.max(jnp.stack(jnp.broadcast_arrays(*times)), axis=0)

    dtype = jnp.result_type(float, v_peak, *jax.tree.leaves(params))
    x = 0.25 + 0.5 * (jnp.arange(POINTS, dtype=dtype) + 0.5) / POINTS
    signs = (1,) if device.switching == "unipolar" else (1, -1)
    duration = [jnp.sum(jax.vmap(lambda x, s=s: pace(x, s))(x), axis=0) * (0.5 / POINTS) for s in signs]
    return 1 / jnp.max(jnp.stack(duration), axis=0)
