"""The patch layer: against plain loops, against the unfolded algebra, and that its filters learn in place."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import crossbar, datasets, devices, energy, neurons, patches, plasticity, programming, variation
from memjax.patches import Geometry
from memjax.plasticity import wta_hebb

GEOMETRIES = {
    "the default on digits": Geometry((28, 28, 1)),
    "a stride that leaves pixels over": Geometry((11, 10, 1), size=4, stride=3, pool=(2, 2)),
    "padding and colours": Geometry((6, 7, 3), size=3, stride=2, padding=1, pool=(2, 3)),
    "one position": Geometry((4, 4, 2), size=4, stride=5, pool=(1, 1)),
}
SMALL = Geometry((14, 14, 1), size=5, stride=3, pool=(2, 2))
K = 12
FLOAT = np.dtype(jnp.result_type(float))


@pytest.fixture(scope="module")
def digits():
    """Real digits at half their size [400, 196] in [0, 1]."""
    x = datasets.load("digits", n_train=400).train_x.astype(FLOAT) / 255
    return x.reshape(400, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(400, 196)


@pytest.fixture(scope="module")
def front(digits):
    return patches.whitening(jnp.asarray(cut_by_loops(SMALL, digits).reshape(-1, 25)))


def cut_by_loops(geometry, images):
    images = np.asarray(images)
    pad = geometry.padding
    x = images.reshape(-1, *geometry.image)
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    rows = [k for k in range(0, x.shape[1], geometry.stride) if k + geometry.size <= x.shape[1]]
    columns = [k for k in range(0, x.shape[2], geometry.stride) if k + geometry.size <= x.shape[2]]
    out = [[x[:, r : r + geometry.size, c : c + geometry.size] for c in columns] for r in rows]
    out = np.moveaxis(np.asarray(out), 2, 0)
    return out.reshape(*images.shape[:-1], len(rows), len(columns), -1)


def ideal(weights):
    """Return an array of linear devices that holds these weights exactly."""
    device = devices.get("exponential")
    params = jax.tree.map(weights.dtype.type, device.Params(beta_up=0.0, beta_down=0.0))
    xbar = crossbar.create(device, weights.shape, params=params)
    return crossbar.set_state(xbar, 0.5 + 0.5 * jnp.stack([weights, -weights]))


def constants(front, **changed):
    return patches.Constants(front, programming.Params(jnp.asarray(1 / 64, front.matrix.dtype)), **changed)


# --- geometry and patches ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_patches_and_pooling_equal_loops(geometry):
    rng = np.random.default_rng(0)
    images = rng.random((2, 3, geometry.n_pixels), np.float32)
    wanted = cut_by_loops(geometry, images)
    assert wanted.shape == (2, 3, *geometry.positions, geometry.n_inputs)
    cut = jax.jit(functools.partial(patches.cut, geometry))
    np.testing.assert_array_equal(cut(jnp.asarray(images)), wanted)

    spikes = rng.integers(0, 16, (2, *geometry.positions, 5)).astype(np.float32)
    pooled = np.zeros((2, *geometry.pool, 5))
    down, across = geometry.cells()
    for r in range(geometry.positions[0]):
        for c in range(geometry.positions[1]):
            row = next(k for k in range(geometry.pool[0]) if down[k] <= r < down[k + 1])
            column = next(k for k in range(geometry.pool[1]) if across[k] <= c < across[k + 1])
            pooled[:, row, column] += spikes[:, r, c]
    found = patches.pool(geometry, jnp.asarray(spikes))
    assert found.shape == (2, geometry.n_features(5))
    np.testing.assert_array_equal(found, pooled.reshape(2, -1))


def test_the_cells_of_the_default_grid_are_equal():
    geometry = GEOMETRIES["the default on digits"]
    assert (geometry.positions, geometry.n_inputs, geometry.n_features(64)) == ((12, 12), 36, 1024)
    assert geometry.cells() == ((0, 3, 6, 9, 12),) * 2
    assert Geometry((32, 32, 3)).cells() == ((0, 4, 7, 10, 14),) * 2


def test_random_patches_are_of_the_image_and_from_everywhere(x64):
    geometry = Geometry((4, 5, 2), size=3, padding=1, pool=(1, 1))
    image = jnp.arange(1, 41, dtype=jnp.float32)
    found = np.asarray(patches.draw(geometry, image, 400, jax.random.key(0)))
    every = cut_by_loops(geometry._replace(stride=1), np.asarray(image)).reshape(-1, 18)
    which = [np.flatnonzero((every == patch).all(axis=1)) for patch in found]
    assert {len(k) for k in which} == {1}
    assert {int(k[0]) for k in which} == set(range(20))


@pytest.mark.parametrize(
    "geometry, complaint",
    [
        (Geometry((28, 28, 1), size=0), "sizes of at least 1"),
        (Geometry((28, 28, 1), padding=-1), "padding of at least 0"),
        (Geometry((28, 28)), "height, width, channels"),  # type: ignore[arg-type]
        (Geometry((5, 28, 1)), "size = 6 does not fit an image of .5, 28."),
        (Geometry((8, 28, 1)), "pool = .4, 4. has more cells than there are positions, .2, 12."),
    ],
)
def test_sizes_that_do_not_fit_are_refused(geometry, complaint):
    with pytest.raises(ValueError, match=complaint):
        geometry.check()


def test_images_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"flat image of 784 pixels \(28, 28, 1\)"):
        patches.cut(Geometry((28, 28, 1)), jnp.zeros((2, 28, 28)))


# --- whitening and folding --------------------------------------------------------------------------------------------


def test_whitening_has_its_closed_form(digits, x64):
    p = cut_by_loops(SMALL, digits).reshape(-1, 25).astype(np.float64)
    n = p - p.mean(axis=1, keepdims=True)
    seen = n.std(axis=1) > 0.02
    assert 0.3 < seen.mean() < 0.95  # blank patches are no part of it
    n = n[seen] / np.sqrt(n[seen].var(axis=1, keepdims=True) + 0.02**2)
    front = patches.whitening(jnp.asarray(p), epsilon=0.3, floor=0.02)
    np.testing.assert_allclose(patches.normalise(jnp.asarray(p[seen]), 0.02), n, rtol=0, atol=1e-12)
    c = n.T @ n
    c *= 25 / np.trace(c)
    w = np.asarray(front.matrix)
    np.testing.assert_allclose(w, w.T, rtol=0, atol=1e-12)
    np.testing.assert_allclose(w @ np.ones(25), 0, rtol=0, atol=1e-10)
    # (C + epsilon) W W = P, the projection that takes the mean.
    projection = np.eye(25) - np.ones((25, 25)) / 25
    np.testing.assert_allclose((c + 0.3 * np.eye(25)) @ w @ w, projection, rtol=0, atol=1e-9)


def test_folded_filters_on_raw_pixels_equal_whitened_patches(digits, x64):
    """The array sees raw pixels; the answer is that of filters on normalised, whitened patches, to rounding."""
    rng = np.random.default_rng(1)
    p = jnp.asarray(cut_by_loops(SMALL, digits[:20]).astype(np.float64))
    front = patches.whitening(p.reshape(-1, 25))
    w = rng.normal(size=(25, K)) * 0.02
    xbar = ideal(patches.fold(front, jnp.asarray(w)))
    set_up = constants(front)
    filters = patches.create(patches.Layer(SMALL, "stochastic"), set_up, xbar)

    @jax.jit
    def answer(filters):
        columns, _ = patches._layer.read_columns(set_up, filters.xbar, None)
        return columns, patches.respond(set_up, filters.replace(columns=columns), p, None)

    _, found = answer(filters)
    z = patches.normalise(p, front.floor) @ front.matrix
    np.testing.assert_allclose(found, front.gain * (z @ w), rtol=0, atol=1e-10)
    # Without its mean, which no response sees, a filter comes back.
    np.testing.assert_allclose(patches.unfold(front, crossbar.weights(xbar)), w - w.mean(axis=0), rtol=0, atol=1e-10)

    # Where devices are stuck the columns no longer sum to zero: what the mean contributes is still taken out exactly.
    stuck = jnp.asarray(rng.choice([-1, 0, 1], (2, 25, K), p=[0.1, 0.8, 0.1]), jnp.int8)
    device, x = xbar.device, 0.5 + 0.5 * jnp.stack([crossbar.weights(xbar), -crossbar.weights(xbar)])
    broken = crossbar.create(device, (25, K), params=xbar.params, x=x, faults=stuck)
    columns, found = answer(filters.replace(xbar=broken))
    assert np.abs(columns).max() > 0.5
    wanted = patches.normalise(p, front.floor) @ crossbar.weights(broken)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


def test_learning_folded_filters_is_learning_on_whitened_patches(digits, x64):
    """Competition of w on z / |z|, by a NumPy loop, and the array's own rule: the same winners, and f = gain W w."""
    rng = np.random.default_rng(2)
    p = jnp.asarray(cut_by_loops(SMALL, digits[:40]).reshape(-1, 25).astype(np.float64))
    front = patches.whitening(p)
    set_up, layer = constants(front, handicap=0.1, memory=0.01), patches.Layer(SMALL, "stochastic")
    w = rng.normal(size=(25, K)) * 0.1
    w -= w.mean(axis=0)
    start = w.copy()
    filters = patches.create(layer, set_up, ideal(patches.fold(front, jnp.asarray(w))))
    wins, record = filters.wins, np.full(K, 1 / K)
    batches = np.asarray(p).reshape(-1, 8, 25)[:30]

    @jax.jit
    def folded(filters, wins, batch):
        f = crossbar.weights(filters.xbar)
        filters = filters.replace(columns=jnp.sum(f, axis=0))
        u, goals = patches.respond(set_up, filters, batch, None), patches.targets(front, batch)
        winner, wins = patches._layer.compete(set_up, wins, u, batch, goals)
        f = f + plasticity.dense(wta_hebb.means(0.1, goals, winner, f[:, winner].T, K))
        state = crossbar.set_state(filters.xbar, 0.5 + 0.5 * jnp.stack([f, -f]))
        return filters.replace(xbar=state), winner, wins

    for batch in batches:
        filters, winner, wins = folded(filters, wins, jnp.asarray(batch))
        before, won = w.copy(), np.zeros(K)
        for patch, chosen in zip(batch, winner, strict=True):
            n = patch - patch.mean()
            if n.std() <= 0.0124:
                continue
            z = np.asarray(front.matrix) @ (n / np.sqrt(n.var() + 0.0124**2))
            z /= np.linalg.norm(z)
            bid = before.T @ z - 0.1 * (K * record - 1)
            assert bid.argmax() == chosen
            w[:, chosen] += 0.1 * (z - before[:, chosen])
            won[chosen] += 1
        left = 0.99 ** won.sum()
        record = left * record + (1 - left) * won / max(won.sum(), 1)
        np.testing.assert_allclose(wins, record, rtol=0, atol=1e-12)
    assert np.linalg.norm(w - start) > 0.5 * np.linalg.norm(start)  # it has learned
    np.testing.assert_allclose(crossbar.weights(filters.xbar), patches.fold(front, jnp.asarray(w)), rtol=0, atol=1e-9)


