"""Tastes that move with the population, against enumeration and closed forms, in both precisions."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining import theory

FEATURES = np.array([[1.0, 0.0], [-0.4, 0.9], [-0.6, -0.7], [0.2, 0.1]])
P = np.array([0.4, 0.3, 0.2, 0.1])
WEIGHT, BETA, TEMPERATURE = np.array([0.3, -0.5]), 0.4, 0.25
PERIOD = 12


def by_enumeration(k, lam, num):
    """The course of (p, w) with every ordered group of `k`, one by one, in float64."""
    p, weight, share = P, WEIGHT, 1 / (1 + 1 / lam)
    for _ in range(num + 1):
        yield p, weight
        attraction = np.exp(FEATURES @ weight / TEMPERATURE)
        curated = np.zeros(4)
        for group in itertools.product(range(4), repeat=k):
            rows = list(group)
            np.add.at(curated, rows, p[rows].prod() * attraction[rows] / attraction[rows].sum())
        weight = (1 - BETA) * weight + BETA * curated @ FEATURES
        weight = weight / max(1.0, np.linalg.norm(weight))
        p = (1 - share) * P + share * curated


def linear(features, weight):
    return features @ weight


@pytest.mark.parametrize(("x64", "accuracy"), [(True, 1e-9), (False, 2e-4)])
@pytest.mark.parametrize("lam", [1.0, np.inf])
def test_a_course_is_that_of_all_groups(x64, accuracy, lam):
    """Six generations with K = 3; errors of the operator, 5e-5 in float32, add up."""
    with jax.enable_x64(x64):
        features = jnp.asarray(FEATURES, float)
        p, weight = theory.moving_trajectory(
            jnp.asarray(P, float), jnp.asarray(WEIGHT, float), reward=functools.partial(linear, features),
            follow=lambda w, kept: theory.follow_the_kept(w, kept, features, BETA), k=3, lam=lam, num=6,
            temperature=TEMPERATURE, reward_range=10.0,
        )  # fmt: skip
        assert p.dtype == (jnp.float64 if x64 else jnp.float32)
    expected_p, expected_weight = zip(*by_enumeration(3, lam, 6), strict=True)
    np.testing.assert_allclose(p, expected_p, rtol=accuracy, atol=accuracy / 10)
    np.testing.assert_allclose(weight, expected_weight, rtol=accuracy, atol=accuracy)


def test_a_taste_that_stays_is_the_usual_course(float64):
    r = jnp.asarray(FEATURES @ WEIGHT)
    options = {"k": 2.5, "lam": 0.7, "num": 5, "temperature": 0.5, "p_ref": jnp.full(4, 0.25)}
    stays = theory.moving_trajectory(
        jnp.asarray(P), (), reward=lambda _: r, follow=lambda taste, _: taste, observe=lambda p, _: p, **options
    )
    np.testing.assert_allclose(stays, theory.trajectory(jnp.asarray(P), r, **options), rtol=1e-12)


def test_a_taste_that_went_round_brings_the_population_back(float64):
    """At K = ∞, λ = ∞ only the sum of the rewards counts, and over a period that of a circle is zero."""
    features = jnp.asarray(FEATURES)

    def reward(generation):
        angle = 2 * jnp.pi * generation / PERIOD
        return 3 * features @ jnp.stack([jnp.cos(angle), jnp.sin(angle)])

    p, generation = theory.moving_trajectory(
        jnp.asarray(P), jnp.zeros(()), reward=reward, follow=lambda t, _: t + 1, k=jnp.inf, lam=jnp.inf, num=PERIOD
    )
    np.testing.assert_array_equal(generation, np.arange(PERIOD + 1))
    felt = np.cumsum([np.asarray(reward(t)) for t in range(PERIOD)], axis=0)
    expected = P * np.exp(felt)
    np.testing.assert_allclose(p[1:], expected / expected.sum(axis=1, keepdims=True), rtol=1e-9)
    np.testing.assert_allclose(p[-1], P, rtol=1e-9)
    assert np.abs(p[PERIOD // 2] - P).max() > 0.3


@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_the_taste_stays_in_the_ball(float64, scale):
    moved = theory.follow_the_kept(jnp.asarray(WEIGHT), jnp.asarray(P), scale * jnp.asarray(FEATURES), BETA)
    free = 0.6 * WEIGHT + 0.4 * scale * P @ FEATURES
    np.testing.assert_allclose(moved, free / max(1.0, np.linalg.norm(free)), rtol=1e-12)
    assert (np.linalg.norm(free) > 1) == (scale > 1)
