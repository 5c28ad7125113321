"""Derivatives in r, p and λ against finite differences, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining import theory
from curated_retraining.theory import operator

pytestmark = pytest.mark.usefixtures("float64")

P, R, VALUE = np.array([0.3, 0.1, 0.05, 0.35, 0.2]), np.array([0.5, 2.0, 1.8, -1.0, 1.2]), np.arange(5.0) ** 2


def _duels(r):
    """Wins of the row over the column, with a cycle in them."""
    gap = r[:, None] - r[None]
    return jax.nn.sigmoid(gap + jnp.sin(3 * gap))


STATEMENTS = {
    "trajectory": lambda p, r, lam: theory.trajectory(p, r, k=3.3, lam=lam, num=4)[-1] @ VALUE,
    "best_of_k": lambda p, r, lam: theory.retrain(p, r, k=3.3, lam=lam, p_ref=p, temperature=0.0) @ VALUE,
    "mixed_limit": lambda p, r, lam: theory.mixed_limit(p, r, k=3.3, lam=lam) @ VALUE,
    "tilt_limit": lambda p, r, lam: theory.tilt_limit(p, r, lam=lam) @ VALUE,
    "reward_gain": lambda p, r, lam: theory.reward_gain(p, r, k=3.3) * lam,
    "reward_floor": lambda p, r, lam: theory.reward_floor(p, r, k=3.3, lam=lam),
    "implied_rlhf": lambda p, r, lam: jnp.stack(theory.implied_rlhf(jnp.asarray(P[::-1]), p, r)).sum() * lam,
    "crowd": lambda p, r, lam: theory.crowd_potential(p, jnp.stack([r, -r]), jnp.array([0.3, 0.7])) * lam,
    "pairwise": lambda p, r, lam: theory.pairwise_trajectory(p, _duels(r), k=3, lam=lam, num=2)[-1] @ VALUE,
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_derivatives_are_those_of_finite_differences(name):
    """Central differences of step 1e-5: their error is of order 1e-10 and of rounding, 1e-11."""

    def of(p, r, lam):
        return STATEMENTS[name](p / p.sum(), r, lam)

    agrees(of, (P, R, np.array(1.7)))


def test_derivatives_through_nodes_are_those_through_points(monkeypatch):
    """An interpolant's slope is good to 25^−5."""
    by_points = jax.jit(jax.grad(STATEMENTS["trajectory"], argnums=(0, 1, 2)))(P, R, 1.7)
    monkeypatch.setattr(operator, "DENSE", 4)
    by_nodes = jax.jit(jax.grad(lambda *point: STATEMENTS["trajectory"](*point), argnums=(0, 1, 2)))(P, R, 1.7)
    for nodes, points in zip(by_nodes, by_points, strict=True):
        np.testing.assert_allclose(nodes, points, rtol=1e-6)
        assert (np.asarray(nodes) != np.asarray(points)).any()


def agrees(function, point):
    found = jax.jit(jax.grad(function, argnums=(0, 1, 2)))(*point)
    value, step = jax.jit(function), 1e-5
    for which, gradient in enumerate(found):
        expected = []
        for entry in np.eye(point[which].size).reshape(-1, *point[which].shape):
            ends = [value(*point[:which], point[which] + sign * entry, *point[which + 1 :]) for sign in (step, -step)]
            expected.append((ends[0] - ends[1]) / (2 * step))
        np.testing.assert_allclose(np.ravel(gradient), expected, rtol=1e-6, atol=1e-7)
