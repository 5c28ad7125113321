"""Several models: the population step against one model's, the toy's closed forms against iteration and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining import theory

NUM = 200
COST = np.array([0.8, 0.5])


def random_toys(seed=0):
    """Couplings of spectral norm up to 0.9 in 1 to 6 dimensions, pulls, strengths and what is liked."""
    rng = np.random.default_rng(seed)
    for _ in range(NUM):
        d = rng.integers(1, 7)
        matrix = rng.normal(size=(d, d))
        coupling = matrix / np.linalg.norm(matrix, 2) * rng.uniform(0, 0.9)
        yield coupling, rng.normal(size=d), rng.uniform(0, 3), rng.normal(size=(2, d))


def value(strength, coupling, pull, liked):
    return theory.alignment(theory.coupled_means(coupling, pull, strength), liked, COST)


@pytest.mark.usefixtures("float64")
def test_the_fixed_point_is_where_iteration_ends():
    for coupling, pull, strength, _ in random_toys():
        theta, phi = np.zeros_like(pull), np.zeros_like(pull)
        for _ in range(800):  # a factor √0.9 each: 5e-19
            theta, phi = phi + strength * pull, coupling @ theta
        np.testing.assert_allclose(theory.coupled_means(coupling, pull, strength), [theta, phi], rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("float64")
def test_influences_are_derivatives():
    """By automatic differentiation, and by central differences, which are exact for a parabola but for rounding."""
    for coupling, pull, strength, liked in list(random_toys())[::20]:
        found = theory.curation_influence(coupling, pull, strength, liked, COST)
        by_grad = jax.jacfwd(value)(strength, coupling, pull, liked)
        np.testing.assert_allclose(found, by_grad, rtol=1e-11, atol=1e-11)
        differences = (
            value(strength + 0.5, coupling, pull, liked) - value(strength - 0.5, coupling, pull, liked)
        ) / 1.0
        np.testing.assert_allclose(found, differences, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("float64")
def test_influences_change_sign_where_they_are_said_to():
    fell = 0
    for coupling, pull, _, liked in random_toys():
        turning = np.asarray(theory.turning_strength(coupling, pull, liked, COST))
        for i, at in enumerate(turning):
            before, there, after = (
                theory.curation_influence(coupling, pull, at + step, liked, COST)[i] for step in (-0.01, 0, 0.01)
            )
            scale = abs(before) + abs(after)
            assert before > 0 > after and abs(there) < 1e-9 * max(scale, 1)
        fell += (turning[1] < 0) & (turning[0] > 0)
    assert fell > 20  # curation that first helps the one model and always harms the other is common


def test_float32_is_as_exact_as_stated():
    for coupling, pull, strength, liked in random_toys(1):
        with jax.enable_x64(True):
            exact = np.asarray(theory.coupled_means(coupling, pull, strength))
            influence = np.asarray(theory.curation_influence(coupling, pull, strength, liked, COST))
        single = [np.asarray(part, np.float32) for part in (coupling, pull, strength, liked)]
        found = theory.coupled_means(*single[:3])
        assert found.dtype == jnp.float32
        assert np.linalg.norm(found - exact) < 1e-5 * np.linalg.norm(exact)
        size = (np.linalg.norm(liked) + np.linalg.norm(exact)) * np.linalg.norm(exact) / max(strength, 1e-3)
        np.testing.assert_allclose(
            theory.curation_influence(*single, np.asarray(COST, np.float32)), influence, atol=1e-5 * size
        )


def test_what_has_no_fixed_point_is_refused():
    with pytest.raises(ValueError, match="spectral radius of 1"):
        theory.coupled_means(np.eye(2), np.ones(2), 1.0)
    with pytest.raises(ValueError, match=r"shape \(2, 2\) for a pull of shape \(3,\)"):
        theory.coupled_means(0.5 * np.eye(2), np.ones(3), 1.0)


@pytest.mark.parametrize("k", [1.5, 4.0, jnp.inf])
def test_one_model_is_the_single_loop(k):
    """And two that ignore each other are two of them; float32, five generations."""
    p = jnp.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
    r = jnp.array([[1.0, 0.0, -1.0, 2.0], [0.0, 3.0, 0.5, -1.0]])
    lam = 2.0
    share = lam / (1 + lam)
    alone = [theory.trajectory(p[i], r[i], k=k, lam=lam, num=5) for i in range(2)]
    one = theory.interacting_trajectory(p[:1], r[:1], jnp.array([[1 - share, 0, share]]), k=k, num=5)
    np.testing.assert_allclose(one[:, 0], alone[0], rtol=1e-5)
    shares = jnp.array([[1 - share, 0, 0, share, 0], [1 - share, 0, 0, 0, share]])
    two = theory.interacting_trajectory(p, r, shares, k=k, num=5)
    np.testing.assert_allclose(two, jnp.stack(alone, axis=1), rtol=1e-5)


def test_a_generation_is_the_weighted_union_of_what_was_made():
    """K = 2 on three points, by hand in float64: every pair of candidates with its chance."""
    rng = np.random.default_rng(3)
    p, r, p_ref = rng.dirichlet(np.ones(3), 2), rng.normal(size=(2, 3)), rng.dirichlet(np.ones(3))
    shares = rng.dirichlet(np.ones(5), 2)
    curated = np.zeros((2, 3))
    for j in range(2):
        for x in range(3):
            for y in range(3):
                curated[j, x] += 2 * p[j, x] * p[j, y] / (1 + np.exp(r[j, y] - r[j, x]))
    expected = shares[:, :1] * p_ref + shares[:, 1:3] @ p + shares[:, 3:] @ curated
    single = [jnp.asarray(part, jnp.float32) for part in (p, r, shares)]
    found = theory.interact(*single, k=2, p_ref=jnp.asarray(p_ref, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with jax.enable_x64(True):
        np.testing.assert_allclose(theory.interact(p, r, shares, k=2, p_ref=p_ref), expected, rtol=1e-10)


def test_shares_of_another_shape_are_refused():
    p = jnp.full((2, 3), 1 / 3)
    with pytest.raises(ValueError, match=r"shares of shape \(2, 3\)"):
        theory.interact(p, p, jnp.full((2, 3), 1 / 3), k=2, p_ref=p[0])
