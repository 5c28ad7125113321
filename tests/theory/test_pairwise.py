"""Duels that need no reward, against enumeration, the K-wise operator and the replicator's exact statements."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining import theory

pytestmark = pytest.mark.usefixtures("float64")
CENTRE = np.full(3, 1 / 3)


def cycle(strength=1.0):
    """Rock, paper, scissors: each beats the next but one with probability (1 + strength) / 2."""
    lead = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    return jnp.asarray((1 + strength * lead) / 2)


def champions(wins):
    """The share of time of each, by so many rounds of the walk that it has forgotten its start."""
    k = len(wins)
    move = np.where(np.eye(k, dtype=bool), 0, wins.T) / (k - 1)
    move += np.diag(1 - move.sum(axis=1))
    return np.linalg.matrix_power(move, 4096)[0]


@pytest.mark.parametrize("k", [2, 3, 4])
def test_the_ratio_is_that_of_all_groups(k):
    """Every ordered group, one by one; one point has no mass, and its ratio is the limit as it gets some."""
    upper = np.triu(np.random.default_rng(0).uniform(size=(4, 4)), 1)
    preference = upper + np.tril(1 - upper.T, -1) + np.eye(4) / 2
    p, rare = np.array([0.4, 0.1, 0.5, 0.0]), np.array([0.4, 0.1, 0.5, 1e-12])
    chosen = np.zeros(4)
    for group in itertools.product(range(4), repeat=k):
        rows = list(group)
        np.add.at(chosen, rows, rare[rows].prod() * champions(preference[np.ix_(rows, rows)]))
    ratio = jax.jit(theory.pairwise_ratio, static_argnums=2)(p, preference, k)
    np.testing.assert_allclose(ratio, chosen / rare, rtol=1e-9)
    np.testing.assert_allclose(p @ ratio, 1, rtol=1e-12)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_duels_by_a_reward_are_the_k_way_choice(k):
    p, r = jnp.array([0.4, 0.1, 0.3, 0.2]), jnp.array([0.0, 3.0, -2.0, 1.0])

    @jax.jit
    def both(p, r):
        duels = jax.nn.sigmoid(r[:, None] - r[None])
        return theory.pairwise_ratio(p, duels, k), theory.k_way_ratio(p, r, k)

    np.testing.assert_allclose(*both(p, r), rtol=1e-9)


def test_the_pure_loop_spirals_outwards():
    """Π p_i falls at every step, by AM-GM, and leadership goes round: what beats the leader is next."""
    course = np.asarray(theory.pairwise_trajectory(jnp.array([0.34, 0.33, 0.33]), cycle(), k=2, lam=jnp.inf, num=60))
    assert (np.diff(np.log(course).sum(axis=1)) < 0).all()
    leaders = [leader for leader, _ in itertools.groupby(course.argmax(axis=1))]
    assert len(leaders) > 3 and set(np.diff(leaders) % 3) == {1}
    still = theory.pairwise_trajectory(jnp.asarray(CENTRE), cycle(), k=2, lam=jnp.inf, num=5)
    np.testing.assert_allclose(still, np.tile(CENTRE, (6, 1)), rtol=1e-12)


@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize("above", [False, True])
def test_real_data_hold_the_centre_up_to_the_stated_share(strength, above):
    """Near the centre its distance changes by η √(1 + a²/3) a generation; beyond one it ends on a circle."""
    share = (1 + 0.03 * (1 if above else -1)) / np.sqrt(1 + strength**2 / 3)
    start = jnp.asarray(CENTRE + 1e-4 * np.array([1, -1, 0]))
    course = theory.pairwise_trajectory(
        start, cycle(strength), k=2, lam=share / (1 - share), num=600, p_ref=jnp.asarray(CENTRE)
    )
    away = np.linalg.norm(np.asarray(course) - CENTRE, axis=1)
    np.testing.assert_allclose(away[60] / away[0], 1.03**60 if above else 0.97**60, rtol=1e-3)
    assert away[-100:].min() > 0.1 if above else away[-1] < 1e-10


@pytest.mark.parametrize(
    ("preference", "k", "message"),
    [(cycle(), 1, "k=1"), (cycle() + 0.1, 2, "P \\+ P"), (cycle()[:2], 2, r"\(2, 3\)")],
)
def test_mistakes_are_rejected(preference, k, message):
    with pytest.raises(ValueError, match=message):
        theory.pairwise_operator(preference, k)
