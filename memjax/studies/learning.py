"""Every sampled chip learns for itself, in situ and online; how well does it do in the end?"""

from typing import Any

import jax
import jax.numpy as jnp

from memjax import energy, network, variation
from memjax import learning as online
from memjax.config import Config
from memjax.studies._study import Study
from memjax.training import Samples, augment, order, parts, rates

SOURCES = ("d2d", "faults", "noise")
UNITS = {
    "accuracy": ("1", "share of test images classified correctly, after learning"),
    "cross_entropy": ("nat", "mean cross entropy of the softmax output with the labels of these images"),
    "pulses": ("1", "pulses of all its learning"),
    "training_energy": ("J", "E_max of all its learning, the forward passes included"),
}


def study(config: Config, samples: Samples | None, weights: tuple[Any, Any] | None) -> Study:
    """Return the study of a network that learns; `weights` are not used. Raises ValueError without samples.

    The samples come in the order of `memjax train`. The source "noise" is C2C and read noise together; first weights go
    with "d2d".
    """
    if samples is None:
        raise ValueError("studies: a network that learns needs samples, and none are given")
    nominal, wanted = parts(config), config.monte_carlo
    moved = augment(config)
    n, epochs = len(samples.train_y), config.learning.epochs
    turns = jnp.concatenate([jnp.asarray(order(config, n, epoch)) for epoch in range(epochs)])
    schedule = rates(config, n * epochs)

    def evaluate(keys, severity, train_x, train_y, test_x, test_y, turns, schedule):
        made = nominal.at(severity)

        def make(keys):
            return network.EdgeNetwork(*made, key=keys["d2d"], faults_key=keys["faults"])

        learner, init = network.functional(make, keys)
        step = online.one_chip(learner, moved)
        state, record = step(init(keys), keys["noise"], train_x, train_y, turns, schedule, 0)
        if wanted.age and nominal.nonidealities.ages:
            state = learner.age(state, wanted.age, variation.named_key(keys["noise"], "rest"))
        y = learner.predict(learner.prepare(state), online.scale(test_x), jax.random.fold_in(keys["noise"], 2**31))
        accuracy = jnp.mean(online.hits(y, test_y).astype(y.dtype))
        loss = online.cross_entropy(made.physics.output_gain * y, test_y)
        return {"accuracy": accuracy, "cross_entropy": loss} | _spent(record, y.dtype)

    args = (samples.train_x, samples.train_y, samples.test_x[: wanted.images], samples.test_y[: wanted.images])
    return Study(evaluate, SOURCES, (*map(jnp.asarray, args), turns, schedule), "accuracy", UNITS)


def _spent(record: online.Record, dtype: Any) -> dict[str, Any]:
    """Price the events of all samples [S]: as floats, for they are more than an int32 counts."""
    counts = {
        name: jnp.sum(getattr(record.inference, name) + getattr(record.training, name), dtype=dtype)
        for name in energy.FIELDS
    }
    return {"pulses": counts["pulse"], "training_energy": energy.priced(energy.Events(**counts))}
