"""A study that the tests run in processes of their own: `python monte_carlo_study.py JSON`.

Every process prints a line for each finished batch, and the first one writes the values to `out`.
"""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from memjax import crossbar, devices, monte_carlo, noise, variation

SEED = 42
IMAGES = np.linspace(0, 1, 20 * 16, dtype=np.float32).reshape(20, 16) ** 2


def plastic(key, rate=0.1):
    """Write an array of noisy, spread devices 20 times, with spikes on random lines."""
    device, shape = devices.with_c2c_noise(devices.get("exponential")), (2, 16, 12)
    inner = variation.sample_params(devices.get("exponential").Params(), {"g_max": 0.2, "step_up": 0.2}, shape, key)
    params = device.Params(inner, 0.3)
    xbar = crossbar.create(device, shape[1:], 8, params=params, key=key)

    def step(xbar, i):
        k_lines, k_write = jax.random.split(jax.random.fold_in(key, i))
        lines = noise.uniform(k_lines, (16, 12)) - 0.5
        pulses = jnp.where(jnp.abs(lines) < 0.5 * rate, jnp.sign(lines), 0.0)
        xbar, events = crossbar.write(xbar, jnp.stack([pulses, -pulses]), 1e-8, k_write, max_pulses=1)
        return xbar, events.pulse

    xbar, pulses = jax.lax.scan(step, xbar, jnp.arange(20))
    scores = crossbar.read(xbar, 0.1 * jnp.asarray(IMAGES), noise=0.02, key=noise.fold_in(key, "read"))
    return {
        "g": 1e6 * crossbar.conductance(xbar),
        "scores": 1e6 * scores,
        "pulses": jnp.sum(pulses),
        "up": scores[-1, 0] > 0,
    }


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    monte_carlo.start_hosts(wanted.get("coordinator"), wanted.get("processes"), wanted.get("process_id"))

    def tell(at):
        print("done", at.done, flush=True)

    values = monte_carlo.run(
        plastic,
        wanted["n"],
        jax.random.key(SEED),
        batch_size=wanted["batch_size"],
        block=wanted.get("block"),
        checkpoint_dir=wanted.get("folder"),
        resume=wanted.get("resume", False),
        save_every=wanted.get("save_every", 0.0),
        progress=tell,
    )
    print("devices", jax.local_device_count(), "processes", jax.process_count(), flush=True)
    if jax.process_index() == 0:
        np.savez(wanted["out"], **values)
