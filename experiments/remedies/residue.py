"""Flipped bits of ADCs on the hidden array, 8-bit weights in slices: what an arithmetic residue code puts right."""

import frame
import jax
import jax.numpy as jnp
import numpy as np

from memjax import mitigation, noise, periphery, variation
from memjax.mitigation import residue
from memjax.periphery import Slicing

RATES = (1e-3, 3e-3, 6e-3, 1.2e-2)  # flipped bits a conversion
SLICING = Slicing(bits=8, cell_bits=2)  # the digits of a pair: -3 to 3
INPUT_BITS = 4
TILE = 64  # word lines
BLOCK = 32  # columns
ADC_BITS = 13  # of 64 x 15 x 3, and the sign
IMAGES = 250  # a chip is a draw of errors here: 20 chips see 5000 images
JUDGED = 2


def study(task):
    code = residue.design(BLOCK, tuple(2**b for b in range(ADC_BITS)))
    ways = {"bare": None, "residue code": code}
    few = task._replace(images=task.images[:IMAGES], labels=task.labels[:IMAGES])
    curves = {}
    for label, used in ways.items():
        values = frame.run(few, f"residue {label}", chip(used), RATES)
        curves[label] = frame.curve(values, devices=1.0 if used is None else code.devices, energy=None)
    ideal = 100 * float(chip(None)(few, jax.random.key(0), 0.0)["accuracy"])
    left = ideal - float(np.mean(curves["residue code"]["chips"][JUDGED]))
    target = f"within .3 point at {RATES[JUDGED]:g} flips a conversion, <= 12.5 % more devices"
    met = left <= 0.3 and code.devices <= 1.125
    return {
        "title": f"flipped bits, {ADC_BITS}-bit ADCs",
        "axis": {"label": "flipped bits a conversion", "values": list(RATES), "log": True},
        "ideal": ideal,
        "curves": curves,
        "judged": [frame.judge(ideal, curves, "bare", "residue code", JUDGED, target, met)],
        "code": {"modulus": code.modulus, "checks": code.checks, "table_bits": code.table_bits},
        "lost": True,
        "second": {"label": "share of blocks that are wrong", "value": "after"},
    }


def chip(code):
    """Return the chip whose hidden array is read in slices through ADCs that flip bits, and corrected by a code."""

    def evaluate(task, key, rate):
        hidden, output = task.weights
        top, scale = SLICING.bounds[1], 2**INPUT_BITS - 1
        digits = periphery.slice_weights(jnp.round(hidden * top).astype(jnp.int32), SLICING)
        digits = digits[0] - digits[1]  # [rows, slices, cols]
        blocks = digits.reshape(len(hidden), -1, BLOCK)
        built = blocks if code is None else residue.encode(code, blocks)
        rows = -(-len(hidden) // TILE) * TILE
        built = jnp.pad(built, ((0, rows - len(hidden)), (0, 0), (0, 0))).reshape(-1, TILE, *built.shape[1:])
        wrong = {}

        def read(x, power):
            whole = jnp.round(x * scale)  # 4-bit inputs
            tiles = jnp.pad(whole, ((0, 0), (0, rows - x.shape[-1]))).reshape(len(x), -1, TILE)
            exact = jnp.einsum("xrm,rmbc->xrbc", tiles, built.astype(x.dtype)).astype(jnp.int32)  # below 2^24
            y = flip(exact, rate, variation.named_key(key, "flips"))
            value = y if code is None else residue.decode(code, y).value
            wrong["before"] = jnp.mean((y != exact)[..., :BLOCK].any(-1).astype(x.dtype))
            wrong["after"] = jnp.mean((value != exact[..., :BLOCK]).any(-1).astype(x.dtype))
            summed = jnp.sum(value, axis=1, dtype=jnp.int32).reshape(len(x), SLICING.slices, -1)
            return mitigation.Seen(periphery.recombine(summed.astype(x.dtype), SLICING) / (top * scale), None)

        second = mitigation.reader(frame.ideal_layers(task)[1])
        accuracy = frame.accuracy(task, read, second, variation.named_key(key, "reads"))
        return {"accuracy": accuracy, **wrong}

    return evaluate


def flip(y, rate, key):
    """Flip one bit, any of the ADC's, of a share `rate` of the conversions."""
    u = noise.uniform(key, y.shape)
    bit = jnp.floor(u / jnp.maximum(jnp.asarray(rate, u.dtype), 1e-30) * ADC_BITS).astype(jnp.int32)
    return jnp.where(u < rate, y ^ (1 << jnp.minimum(bit, ADC_BITS - 1)), y)
