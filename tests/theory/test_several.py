"""Several models: the population step against one model's, the toy's closed forms against iteration and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining import theory

NUM, DIMENSION = 200, 4
COST = np.array([0.8, 0.5])
VALUE, INFLUENCE, TURNING = (
    jax.jit(jax.vmap(function))
    for function in (
        lambda coupling, pull, strength, liked: theory.alignment(
            theory.coupled_means(coupling, pull, strength), liked, COST
        ),
        lambda *toy: theory.curation_influence(*toy, COST),
        lambda coupling, pull, strength, liked: theory.turning_strength(coupling, pull, liked, COST),
    )
)


def toys():
    """Couplings of spectral norm up to 0.9, pulls, strengths and what is liked, `[NUM, ...]`."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(NUM, DIMENSION, DIMENSION))
    coupling = matrix / np.linalg.norm(matrix, 2, axis=(1, 2), keepdims=True) * rng.uniform(0, 0.9, (NUM, 1, 1))
    return coupling, rng.normal(size=(NUM, DIMENSION)), rng.uniform(0, 3, NUM), rng.normal(size=(NUM, 2, DIMENSION))


def fixed_points(coupling, pull, strength):
    """θ_* and φ_* `[NUM, 2, DIMENSION]` by 800 generations in NumPy, each of which shrinks errors by √0.9."""
    theta, phi = np.zeros_like(pull), np.zeros_like(pull)
    for _ in range(800):
        theta, phi = phi + strength[:, None] * pull, np.einsum("nij,nj->ni", coupling, theta)
    return np.stack([theta, phi], axis=1)


@pytest.mark.parametrize(("dtype", "accuracy"), [(np.float32, 2e-6), (np.float64, 1e-13)])
def test_the_fixed_point_is_where_iteration_ends(dtype, accuracy):
    coupling, pull, strength, _ = (part.astype(dtype) for part in toys())
    exact = fixed_points(*(part.astype(float) for part in (coupling, pull, strength)))
    with jax.enable_x64(dtype is np.float64):
        found = jax.jit(jax.vmap(theory.coupled_means))(coupling, pull, strength)
        assert found.dtype == dtype
    away = np.linalg.norm(np.asarray(found) - exact, axis=2) / np.linalg.norm(exact, axis=2)
    assert away.max() < accuracy


@pytest.mark.usefixtures("float64")
def test_influences_are_derivatives():
    """By automatic differentiation, and by central differences, which are exact for a parabola but for rounding."""
    coupling, pull, strength, liked = toys()
    found = INFLUENCE(*toys())
    tangent = jax.jvp(lambda s: VALUE(coupling, pull, s, liked), (strength,), (np.ones(NUM),))[1]
    np.testing.assert_allclose(found, tangent, rtol=1e-11, atol=1e-11)
    rise = VALUE(coupling, pull, strength + 0.5, liked) - VALUE(coupling, pull, strength - 0.5, liked)
    np.testing.assert_allclose(found, rise, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("float64")
def test_influences_change_sign_where_they_are_said_to():
    coupling, pull, _, liked = toys()
    turning = np.asarray(TURNING(*toys()))
    for i in range(2):
        before, there, after = (INFLUENCE(coupling, pull, turning[:, i] + by, liked)[:, i] for by in (-0.01, 0, 0.01))
        assert (before > 0).all() and (after < 0).all()
        np.testing.assert_allclose(there, 0, atol=1e-9)
    assert ((turning[:, 0] > 0) & (turning[:, 1] < 0)).sum() > 20  # what first helps the one may always harm the other


def test_float32_keeps_the_influences():
    """To 2e-6 of the size of their terms, (‖g‖ + η ‖m‖) ‖dm/dλ‖."""
    toy = [part.astype(np.float32) for part in toys()]
    with jax.enable_x64(True):
        exact = np.asarray(INFLUENCE(*(part.astype(float) for part in toy)))
    mean, liked = fixed_points(*(part.astype(float) for part in toy[:3])), toy[3]
    size = (np.linalg.norm(liked, axis=2) + COST * np.linalg.norm(mean, axis=2)) * np.linalg.norm(mean, axis=2)
    with jax.enable_x64(False):
        found = np.asarray(INFLUENCE(*toy))
    assert found.dtype == np.float32
    assert (np.abs(found - exact) * toy[2][:, None] / size).max() < 2e-6


def test_what_has_no_fixed_point_is_refused():
    with pytest.raises(ValueError, match="spectral radius of 1"):
        theory.coupled_means(np.eye(2), np.ones(2), 1.0)
    with pytest.raises(ValueError, match=r"shape \(2, 2\) for a pull of shape \(3,\)"):
        theory.coupled_means(0.5 * np.eye(2), np.ones(3), 1.0)


def test_one_model_is_the_single_loop():
    """And two that ignore each other are two of them; five generations."""
    p = jnp.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
    r = jnp.array([[1.0, 0.0, -1.0, 2.0], [0.0, 3.0, 0.5, -1.0]])
    lam = 2.0
    raw, own = 1 / (1 + lam), lam / (1 + lam)

    @jax.jit
    def courses(p, r):
        one = theory.interacting_trajectory(p[:1], r[:1], jnp.array([[raw, 0, own]]), k=2.5, num=5)
        apart = jnp.array([[raw, 0, 0, own, 0], [raw, 0, 0, 0, own]])
        two = theory.interacting_trajectory(p, r, apart, k=2.5, num=5)
        alone = jax.vmap(lambda p, r: theory.trajectory(p, r, k=2.5, lam=lam, num=5))(p, r)
        return one[:, 0], two, jnp.moveaxis(alone, 0, 1)

    one, two, alone = courses(p, r)
    np.testing.assert_allclose(one, alone[:, 0], rtol=1e-5)
    np.testing.assert_allclose(two, alone, rtol=1e-5)


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
    with jax.enable_x64(True):
        found = jax.jit(lambda p: theory.interact(p, r, shares, k=2, p_ref=p_ref))(p)
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_shares_of_another_shape_are_refused():
    p = jnp.full((2, 3), 1 / 3)
    with pytest.raises(ValueError, match=r"shares of shape \(2, 3\)"):
        theory.interact(p, p, jnp.full((2, 3), 1 / 3), k=2, p_ref=p[0])
