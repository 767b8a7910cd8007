"""How each rule turns the same weight changes into pulses, and the two numbers of it that are tuned."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from memjax import config as configs
from memjax import energy, learning, network, programming, training
from memjax.config import Config
from memjax.variation import named_key

PACK = 50  # samples whose events are summed on the device, as int32; a chip's samples are a multiple of it


class Rule(NamedTuple):
    """A programmer, where the search for its two numbers begins, and what of it is fixed.

    rate    learning rate of the output layer; that of the hidden layer is the same, or `second` times it
    second  what is tuned beside it: a field of the programmer's Params, or "hidden", the hidden layer's relative rate
    value   of `second`, and `factor` between the values that the coarse search tries
    shift   Tiki-Taka: A starts from its devices' symmetry points, and not from mid-range
    """

    programmer: str
    rate: float
    second: str
    value: float
    factor: float = 3.0
    fixed: tuple[tuple[str, Any], ...] = ()
    shift: bool = False


_TAKA = (("lines", 1),)  # a line of every tile a sample, as the accumulator has it
RULES = {
    "accumulator": Rule("accumulator", 0.03, "fire_at", 2.0, 2.0),
    "write-verify": Rule("write_verify", 0.03, "tolerance", 0.02, 2.0, (("budget", 1),)),
    "mixed precision": Rule("mixed_precision", 0.03, "hidden", 1.0, fixed=(("every", 1000),)),
    "Tiki-Taka v2, zero-shifted": Rule("tiki_taka", 0.3, "transfer", 0.1, fixed=_TAKA, shift=True),
    "Tiki-Taka v2, from mid-range": Rule("tiki_taka", 0.3, "transfer", 0.1, fixed=_TAKA),
    "stochastic pulses": Rule("stochastic", 0.03, "hidden", 1.0),
    "pulse train": Rule("pulse_train", 0.1, "hidden", 1.0),
    "Manhattan (sign)": Rule("sign", 0.03, "hidden", 1.0, fixed=(("threshold", 0.005),)),
}
# Devices: the file's, whose step falls exponentially, and one whose step falls to zero at the bound ahead.
DEVICES = {
    "exponential": (),
    "soft bounds": ("device.name=soft_bounds", "device.params={step_up: 0.015625, step_down: 0.015625}"),
}


def settings(path: Any, device: str, overrides: tuple[str, ...] = ()) -> Config:
    """Return the study's config with a device of `DEVICES`."""
    return configs.load(path, [*DEVICES[device], *overrides])


def parts(config: Config, rule: Rule) -> training.Parts:
    """Return the parts of the network that learns by a rule."""
    made = training.parts(config.model_copy(update={"learning": config.learning.model_copy(
        update={"programmer": rule.programmer})}))  # fmt: skip
    return made._replace(settings=made.settings.replace(**dict(rule.fixed)))


def learn(rule: Rule, made: training.Parts, key: Array, rate: Any, second: Any, data: tuple) -> dict[str, Any]:
    """Let the chip with this key learn data = (images, labels, test images, test labels, order, schedule).

    Returns its accuracy on the test images and its events, one count for every `PACK` samples [S / PACK].
    """
    x, y, test_x, test_y, order, schedule = data
    if rule.second != "hidden":
        made = made._replace(settings=made.settings.replace(**{rule.second: second}))

    def make(key):
        net = network.EdgeNetwork(*made, key=key)
        for name in ("hidden", "output") if rule.shift else ():
            layer, own = getattr(net, name), named_key(key, f"zero shift {name}")
            shifted = programming.tiki_taka.zero_shift(layer.volatile.get_value(), made.physics.write_time, own)
            layer.volatile.set_value(shifted)
        return net

    learner, init = network.functional(make)
    rates = (schedule * rate * (second if rule.second == "hidden" else 1.0), schedule * rate)
    state, record = learning.one_chip(learner)(init(key), key, x, y, order, rates, 0)
    out = learner.predict(learner.prepare(state), learning.scale(test_x), jax.random.fold_in(key, 2**31))
    found = {"accuracy": jnp.mean(learning.hits(out, test_y).astype(out.dtype))}
    for kind, events in (("inference", record.inference), ("learning", record.training)):
        found |= {f"{kind} {name}": _packed(getattr(events, name), len(order)) for name in energy.FIELDS}
    return found


def _packed(counts: Array | int, samples: int) -> Array:
    return jnp.sum(jnp.broadcast_to(counts, (samples,)).reshape(-1, PACK), axis=1, dtype=jnp.int32)


def ledger(values: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Sum the events of chips [chips, S / PACK] -> {inference, learning} x {class: mean count of a chip}."""
    return {
        kind: {name: float(np.sum(values[f"{kind} {name}"], dtype=np.int64) / len(values["accuracy"]))
               for name in energy.FIELDS}
        for kind in ("inference", "learning")
    }  # fmt: skip


def spent(counts: dict[str, dict[str, float]], samples: int) -> dict[str, Any]:
    """Price a chip's events -> pulses of a chip, and {e_min, e_max} [J] a sample, with and without its forward pass."""
    forward, learned = counts["inference"], counts["learning"]
    both = {name: forward[name] + learned[name] for name in energy.FIELDS}
    return {
        "pulses": learned["pulse"] + learned["refresh"],
        "training": {name: energy.joules(both)[name] / samples for name in ("e_min", "e_max")},
        "writing": {name: energy.joules(learned)[name] / samples for name in ("e_min", "e_max")},
        "events": {name: learned[name] / samples for name in energy.FIELDS},
    }