def test_read_noise_of_a_response_has_its_closed_form(digits, front):
    """sigma sqrt(2 sum p^2) / s for differential pairs, one draw for each column and position."""
    p = jnp.asarray(cut_by_loops(SMALL, digits[3]))[2, 2]
    wide = ideal(jnp.zeros((25, 20_000)))
    set_up = constants(front, read_noise=0.05)
    filters = patches.create(patches.Layer(SMALL, "stochastic"), set_up, wide)
    u = np.asarray(jax.jit(patches.respond)(set_up, filters, p, jax.random.key(1)))
    s = np.sqrt(np.var(p) + 0.0124**2)
    assert u.std() == pytest.approx(0.05 * np.sqrt(2 * np.sum(np.square(p))) / s, rel=0.02)
    assert abs(u.mean()) < 4 * u.std() / 20_000**0.5


# --- neurons ----------------------------------------------------------------------------------------------------------


def test_spike_codes_are_what_integrate_and_fire_neurons_do(x64):
    a = jnp.asarray(np.random.default_rng(0).gamma(1.0, 0.5, 4000))
    a = jnp.concatenate([a, jnp.zeros(3)])
    params = neurons.Params(leak=1.0, threshold=0.7)
    state, count, first = neurons.init(a.shape), np.zeros(a.shape), np.zeros(a.shape)
    for t in range(1, 16):
        (spike, _), state = neurons.step(params, state, a)
        first = np.where((first == 0) & (np.asarray(spike) > 0), 16 - t, first)
        count += np.asarray(spike)
    assert set(np.unique(count)) == set(range(16))
    np.testing.assert_array_equal(patches.spike_count(a, 0.7, 15), count)
    np.testing.assert_array_equal(patches.first_spike(a, 0.7, 15), first)
    np.testing.assert_array_equal(patches.fire(a, 0.7, 15), count)
    np.testing.assert_array_equal(patches.fire(a, 0.7, 15, "first"), first)
    with pytest.raises(ValueError, match="code = 'rate': accepted is one of count, first"):
        patches.fire(a, 0.7, 15, "rate")


