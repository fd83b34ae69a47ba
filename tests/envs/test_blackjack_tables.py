"""Blackjack's exact tables against published values, the book's optimal policy, and Gymnasium's own game."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest

import rlnut
from rlnut.envs.blackjack_tables import SHAPE, SHOWN, blackjack, state, stick_on
from rlnut.envs.tabular import from_env
from rlnut.prediction.methods import Prediction
from rlnut.prediction.on_tables import predict_finite
from rlnut.prediction.policies import as_table
from rlnut.truth.dynamic_programming import chain, policy_iteration, uniform, value_iteration, values, visits
from rlnut.truth.finite import observed, outcomes
from rlnut.truth.fixed_points import projection, return_error
from rlnut.truth.return_distributions import return_law, return_variance


@pytest.mark.parametrize(
    ("options", "twenty", "even", "best"),
    [({"sab": True}, -0.35011, -0.39417, -0.043113), ({"sab": False}, -0.35355, -0.39590, -0.046556)],
)
def test_values_of_the_game(options: dict, twenty: float, even: float, best: float) -> None:
    """S&B's policy (stick on 20 and 21), a coin, and the optimum, as published."""
    game = blackjack(**options)
    mdp = game.mdp
    for policy, value in ((game.policy, twenty), (uniform(mdp), even)):
        assert mdp.start @ np.nan_to_num(values(chain(mdp, policy), 1)) == pytest.approx(value, abs=5.1e-6)
    assert mdp.start @ value_iteration(mdp, 1).V == pytest.approx(best, abs=5.1e-7)


def test_optimal_policy_is_the_books() -> None:
    """Figure 5.2: hit up to hard 16 (dealer 7 to ace), 12 (2, 3), 11 (4 to 6); soft 17 (2 to 8), 18 (9, 10, ace)."""
    best = policy_iteration(blackjack().mdp, 1)
    hits = best.policy.argmax(1)[:SHOWN].reshape(SHAPE)
    up_to = {d: 16 for d in (1, 7, 8, 9, 10)} | {d: 12 for d in (2, 3)} | {d: 11 for d in (4, 5, 6)}
    for dealer, most in up_to.items():
        assert np.flatnonzero(hits[4:22, dealer, 0]).max() + 4 == most
        assert hits[4 : most + 1, dealer, 0].all()
        soft = 18 if dealer in (9, 10, 1) else 17
        np.testing.assert_array_equal(np.flatnonzero(hits[12:22, dealer, 1]) + 12, np.arange(12, soft + 1))
    q = best.Q[:SHOWN].reshape(*SHAPE, 2)
    assert q[16, 10, 0] == pytest.approx([-0.5758, -0.5693], abs=5e-5)
    assert q[12, 4, 0] == pytest.approx([-0.2111, -0.2135], abs=5e-5)
    assert (best.policy[SHOWN:, 0] == 1).all()  # naturals stick, as drawn soft 21s do: the policy sees no difference
    assert (hits[21, 1:, 1] == 0).all()


@pytest.mark.parametrize("options", [{"sab": True}, {"sab": False}, {"natural": True}])
def test_gymnasiums_game_pays_the_same(options: dict) -> None:
    """4,000 games with a coin: the mean return within four standard errors; the first hands follow `start`."""
    env = gymnasium.make("Blackjack-v1", **options)
    game = from_env(env)
    assert game is not None
    pi = uniform(game.mdp)
    rng = np.random.default_rng(1)
    returns, first = [], np.zeros(SHOWN)
    obs, _ = env.reset(seed=0)
    for _ in range(4000):
        first[np.ravel_multi_index(obs, SHAPE)] += 1 / 4000
        over, total = False, 0.0
        while not over:
            obs, reward, over, _, _ = env.step(int(rng.integers(2)))
            total += float(reward)
        returns.append(total)
        obs, _ = env.reset()
    exact = game.mdp.start @ np.nan_to_num(values(chain(game.mdp, pi), 1))
    assert abs(np.mean(returns) - exact) < 4 * np.std(returns) / np.sqrt(4000)
    expected = np.bincount(game.observe, game.mdp.start, SHOWN)
    assert first[expected == 0].sum() == 0
    assert (np.abs(first - expected) < 5 * np.sqrt(expected / 4000) + 1e-9).all()


