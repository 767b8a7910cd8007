"""Short- and long-term plasticity of two devices under trains of pulses, from their physics alone.

All four protocols read the conductance between pulses; a device starts at rest with the share X0 of its range.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from memjax import devices

MODELS = ("second_order", "modular")
X0 = 0.2
WIDTH, HEIGHT = 2e-3, 1.0  # s, V of a pulse
PAIR_INTERVALS = np.geomspace(2e-3, 5.0, 40)  # s, from the end of a pulse to the start of the next
TETANUS = {"pulses": 100, "rate_Hz": 100.0}
PROBE_DELAYS = np.geomspace(1e-2, 100.0, 60)  # s
TRAINS = (5, 10, 20, 50, 100, 200)  # pulses, at TRAIN_RATE
TRAIN_RATE = 100.0  # Hz
FADE = np.geomspace(1e-3, 100.0, 60)  # s, after a train
RATES = np.array([1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 70.0, 100.0, 150.0, 200.0])  # Hz
RATE_PULSES = 50
LATER = 100.0  # s: what is left then counts as long-term


def study() -> dict:
    """Return the curves of both models: numbers and lists alone."""
    return {name: _model(devices.get(name)) for name in MODELS}


def _model(device) -> dict:
    protocols = {
        "paired_pulse": paired_pulse,
        "post_tetanic": post_tetanic,
        "short_to_long": short_to_long,
        "spike_rate": spike_rate,
    }
    out = {}
    for name, protocol in protocols.items():
        curves = jax.jit(partial(protocol, device))()
        out[name] = jax.tree.map(lambda leaf: np.asarray(leaf, dtype=float).tolist(), curves)
    return out


def _start(device):
    return device.init(device.Params(), X0)


def _g(device, state):
    return devices.conductance(device, device.Params(), state)


def _pulse(device, state):
    return device.step(device.Params(), state, HEIGHT, WIDTH, None)


def _rest(device, state, seconds):
    return device.relax(device.Params(), state, seconds)


def _train(device, n, rate):
    """Return the state just after the last of n pulses and the conductance just after each, [n]."""

    def one(state, _):
        state = _pulse(device, _rest(device, state, 1 / rate - WIDTH))
        return state, _g(device, state)

    return jax.lax.scan(one, _start(device), None, length=n)


def paired_pulse(device):
    """Facilitation: the second response over the first, against the interval."""
    start = _start(device)
    first = _pulse(device, start)

    def ratio(interval):
        second = _pulse(device, _rest(device, first, interval))
        return (_g(device, second) - _g(device, start)) / (_g(device, first) - _g(device, start))

    return {"interval_s": PAIR_INTERVALS, "ratio": jax.vmap(ratio)(jnp.asarray(PAIR_INTERVALS))}


def post_tetanic(device):
    """Potentiation after a tetanus: the response to one probe pulse, over its response before, against the delay."""
    start = _start(device)
    end, during = _train(device, TETANUS["pulses"], TETANUS["rate_Hz"])
    before = _g(device, _pulse(device, start))

    def response(delay):
        return _g(device, _pulse(device, _rest(device, end, delay))) / before

    return {"during": during / before, "delay_s": PROBE_DELAYS, "after": jax.vmap(response)(jnp.asarray(PROBE_DELAYS))}


def short_to_long(device):
    """How the conductance fades after trains of few and of many pulses, and the share of its gain that stays."""
    rest = _g(device, _start(device))

    def fade(n):
        end, _ = _train(device, n, TRAIN_RATE)
        return jax.vmap(lambda t: _g(device, _rest(device, end, t)) - rest)(jnp.append(0.0, FADE))

    gain = jnp.stack([fade(n) for n in TRAINS])
    share = gain / gain[:, :1]
    return {"time_s": FADE, "pulses": TRAINS, "share": share[:, 1:], "stays": share[:, -1]}


def spike_rate(device):
    """The change of conductance by the same number of pulses at different rates: at once, and what stays of it."""
    rest = _g(device, _start(device))

    def change(rate):
        end, _ = _train(device, RATE_PULSES, rate)
        return _g(device, end) / rest - 1, _g(device, _rest(device, end, LATER)) / rest - 1

    at_once, stays = jax.vmap(change)(jnp.asarray(RATES))
    return {"rate_Hz": RATES, "at_once": at_once, "stays": stays}
