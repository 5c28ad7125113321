import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pools import curate, repeated
from scipy.special import softmax

from curated_retraining import curation

ERRORS = [
    (lambda: curation.luce(-0.5), "temperature=-0.5"),
    (lambda: curation.luce(np.nan), "temperature=nan"),
    (lambda: curate(curation.k_way(2, curation.luce()), jnp.zeros((6, 2))), r"\(2, 2\)"),
]


@pytest.mark.parametrize(("act", "message"), ERRORS)
def test_mistakes_are_rejected(act, message):
    with pytest.raises(ValueError, match=message):
        act()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_luce_chooses_in_proportion_to_exp_reward(assert_mean, temperature):
    reward = np.array([0.0, 1.0, -1.0, 2.5])
    chosen = repeated(curation.k_way(4, curation.luce(temperature)), reward, 20_000)
    assert_mean(chosen[:, None] == np.arange(4), softmax(reward / temperature))


@pytest.mark.parametrize("temperature", [0.0, 1e-30])
def test_at_temperature_zero_the_best_win_and_ties_are_even(assert_mean, temperature):
    chosen = repeated(curation.k_way(4, curation.luce(temperature)), [1.0, 3.0, 3.0, 0.0], 10_000)
    assert_mean(chosen[:, None] == np.arange(4), [0, 0.5, 0.5, 0])


@pytest.mark.parametrize("temperature", [1e30, np.inf])
def test_at_a_high_temperature_the_choice_is_even(assert_mean, temperature):
    chosen = repeated(curation.k_way(3, curation.luce(temperature)), [1.0, 3.0, 0.0], 10_000)
    assert_mean(chosen[:, None] == np.arange(3), 1 / 3)


def test_temperature_is_data():
    reward, temperatures = np.random.default_rng(3).normal(size=6), jnp.array([0.0, 0.3, jnp.inf])

    def both(temperature):
        return curate(curation.k_way(2, curation.luce(temperature)), reward), curate(curation.tilt(temperature), reward)

    together = jax.vmap(both)(temperatures)
    for i, temperature in enumerate(temperatures):
        kept, tilted = both(temperature)
        np.testing.assert_array_equal(together[0].x[i], kept.x)
        np.testing.assert_allclose(together[1].weight[i], tilted.weight, rtol=1e-6)  # another order of summation
