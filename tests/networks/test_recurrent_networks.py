"""Cells against the papers' equations written out step by step, against Equinox's, and against finite differences."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut.errors import UsageError
from rlnut.networks.recurrent_networks import CELLS, gru, lengths_mask, lstm, recurrent, restart, rnn, scan

B, T, D, H = 3, 6, 2, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(B, T, D))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def weights(kind, seed=1):
    """θ of a cell in float64, every entry random, biases too."""
    params = CELLS[kind](H).init(jax.random.key(0), X)
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=w.shape) for name, w in params.items()}


def blocks(w):
    """The gates' parts of a weight [..., kH], in the order of the docstring."""
    return [w[..., k : k + H] for k in range(0, w.shape[-1], H)]


def elman(p, x):
    """Elman (1990): hₜ = tanh(W xₜ + b + U hₜ₋₁), for one sequence x [T, D]."""
    h, seen = np.zeros(len(p["u"])), []
    for row in x:
        h = np.tanh(p["w"].T @ row + p["b"] + p["u"].T @ h)
        seen.append(h)
    return np.array(seen)


def long_short(p, x):
    """Gers et al. (2000), without peepholes: each gate with its own matrices."""
    (wi, wf, wg, wo), (ui, uf, ug, uo), (bi, bf, bg, bo) = (blocks(p[name]) for name in "wub")
    h, c, seen = np.zeros(H), np.zeros(H), []
    for row in x:
        i = sigmoid(wi.T @ row + ui.T @ h + bi)
        f = sigmoid(wf.T @ row + uf.T @ h + bf)
        o = sigmoid(wo.T @ row + uo.T @ h + bo)
        c = f * c + i * np.tanh(wg.T @ row + ug.T @ h + bg)
        h = o * np.tanh(c)
        seen.append(h)
    return np.array(seen)


def gated(p, x):
    """Cho et al. (2014), eq. 5-8: h = z h + (1 − z) h̃, the reset gate after the product."""
    (wr, wz, wn), (ur, uz, un), (br, bz, bn) = (blocks(p[name]) for name in "wub")
    h, seen = np.zeros(H), []
    for row in x:
        r = sigmoid(wr.T @ row + ur.T @ h + br)
        z = sigmoid(wz.T @ row + uz.T @ h + bz)
        h = z * h + (1 - z) * np.tanh(wn.T @ row + bn + r * (un.T @ h + p["c"]))
        seen.append(h)
    return np.array(seen)


TRUTH = {"rnn": elman, "lstm": long_short, "gru": gated}
each_cell = pytest.mark.parametrize("kind", CELLS)


