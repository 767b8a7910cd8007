"""A network read through bare arrays is the edge network; readers of single-ended arrays see signed weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import crossbar, devices, mitigation, network, programming


def edge(noise=None, key=0):
    device = devices.get("exponential")
    arch = network.Architecture(device=device, sizes=(30, 20, 4), tile=(16, 16))
    physics = network.Physics(read_noise=noise)
    settings = programming.settings(programming.get("accumulator"), 0.01)
    return network.EdgeNetwork(
        arch, network.Chip(device.Params(), init_gain=6.0), physics, settings, key=jax.random.key(key)
    )


def test_a_network_of_bare_readers_is_the_edge_network():
    net = edge()
    x = jax.random.uniform(jax.random.key(1), (7, 30))
    y = mitigation.respond(*map(mitigation.reader, net.arrays()), x, jax.random.key(2))
    assert np.ptp(np.asarray(y)) > 0.1
    np.testing.assert_allclose(y, net(x, jax.random.key(2)), rtol=1e-5, atol=1e-6)


def test_read_noise_has_the_edge_networks_statistics():
    net, n = edge(0.05), 4000
    x = jnp.broadcast_to(jax.random.uniform(jax.random.key(1), (30,)), (n, 30))
    ours = mitigation.respond(*(mitigation.reader(a, 0.05) for a in net.arrays()), x, jax.random.key(2))
    theirs = net(x, jax.random.key(3))
    sd = np.std(theirs, axis=0)
    assert sd.min() > 0.01
    np.testing.assert_allclose(np.mean(ours, 0), np.mean(theirs, 0), atol=5 * sd.max() * (2 / n) ** 0.5)
    np.testing.assert_allclose(np.std(ours, axis=0), sd, rtol=5 * n**-0.5)


@pytest.mark.parametrize("polarity", [1, 2])
def test_a_reader_sees_signed_weights(polarity):
    w = np.random.default_rng(0).uniform(-1, 1, (9, 5)).astype(np.float32)
    x = np.stack([0.5 + 0.5 * w, 0.5 - 0.5 * w][:polarity])
    xbar = crossbar.create(devices.get("exponential"), (9, 5), 4, polarity=polarity, x=x)
    v = np.random.default_rng(1).uniform(0, 1, (3, 9)).astype(np.float32)
    seen = mitigation.reader(xbar, 0.02)(jnp.asarray(v), jnp.asarray(v * v))
    np.testing.assert_allclose(seen.value, v @ w, rtol=1e-4, atol=1e-5)
    # A single-ended weight has one device of half the range of a pair.
    want = 0.02 * np.sqrt((v * v).sum(-1, keepdims=True)) * (2 if polarity == 1 else 2**0.5)
    np.testing.assert_allclose(seen.sd, np.broadcast_to(want, (3, 5)), rtol=1e-4)


def test_the_reference_of_single_devices_does_not_change_with_what_is_switched_off():
    """Devices in the middle are weights of zero, whatever tiles are off beside them; stuck ones do not count."""
    faults = np.zeros((1, 8, 4), np.int8)
    faults[0, 4:] = 1
    xbar = crossbar.create(devices.get("exponential"), (8, 4), 4, polarity=1, x=0.5, faults=jnp.asarray(faults))
    off = crossbar.set_active(xbar, 1, 0, False)
    x = jnp.asarray(np.arange(8) < 4, jnp.result_type(float))
    for array in (xbar, off):
        np.testing.assert_allclose(mitigation.reader(array)(x, x * x).value, 0.0, atol=1e-5)