def test_inhibition_and_scaling_equal_numpy():
    u = np.random.default_rng(0).normal(size=(3, 4, 9)).astype(FLOAT)
    wanted = np.maximum(u - u.mean(-1, keepdims=True) - 0.5 * u.std(-1, keepdims=True), 0)
    np.testing.assert_allclose(patches.inhibit(jnp.asarray(u), 0.5), wanted, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(patches.inhibit(jnp.zeros((2, 9)), 0.5), np.zeros((2, 9)))
    h = np.random.default_rng(1).integers(0, 30, (4, 6)).astype(FLOAT)
    for mean in (FLOAT.type(3.0), h.mean(axis=0)):
        x = patches.scaled(jnp.asarray(h), jnp.asarray(mean))
        np.testing.assert_allclose(x, np.sqrt(h / mean), rtol=1e-6)
    np.testing.assert_array_equal(patches.scaled(jnp.zeros(3), jnp.zeros(())), np.zeros(3))
    one = patches.update_mean(jnp.ones(()), jnp.asarray(h[0]), 0.1)
    np.testing.assert_allclose(one, 0.9 + 0.1 * h[0].mean(), rtol=1e-6)
    np.testing.assert_allclose(patches.update_mean(jnp.ones(6), jnp.asarray(h[0]), 0.1), 0.9 + 0.1 * h[0], rtol=1e-6)


# --- events -----------------------------------------------------------------------------------------------------------


def test_events_of_a_forward_pass_are_counted_at_every_position(front):
    """One lit pixel: it is read by 2 K devices in every patch that it lies in; blank patches are not read."""
    layer, set_up = patches.Layer(SMALL, "stochastic"), constants(front)
    filters = patches.create(layer, set_up, ideal(jnp.zeros((25, K))))
    images = np.zeros((3, 14, 14), FLOAT)
    images[1, 0, 0] = 1  # in one patch
    images[2, 5, 4] = (
        1  # rows 1 to 5 or 4 to 8, columns 0 to 4 and 3 to 7: of positions 0, 3, 6, 9 these are 3 and 0, 3
    )
    spent = patches.forward_events(layer, filters, jnp.asarray(images.reshape(3, -1)))
    cut = cut_by_loops(SMALL, images.reshape(3, -1)).reshape(3, -1, 25)
    np.testing.assert_array_equal(np.count_nonzero(cut, axis=(1, 2)), [0, 1, 2])
    np.testing.assert_array_equal(spent.mac, 2 * K * np.array([0, 1, 2]))
    np.testing.assert_array_equal(spent.read, 2 * K * np.array([0, 1, 2]))
    # A tile that is switched off is neither driven nor sensed.
    tiled = crossbar.create(devices.get("exponential"), (25, K), (25, 4))
    part = filters.replace(xbar=crossbar.set_active(tiled, 0, 1, False))
    np.testing.assert_array_equal(
        patches.forward_events(layer, part, jnp.asarray(images.reshape(3, -1))).mac, [0, 16, 32]
    )


def test_events_of_learning_are_counted_by_patch(digits, front):
    layer = patches.Layer(SMALL, "accumulator", per_image=20)
    set_up = patches.Constants(front, programming.AccumulatorParams(1 / 64, lines=None))
    filters = patches.create(layer, set_up, ideal(jnp.zeros((25, K))))
    key, image = jax.random.key(3), jnp.asarray(digits[5] * (np.arange(196) < 98))  # its upper half
    learn = jax.jit(functools.partial(patches.learn, layer, set_up))
    _, spent = learn(filters, image, 0.001, key, 0)
    drawn = np.asarray(patches.draw(SMALL, image, 20, _named(key, "patches")))
    learned = np.sum(drawn.std(axis=1) > 0.0124)
    assert 0 < learned < 20
    counts = energy.total(spent)
    assert counts["verify"] == 2 * 25 * learned  # the winner's own devices
    assert counts["mac"] == 2 * K * (np.count_nonzero(drawn) + 25)  # the patches, and the column sums
    assert counts["read"] == 2 * K * (np.count_nonzero(drawn.any(axis=1)) + 1)
    assert counts["accumulate"] == np.count_nonzero(patches.targets(front, jnp.asarray(drawn)))
    assert counts["pulse"] == 0  # 0.001 of a weight is far from a pulse
    blank, spent = learn(filters, jnp.zeros(196), 0.1, key, 0)
    counts = energy.total(spent)
    assert (counts["verify"], counts["accumulate"], counts["pulse"], counts["mac"]) == (0, 0, 0, 2 * K * 25)
    np.testing.assert_array_equal(blank.wins, filters.wins)


def _named(key, name):
    from memjax import noise

    return noise.fold_in(key, name)


# --- learning in place ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chip(front):
    """Return a layer, its constants, and chips(keys): filters on noisy, spread, partly stuck devices of 64 levels."""
    imperfect = variation.Nonidealities(
        d2d={"step_up": 0.2, "step_down": 0.2}, c2c=0.3, stuck=variation.Stuck(0.005, 0.005), read_noise=0.02
    )
    bare = devices.get("exponential")
    nominal = bare.Params(step_up=1 / 64, step_down=1 / 64)
    device = variation.dress(imperfect, bare)
    layer = patches.Layer(SMALL, per_image=24)
    step = programming.weight_step(bare, nominal)
    set_up = patches.Constants(front, programming.AccumulatorParams(step, lines=None), read_noise=0.02)

    def make(key):
        params, faults = variation.sample(imperfect, bare, nominal, (2, 25, K), (25, K), key, die=key, v_write=1.0)
        w = 0.1 * jax.random.normal(key, (25, K))
        xbar = crossbar.create(device, (25, K), params=params, faults=faults, x=0.5 + 0.5 * jnp.stack([w, -w]))
        return patches.create(layer, set_up, crossbar.cache(xbar))

    return layer, set_up, make


@pytest.fixture(scope="module")
def learned(chip, digits):
    """Two chips before and after 400 digits, their events, and how often the program was traced."""
    layer, set_up, make = chip
    keys, traced = jax.random.split(jax.random.key(0), 2), []

    def run(set_up, filters, images, rates, key):
        traced.append(None)
        return patches.learn_filters(layer, set_up, filters, images, rates, key)

    step = jax.jit(jax.vmap(run, in_axes=(None, 0, None, None, 0)))
    before = jax.jit(jax.vmap(make))(keys)
    images, rates = jnp.asarray(digits), jnp.asarray(np.linspace(0.1, 0.01, 400, dtype=FLOAT))
    step(set_up.replace(handicap=0.1, read_noise=0.01), before, images, rates / 2, keys)
    after, events = step(set_up, before, images, rates, keys)
    return before, after, events, len(traced), (images, rates, keys)


def quantisation_error(front, filters, digits):
    """Mean 2 - 2 cos between whitened patches and their nearest filter, both of length 1, for each chip."""
    p = cut_by_loops(SMALL, digits).reshape(-1, 25)
    z = np.asarray(patches.normalise(jnp.asarray(p), front.floor) @ front.matrix)[p.std(axis=1) > 0.0124]
    w = np.asarray(jax.vmap(lambda xbar: patches.unfold(front, crossbar.weights(xbar)))(filters.xbar))
    z, w = z / np.linalg.norm(z, axis=1, keepdims=True), w / np.linalg.norm(w, axis=1, keepdims=True)
    return np.mean(2 - 2 * np.max(np.einsum("pd,cdk->cpk", z, w), axis=2), axis=1)


def test_filters_learn_in_place_on_noisy_devices(front, learned, digits):
    before, after, events, _, _ = learned
    first, last = (quantisation_error(front, filters, digits) for filters in learned[:2])
    # Batch k-means on the same patches, with ideal numbers, is what the arrays are to come near.
    p = cut_by_loops(SMALL, digits).reshape(-1, 25)
    z = np.asarray(patches.normalise(jnp.asarray(p), front.floor) @ front.matrix)[p.std(axis=1) > 0.0124]
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    w = z[np.random.default_rng(0).choice(len(z), K, replace=False)]
    for _ in range(20):
        own = np.argmax(z @ w.T, axis=1)
        w = np.stack([z[own == k].mean(axis=0) for k in range(K)])
        w /= np.linalg.norm(w, axis=1, keepdims=True)
    best = np.mean(2 - 2 * np.max(z @ w.T, axis=1))
    assert (last < first).all()
    assert (last - best < 0.25 * (first - best)).all(), (first, last, best)
    assert (np.min(after.wins, axis=1) > 0.1 / K).all()  # no filter is left out
    assert (energy.total(events, axis=1)["pulse"] > 0).all()


def test_one_program_for_all_values(learned):
    assert learned[3] == 1


def test_chips_side_by_side_equal_single_ones(chip, learned):
    # A scan under vmap has been miscompiled by a JAX 0.10 backend before (github.com/jax-ml/jax/issues/36958).
    layer, set_up, _ = chip
    before, _, events, _, (images, rates, keys) = learned
    one = jax.jit(functools.partial(patches.learn, layer, set_up))
    for number in range(2):
        filters = jax.tree.map(lambda leaf: leaf[number], before)  # noqa: B023 - used at once
        for s in range(10):
            filters, spent = one(filters, images[s], rates[s], jax.random.fold_in(keys[number], s), s)
            for name in energy.FIELDS:
                assert int(getattr(spent, name)) == int(np.broadcast_to(getattr(events, name), (2, 400))[number, s])


@pytest.fixture(scope="module")
def ready(chip, learned, digits):
    """Both chips calibrated, with what it cost, and the pooled spikes of 40 digits."""
    layer, set_up, _ = chip
    keys, images = jax.random.split(jax.random.key(1), 40), jnp.asarray(digits[:40])

    def one(filters):
        filters, spent = patches.calibrate(layer, set_up, filters, images, keys)
        return filters, spent, patches.features(layer, set_up, filters, images, keys)

    return *jax.jit(jax.vmap(one))(learned[1]), images, keys


def test_calibration_finds_what_it_says(chip, ready):
    layer, set_up, _ = chip
    filters, spent, h, images, _ = ready
    np.testing.assert_allclose(filters.mean, np.mean(h, axis=(1, 2)), rtol=1e-5)
    for number in range(2):
        one = jax.tree.map(lambda leaf: leaf[number], filters)  # noqa: B023 - used at once
        sums = np.sum(crossbar.weights(one.xbar), axis=0)
        sd = 0.02 * np.sqrt(2 * 25 / 16)  # of a mean of 16 reads
        assert np.abs(one.columns - sums).max() < 4 * sd
        forward = energy.total(patches.forward_events(layer, one, images))
        counts = energy.total(jax.tree.map(lambda n: n[number], spent))  # noqa: B023 - used at once
        assert counts["mac"] == 2 * forward["mac"] + 16 * 2 * K * 25
        assert counts["read"] == 2 * forward["read"] + 16 * 2 * K


def test_features_equal_a_loop_over_images_and_positions(chip, ready):
    """Plain NumPy on the weights as they are; noise of the read apart, since it is drawn in the array."""
    layer, set_up, _ = chip
    filters, _, _, images, keys = ready
    one = jax.tree.map(lambda leaf: leaf[0], filters)
    quiet = set_up.replace(read_noise=None)
    found = jax.jit(functools.partial(patches.features, layer, quiet))(one, images, keys)
    f, columns = np.asarray(crossbar.weights(one.xbar), np.float64), np.asarray(one.columns, np.float64)
    down, across = SMALL.cells()
    wanted, off = np.zeros((40, *SMALL.pool, K)), 0
    for image, grid in enumerate(cut_by_loops(SMALL, images).astype(np.float64)):
        for r in range(SMALL.positions[0]):
            for c in range(SMALL.positions[1]):
                p = grid[r, c]
                u = (p @ f - p.mean() * columns) / np.sqrt(p.var() + 0.0124**2)
                a = np.maximum(u - u.mean() - 0.5 * u.std(), 0)
                count = np.minimum(np.floor(15 * a / float(one.threshold)), 15)
                row, column = np.searchsorted(down, r, "right") - 1, np.searchsorted(across, c, "right") - 1
                wanted[image, row, column] += count
    off = np.abs(np.asarray(found) - wanted.reshape(40, -1))
    assert off.max() <= 1  # a current at a threshold may fall to either side
    assert np.mean(off > 0) < 1e-3
    assert wanted.max() > 15
    assert found.dtype == FLOAT


def test_features_do_not_depend_on_how_images_are_grouped(chip, ready):
    layer, set_up, _ = chip
    filters, _, h, images, keys = ready
    one = jax.tree.map(lambda leaf: leaf[1], filters)
    features = jax.jit(functools.partial(patches.features, layer._replace(block=7), set_up))
    np.testing.assert_array_equal(features(one, images[3:30], keys[3:30]), h[1, 3:30])
    assert not np.array_equal(features(one, images[3:30], keys[:27]), h[1, 3:30])  # another key, other noise


def test_what_does_not_fit_is_refused(front):
    layer, set_up, xbar = patches.Layer(SMALL, "stochastic"), constants(front), ideal(jnp.zeros((24, K)))
    with pytest.raises(ValueError, match="24 rows and 2 device.*accepted are 25 rows"):
        patches.create(layer, set_up, xbar)
    single = crossbar.create(devices.get("exponential"), (25, K), polarity=1)
    with pytest.raises(ValueError, match="1 device"):
        patches.create(layer, set_up, single)
    with pytest.raises(ValueError, match="at least 1 of per_image"):
        patches.create(layer._replace(per_image=0), set_up, ideal(jnp.zeros((25, K))))
    with pytest.raises(ValueError, match="whitening takes patches"):
        patches.whitening(jnp.zeros((3, 4, 25)))
