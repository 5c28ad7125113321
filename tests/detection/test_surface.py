"""The distance of generation t + 1 from what curation would make of generation t, in data sets where it is true."""

import jax
import jax.numpy as jnp

from curated_retraining.detection.surface import ORDER, curated, distance, seen

NUM, FITTED, SHARE = 500, 200, 0.5


def nobody_chooses(p, k):
    return jnp.ones_like(p)


@jax.jit
@jax.vmap
def apart(key):
    """The distance in a data set, and which functions are alive."""
    before_key, fitted_key, row_key, real_key, later_key, side_key = jax.random.split(key, 6)
    before, fitted = jax.random.uniform(before_key, (NUM,)), jax.random.uniform(fitted_key, (FITTED,))
    curated_half = fitted[jax.random.randint(row_key, (NUM,), 0, FITTED)]
    real, real_half = (2 + jax.random.uniform(key, (NUM,)) for key in (real_key, later_key))
    after = jnp.where(jax.random.bernoulli(side_key, SHARE, (NUM,)), curated_half, real_half)
    of = seen(before, after, real)
    return distance(of, curated(of, nobody_chooses, 1.0), SHARE, FITTED), of.alive


def test_at_the_truth_the_distance_is_chi_squared(assert_mean):
    """A mean of 5 over 400 sets, ± 0.16: half of generation t + 1 is 200 points of generation t, the rest is far off.

    Without the choice of these points it would be 6.7, without what lies between the halves hundreds.
    """

    with jax.debug_key_reuse(False):  # which takes the keys of a map for used ones
        found, alive = apart(jax.random.split(jax.random.key(0), 400))
    assert alive.all()
    assert_mean(found, ORDER)