def test_a_dealt_and_a_drawn_21_look_the_same_and_are_not() -> None:
    """Dealer 10, sab: dealt wins but against an ace below, 1 − 1/13; drawn wins, loses to nothing and ties with 21."""
    game = blackjack()
    v = values(chain(game.mdp, game.policy), 1)
    dealt, drawn = SHOWN + 9, int(np.ravel_multi_index((21, 10, 1), SHAPE))
    assert game.observe[dealt] == game.observe[drawn] == drawn
    assert v[dealt] == pytest.approx(1 - 1 / 13)
    assert v[drawn] < v[dealt] - 0.01
    d = visits(chain(game.mdp, game.policy))
    seen = observed(v, d, game.observe)
    share = d[dealt] / (d[dealt] + d[drawn])
    assert seen[dealt] == seen[drawn] == pytest.approx(share * v[dealt] + (1 - share) * v[drawn])
    # what a function of the observation learns best is that mean: the projection onto the table over observations
    w = projection(v, game.features, d)
    np.testing.assert_allclose((game.features @ w)[d > 0], seen[d > 0], atol=1e-9)


def test_returns_of_a_game() -> None:
    """Win, draw and loss add up, and their variance is that of the moment equation."""
    game = blackjack(sab=False, natural=True)
    law = outcomes(game)
    dealt = SHOWN + 4  # against a five
    assert return_law(law, game.policy, 1, dealt).values.max() == 1.5
    s = int(np.ravel_multi_index((16, 10, 0), SHAPE))
    found = return_law(law, stick_on(16), 1, s)
    assert set(found.values) <= {-1, 0, 1}
    mean = found.values @ found.chances
    assert mean == pytest.approx(-0.5758, abs=5e-5)  # sticking on 16 against a ten
    spread = (found.values - mean) ** 2 @ found.chances
    assert return_variance(law, stick_on(16), 1)[s] == pytest.approx(spread, abs=1e-9)


def test_prediction_shows_the_mean_over_what_looks_alike() -> None:
    """Both states of a soft 21 show one truth; the projection has no error, TD's fixed point a small one: it takes a
    drawn 21 for one that may have been dealt.
    """
    game = blackjack()
    found = predict_finite("batch-mc", game, Prediction(steps=2000))
    dealt, drawn = SHOWN + 9, int(np.ravel_multi_index((21, 10, 1), SHAPE))
    v = values(chain(game.mdp, game.policy), 1)
    assert found.truth[dealt] == found.truth[drawn] and v[drawn] < found.truth[drawn] < v[dealt]
    best, end = found.exact["projection"], found.exact["td_fixed_point"]
    assert best is not None and end is not None and best["rmse"] < 1e-9 < 1e-3 < end["rmse"] < 0.1
    assert np.isnan(found.truth[0]) and found.truth[int(np.ravel_multi_index((22, 10, 0), SHAPE))] == 0
    # the return error is that over the hidden states, whose law is the game's
    d = visits(chain(game.mdp, game.policy))
    exact = return_error(outcomes(game), game.policy, np.nan_to_num(found.values), d, 1)
    assert found.errors["re"] == pytest.approx(exact, rel=1e-6)


def test_policies_see_the_observation(tmp_path: Path) -> None:
    """A function of (sum, dealer's card, ace) and the folder of a run, which learned from such tuples."""
    game = blackjack()
    np.testing.assert_array_equal(as_table(lambda hand: int(hand[0] < 20), game, 1), stick_on(20))
    np.testing.assert_array_equal(as_table(lambda hand: int(hand[2] and hand[1] == 3), game, 1)[SHOWN + 2], [0, 1])
    run = rlnut.train("q-learning", "Blackjack-v1", steps=4000, final_episodes=1, quiet=True, out=tmp_path / "run")
    table = as_table(str(tmp_path / "run"), game, 1)
    hands = [(12, 3, 0), (14, 10, 0), (20, 10, 0), (18, 6, 1)]
    q = np.array([run.q(hand) for hand in hands])
    assert np.ptp(q) > 0.1
    np.testing.assert_array_equal([table[state(*hand)].argmax() for hand in hands], q.argmax(1))
