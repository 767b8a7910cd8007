"""What the wrappers share: how a wrapped device looks through to the inner one, and draws that never meet."""

import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from memjax.devices.base import Device, fill

RECORD = (-float("inf"), float("inf"))  # bounds of a leaf that is no conducting state: noise and levels leave it alone


def wrap(device: Device, suffix: str, params: type, check: Callable, **changes) -> Device:
    """Return `device` under the name NAME+suffix, looking into params.inner, with the changed functions.

    params: the Params class, with a field `inner`.  check looks at the wrapper's own fields; the inner check follows.
    """
    inner_rate, inner_relax, inner_bounds, inner_start = device.rate, device.relax, device.bounds, device.start

    def init(params, x):
        return device.init(params.inner, initial(params, x))

    def check_both(params):
        check(params)
        if device.check is not None:
            device.check(params.inner)

    def start(params, state):
        if hasattr(state, "inner"):
            return state.replace(inner=inner_start(params.inner, state.inner))  # type: ignore[misc]
        return inner_start(params.inner, state)  # type: ignore[misc]

    same = {
        "init": init,
        "current": lambda params, state, v: device.current(params.inner, state, v),
        "step": lambda params, state, v, dt, key: device.step(params.inner, state, v, dt, key),
        "rate": inner_rate and (lambda params, state, v: inner_rate(params.inner, state, v)),
        "relax": inner_relax and (lambda params, state, dt: inner_relax(params.inner, state, dt)),
        "bounds": inner_bounds and (lambda params: inner_bounds(params.inner)),
        "start": inner_start and start,
    }
    return device._replace(
        name=f"{device.name}+{suffix}", Params=params, check=check_both, chart=None, **{**same, **changes}
    )


def _own(params: Any) -> list:
    return [value for field, value in vars(params).items() if field != "inner"]


def own_shape(params: Any) -> tuple[int, ...]:
    """Return the shape that the wrapper's own parameters have together."""
    return jnp.broadcast_shapes(*map(jnp.shape, _own(params)))


def initial(params: Any, x) -> jax.Array:
    """Return x, checked, in the shape that it has together with the wrapper's own parameters."""
    return fill(_own(params), x)


def blank(device: Device, params: Any, state: Any) -> jax.Array:
    """Return zeros of the shape and dtype of the inner devices, without the inner axes that a model may have."""
    one = jax.eval_shape(device.current, params.inner, state, 0.0)
    return jnp.zeros(one.shape, one.dtype)


def bounds_of(device: Device, params: Any, example: Any) -> tuple[Any, Any]:
    """Return the inner bounds; for a model that declares none, every leaf is a record."""
    if device.bounds is None:
        return tuple(jax.tree.map(lambda _, edge=edge: edge, example) for edge in RECORD)
    return device.bounds(params.inner)


def is_written(device: Device, params: Any, state: Any, v) -> jax.Array:
    """Return v != 0 in the rank of the devices, ready for `like`: their last axes, as in the device's own step."""
    rank = len(jax.eval_shape(device.current, params.inner, state, 0.0).shape)
    written = jnp.asarray(v) != 0
    return written.reshape((1,) * (rank - written.ndim) + written.shape) if written.ndim else written


def like(value, leaf) -> jax.Array:
    """Return a value of the devices' rank, or a scalar, ready to meet a state leaf that may have inner axes."""
    value = jnp.asarray(value)
    return value.reshape(value.shape + (1,) * (leaf.ndim - value.ndim)) if value.ndim else value


def extreme(device: Device, params: Any, state: Any, x, v) -> jax.Array:
    """Return the inner current [A] at v [V] of a fresh device at the normalised state x, in the dtype of `state`."""
    dtype = jnp.result_type(*jax.tree.leaves(state))
    return device.current(params.inner, device.init(params.inner, jnp.asarray(x, dtype)), v)


def need_key(name: str, key, when: str) -> None:
    """Raise ValueError where a device that draws got no key."""
    if key is None:
        raise ValueError(f"device {name} draws noise at every {when}: give a key, as jax.random.key(0)")


def stream(name: str) -> int:
    """Return the salt of a wrapped device's draws.

    Its whole name counts, so that the wrappers of a stack, even the same one twice, and the model draw apart.
    """
    return zlib.crc32(name.encode())