@each_cell
def test_a_scan_is_the_papers_loop(kind):
    params = weights(kind)
    with jax.enable_x64():
        carry, y = scan(CELLS[kind](H), params, X)
    np.testing.assert_allclose(y, [TRUTH[kind](params, x) for x in X], rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(carry[0], y[:, -1])


@each_cell
def test_steps_with_numpy_are_the_same_loop(kind):
    cell, params = CELLS[kind](H), weights(kind)
    carry, seen = cell.start(params, B), []
    for t in range(T):
        carry, y = cell.step(params, carry, X[:, t])
        seen.append(y)
    assert type(y) is np.ndarray
    np.testing.assert_allclose(np.stack(seen, 1), [TRUTH[kind](params, x) for x in X], rtol=1e-12, atol=1e-14)


@each_cell
def test_gradients_are_finite_differences_through_time_mask_and_restart(kind):
    cell, params = CELLS[kind](H), weights(kind)
    mask, begin = np.ones((B, T), bool), np.zeros((B, T), bool)
    mask[1, 4:], begin[2, 3] = False, True
    rng = np.random.default_rng(2)
    aim = rng.normal(size=(B, T, H))
    cost = lambda p, x: jnp.sum((scan(cell, p, x, mask, begin)[1] - aim) ** 2)  # noqa: E731
    with jax.enable_x64():
        slope = jax.grad(cost, (0, 1))(params, X)
        way = jax.tree.map(lambda a: rng.normal(size=a.shape), (params, X))
        moved = [jax.tree.map(lambda a, d, sign=sign: a + sign * 1e-6 * d, (params, X), way) for sign in (1, -1)]
        expected = (cost(*moved[0]) - cost(*moved[1])) / 2e-6
        found = sum(np.vdot(g, d) for g, d in zip(jax.tree.leaves(slope), jax.tree.leaves(way), strict=True))
    assert found == pytest.approx(float(expected), rel=1e-6)


@each_cell
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_a_padded_batch_gives_every_sequence_what_it_gets_alone(kind, data):
    lengths = data.draw(st.lists(st.integers(0, T), min_size=B, max_size=B))
    params = weights(kind)
    padded = X.copy()
    mask = lengths_mask(np.array(lengths), T)
    padded[~mask] = 1e6  # what is there must not matter
    with jax.enable_x64():
        carry, y = scan(CELLS[kind](H), params, padded, mask)
    for row, n in enumerate(lengths):
        alone = TRUTH[kind](params, X[row, :n]).reshape(n, H)
        np.testing.assert_allclose(y[row, :n], alone, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(carry[0][row], alone[-1] if n else np.zeros(H), rtol=1e-12, atol=1e-14)


@each_cell
def test_an_episode_that_begins_within_a_window_knows_nothing_of_the_one_before(kind):
    params, begin = weights(kind), np.zeros((B, T), bool)
    begin[0, 2] = begin[2, 0] = True
    with jax.enable_x64():
        y = scan(CELLS[kind](H), params, X, begin=begin)[1]
    twice = np.concatenate([TRUTH[kind](params, X[0, :2]), TRUTH[kind](params, X[0, 2:])])
    np.testing.assert_allclose(y[0], twice, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(y[1:], [TRUTH[kind](params, x) for x in X[1:]], rtol=1e-12, atol=1e-14)


@each_cell
def test_a_window_goes_on_from_the_carry_of_the_one_before(kind):
    cell, params = CELLS[kind](H), weights(kind)
    with jax.enable_x64():
        carry, y = scan(cell, params, X[:, :2])
        later = scan(cell, params, X[:, 2:], carry=carry)[1]
    np.testing.assert_allclose(
        np.concatenate([y, later], 1), [TRUTH[kind](params, x) for x in X], rtol=1e-12, atol=1e-14
    )


def test_restart_touches_only_the_rows_where_an_episode_begins():
    cell, params = lstm(H), weights("lstm")
    carry, _ = cell.step(params, cell.start(params, B), X[:, 0])
    again = restart(cell, params, carry, np.array([False, True, False]))
    for before, after in zip(carry, again, strict=True):
        np.testing.assert_array_equal(after, before * [[1], [0], [1]])


@pytest.mark.parametrize("kind, theirs, names", [
    ("lstm", "LSTMCell", ("weight_ih", "weight_hh", "bias")),
    ("gru", "GRUCell", ("weight_ih", "weight_hh", "bias", "bias_n")),
])  # fmt: skip
def test_the_same_weights_in_equinox_say_the_same(kind, theirs, names):
    eqx = pytest.importorskip("equinox")
    params = weights(kind)
    with jax.enable_x64():
        blank = getattr(eqx.nn, theirs)(D, H, key=jax.random.key(0))
        values = [jnp.asarray(params[name]).T for name in "wubc" if name in params]
        cell = eqx.tree_at(lambda m: [getattr(m, name) for name in names], blank, values)
        state = (jnp.zeros(H), jnp.zeros(H)) if kind == "lstm" else jnp.zeros(H)
        for row in jnp.asarray(X[0]):
            state = cell(row, state)
        expected = state[0] if kind == "lstm" else state
        np.testing.assert_allclose(scan(CELLS[kind](H), params, X[:1])[0][0][0], expected, rtol=1e-12)


@each_cell
def test_gates_at_their_limits_stay_finite_in_numpy(kind):
    cell, params = CELLS[kind](H), weights(kind)
    for scale in (-1e4, 1e4):
        _, y = cell.step(params, cell.start(params, B), np.full((B, D), scale, np.float32))
        assert np.isfinite(y).all()


def test_two_layers_read_a_sequence_of_unequal_lengths_to_its_end():
    model = recurrent(rnn, (3, 5))((2,))
    long = X.astype(np.float32)
    params = model.init(jax.random.key(1), long)
    short = long.copy()
    short[1, 2:] = np.nan
    found = model.apply(params, short)
    np.testing.assert_allclose(found[1], model.apply(params, long[1:2, :2])[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[::2], model.apply(params, long)[::2], rtol=1e-5, atol=1e-6)
    (first, second), _ = params
    last = np.stack([elman(second, elman(first, x))[-1] for x in long])
    head = params[1][0]
    np.testing.assert_allclose(model.apply(params, long), last @ head["w"] + head["b"], rtol=1e-4, atol=1e-5)


def test_the_first_weights_follow_their_laws():
    params = lstm(64).init(jax.random.key(0), np.zeros((1, 3, 32)))
    for u in np.split(np.asarray(params["u"]), 4, 1):
        np.testing.assert_allclose(u @ u.T, np.eye(64), atol=1e-5)
    assert np.abs(params["w"]).max() <= np.sqrt(6 / (32 + 64))  # Glorot's bound for each gate, not for all four
    assert [float(b.mean()) for b in np.split(np.asarray(params["b"]), 4)] == [0, 1, 0, 0]


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="at least one unit"):
        gru(0)
    with pytest.raises(UsageError, match="at least one layer"):
        recurrent(lstm, ())
    with pytest.raises(ValueError, match=r"mask must be \[B, T\] = \[3, 6\], got \[6, 3\]"):
        scan(rnn(H), weights("rnn"), X, np.ones((T, B), bool))


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("size", [0.0, 1e4])
def test_cells_and_their_slopes_are_numbers_far_out(kind, size):
    """Gates that are fully open or shut: nothing overflows, forwards or backwards."""
    cell = CELLS[kind](H)
    x = jnp.asarray(size * np.sign(X), jnp.float32)
    params = cell.init(jax.random.key(0), x)
    for sign in (-1e4, 1.0, 1e4):
        large = jax.tree.map(lambda w, sign=sign: sign * w, params)
        total, slopes = jax.value_and_grad(lambda p, z: scan(cell, p, z)[1].sum(), (0, 1))(large, x)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((total, slopes)))
