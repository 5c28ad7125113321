"""What every reward and every metric keeps to: a row each, the same tests for all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parts import named

import curated_retraining as cr
from curated_retraining import metrics, rewards
from curated_retraining.types import Generation, Metrics, Reward

N, EVENT = 12, (2, 3)
POINTS, REAL = (jax.random.normal(jax.random.key(seed), (N, *EVENT)) for seed in (0, 1))


def first(x):
    return x[:, 0, 0]


def logits(x):
    return x.reshape(len(x), -1)[:, :4]


def sign(x):
    return (first(x) > 0).astype(int)


# Each reward with one number after another in the place of an argument that is data, if it has one.
REWARDS = {
    "distance": [rewards.distance(jnp.ones(EVENT), 0.5, gamma) for gamma in (10.0, 3.0)],
    "log_density": [rewards.log_density(first, gamma) for gamma in (1.0, 2.0)],
    "class_probability": [rewards.class_probability(logits, 1, gamma) for gamma in (5.0, 1.0)],
    "confidence": [rewards.confidence(logits, gamma) for gamma in (15.0, 1.0)],
    "stack": [rewards.stack(first, rewards.scale(first, factor)) for factor in (2.0, 3.0)],
    "combine": [rewards.combine([first, first], jnp.array([1.0, weight])) for weight in (2.0, 3.0)],
    "scale": [rewards.scale(first, factor) for factor in (2.0, 3.0)],
    "negate": [rewards.negate(first)],
}
MODEL = cr.Model(lambda key, x: (), lambda key, state, data: state, None, lambda state, x: -jnp.ones(len(x)))
MOMENTS, NEIGHBOURS = metrics.moments(logits, REAL), metrics.neighbours(logits, REAL, k=3)
METRICS = {
    "reward_moments": metrics.reward_moments(),
    "reward_quantiles": metrics.reward_quantiles((0.25, 0.5)),
    "top_mass": metrics.top_mass(0.0),
    "proportions": metrics.proportions(sign, 2),
    "kl_on_grid": metrics.kl_on_grid(MODEL, REAL, 0.1, first),
    "kl_to_sample": metrics.kl_to_sample(REAL, neighbour=2),
    "sliced_wasserstein": metrics.sliced_wasserstein(jax.random.key(2), REAL, 4),
    "mmd": metrics.mmd(REAL, 1.0),
    "snapshot": metrics.snapshot(5),
    "frechet": metrics.frechet(logits, MOMENTS),
    "precision_recall": metrics.precision_recall(logits, NEIGHBOURS),
    "density_coverage": metrics.density_coverage(logits, NEIGHBOURS),
    "prdc": metrics.prdc(logits, NEIGHBOURS),
    "memorisation": metrics.memorisation(logits, NEIGHBOURS),
}
RECORD = Generation((), POINTS, first(POINTS), cr.uniform(POINTS), cr.uniform(POINTS))


@pytest.mark.parametrize("name", REWARDS)
def test_a_reward_scores_each_point_by_itself_and_its_numbers_are_inputs_of_the_program(name):
    traces = []

    def traced(reward, x):
        traces.append(name)
        return reward(x)

    score, beside_others = jax.jit(traced), jnp.concatenate([POINTS[:5], REAL[5:]])
    scored = [np.asarray(score(reward, POINTS)) for reward in REWARDS[name]]
    for reward, values in zip(REWARDS[name], scored, strict=True):
        assert values.shape[0] == N and values.ndim in (1, 2) and np.isfinite(values).all()
        np.testing.assert_array_equal(score(reward, beside_others)[:5], values[:5])
    assert traces == [name]
    assert all(np.abs(values - scored[0]).max() > 0.1 for values in scored[1:])


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_reports_finite_numbers_by_name(name):
    report = jax.jit(lambda metric, record: metric(record))(METRICS[name], RECORD)
    assert report and all(isinstance(key, str) for key in report)
    assert all(np.isfinite(value).all() for value in report.values())


def test_no_two_metrics_report_the_same_name_but_where_one_is_part_of_the_other():
    named = {name: jax.eval_shape(metric, RECORD).keys() for name, metric in METRICS.items()}
    shared = {frozenset((a, b)) for a in named for b in named if a < b and named[a] & named[b]}
    parts = {("density_coverage", "prdc"), ("precision_recall", "prdc"), ("kl_on_grid", "kl_to_sample")}
    assert shared == {frozenset(pair) for pair in parts}


def test_every_public_reward_and_metric_has_its_row():
    assert named("rewards", Reward) - {"tempered", "entropy_bonus"} == REWARDS.keys()  # these read who is judged, too
    assert named("metrics", Metrics) - {"join"} == METRICS.keys()
