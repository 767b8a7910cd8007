"""Arrhenius temperature dependence of everything that takes time."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from memjax.devices._wrappers._common import like, wrap
from memjax.devices.base import Device, Leaf, require

BOLTZMANN = 8.617333262e-5  # eV/K


def arrhenius(e_a, temperature, reference) -> jax.Array:
    """Return how much faster a process of activation energy e_a [eV] runs at a temperature than at a reference, in K.

    exp(-e_a / k (1 / T - 1 / T0)).  From 25 to 85 degrees Celsius: 1303 for 1.1 eV, 679 for 1.0 eV, 50 for 0.6 eV.
    """
    # As one fraction: the difference of two inverse temperatures would cancel in float32.
    return jnp.exp(e_a / BOLTZMANN * ((temperature - reference) / (temperature * reference)))


@cache
def with_temperature(device: Device) -> Device:
    """Let the time and the conductance of a device follow temperature, by Arrhenius's law.

    state' = step(s, v, dt a),  rate' = a rate,  relax(dt a),  a = exp(-e_a / k (1 / T - 1 / T0))
    i = i_inner exp(-e_g / k (1 / T - 1 / T0))
    So what takes time is activated: switching of ODE models, decay, drift and noise processes inside.  A pulse of a
    programmed model takes no time: it stays as it is, only its relaxation is activated.  Records such as a flux run
    with the scaled time too.

    Params: inner, temperature T (K), reference T0 (K), at which the inner parameters hold, e_a (eV), and e_g (eV), of
    conduction: 0 for a metallic filament, below 0 where resistance rises with temperature.  All are traced; T = T0, or
    e_a = e_g = 0, gives the inner device exactly.
    """

    @struct.dataclass
    class Params:
        inner: Any = struct.field(default_factory=device.Params)
        temperature: Leaf = 300.0
        reference: Leaf = 300.0
        e_a: Leaf = 1.0
        e_g: Leaf = 0.0

    inner_rate, inner_relax = device.rate, device.relax

    def factor(params):
        return arrhenius(params.e_a, params.temperature, params.reference)

    def current(params, state, v):
        scale = arrhenius(params.e_g, params.temperature, params.reference)
        return device.current(params.inner, state, v) * scale

    def step(params, state, v, dt, key):
        return device.step(params.inner, state, v, dt * factor(params), key)

    def rate(params, state, v):
        return jax.tree.map(lambda r: r * like(factor(params), r), inner_rate(params.inner, state, v))  # type: ignore[misc]

    def relax(params, state, dt):
        return inner_relax(params.inner, state, dt * factor(params))  # type: ignore[misc]

    def check(params):
        require(params, "temperature", lambda p: p.temperature > 0, "more than 0 K")
        require(params, "reference", lambda p: p.reference > 0, "more than 0 K")
        require(params, "e_a", lambda p: p.e_a >= 0, "0 eV or more")

    changes = {"current": current, "step": step, "rate": inner_rate and rate, "relax": inner_relax and relax}
    return wrap(device, "temperature", Params, check, **changes)
