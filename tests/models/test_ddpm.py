from itertools import pairwise

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from curated_retraining.data import uniform
from curated_retraining.models.ddpm import cosine_betas, ddpm, denoising_loss, linear_betas
from curated_retraining.models.samplers import ancestral, multistep

LEVELS, SD = 100, 2.0
KEPT = np.cumprod(1 - np.linspace(1e-3, 0.2, LEVELS))  # of linear_betas(100), in float64


class Exact(nn.Module):
    """E[noise | x] at each level for data N(0, SD²), times a learned factor that is best at one."""

    start: float = 1.0

    @nn.compact
    def __call__(self, x, features):
        time = jnp.arctan2(features[:, 0], features[:, 16]) / jnp.pi  # of half a turn, the slowest of the features
        kept = jnp.asarray(KEPT, x.dtype)[jnp.round(time * LEVELS).astype(int)]
        slope = jnp.sqrt(1 - kept) / (kept * SD**2 + 1 - kept)
        return self.param("factor", nn.initializers.constant(self.start), ()) * slope[:, None] * x


def samples(num=20_000, **options):
    model = ddpm(Exact(), **options)
    state = model.init(jax.random.key(0), jnp.zeros((1, 1)))
    return np.asarray(jax.jit(model.sample, static_argnums=2)(jax.random.key(1), state, num))


def test_all_levels_with_eta_one_are_the_ancestral_sampler(assert_mean):
    """The variance by Algorithm 2 of Ho et al., which with the posterior variances falls short of the data's by 6 %."""
    betas = np.linspace(1e-3, 0.2, LEVELS)
    before = np.append(1.0, KEPT[:-1])
    variance = 1.0
    for beta, kept, next_kept in reversed(list(zip(betas, KEPT, before, strict=True))):
        mean = (1 - beta / (kept * SD**2 + 1 - kept)) / np.sqrt(1 - beta)
        variance = mean**2 * variance + beta * (1 - next_kept) / (1 - kept)
    assert_mean(samples() ** 2, [variance])
    assert 0.93 < variance / SD**2 < 1


@pytest.mark.parametrize("steps", [100, 20])
def test_eta_zero_is_euler_in_the_ratio_of_noise_to_signal(assert_mean, steps):
    """Song, Meng, Ermon's eq. 14: x / √kept moves by the noise times the change of √(1 / kept − 1).

    That is first order, so its variance falls short of the data's in proportion to 1 / steps: by about 3 / steps.
    """
    visited = np.round(np.linspace(LEVELS - 1, 0, steps)).astype(int)
    ratio = np.append(np.sqrt(1 / KEPT[visited] - 1), 0.0)
    scale = 1 / np.sqrt(KEPT[-1])
    for now, after in pairwise(ratio):
        scale *= 1 + (after - now) * now / (SD**2 + now**2)
    assert_mean(samples(sampler=ancestral(steps, eta=0.0)) ** 2, [scale**2])
    assert 1 - 4 / steps < scale**2 / SD**2 < 1


def test_eta_zero_draws_nothing_but_the_first_noise():
    """The sampler is linear here: with two numbers of steps, the same first noise gives proportional samples."""
    few, many = (samples(1000, sampler=ancestral(steps, eta=0.0)) for steps in (10, 30))
    np.testing.assert_allclose(few / many, few[0, 0] / many[0, 0], rtol=1e-4)  # rounding of 30 steps
    few, many = (samples(1000, sampler=ancestral(steps, eta=0.1)) for steps in (10, 30))
    assert np.std(few / many) > 1e-2


@pytest.mark.parametrize("sd", [0.2, 1.0])
def test_multistep_keeps_the_variance_of_normals(sd):
    """With the best predictor for N(0, sd²), one point carried through: the sampler is linear there."""
    for betas, steps, most in (
        (linear_betas(100), 25, 0.03),
        (cosine_betas(100), 25, 0.03),
        (linear_betas(1000), 50, 0.01),
    ):
        kept = np.cumprod(1 - betas)
        slope = jnp.asarray(np.sqrt(1 - kept) / (kept * sd**2 + 1 - kept), jnp.float32)
        scale = multistep(steps)(jax.random.key(0), jnp.ones((1, 1)), kept, _times(slope))[0, 0]
        assert abs(scale**2 / sd**2 - 1) < most


def test_multistep_is_of_second_order():
    """Twice the steps, a quarter of the error: 20 to 40 of 10,000 levels, the last of which leave next to no noise."""
    kept = 1 / (1 + np.geomspace(1e-4, 1e2, 10_000) ** 2)  # data N(0, 1) and noise in ratio

    def error(steps):
        scale = multistep(steps)(jax.random.key(0), jnp.ones((1, 1)), kept, _times(jnp.sqrt(1 - jnp.asarray(kept))))
        return abs(float(scale[0, 0]) - 1)

    with jax.enable_x64(True):
        assert 3 < error(20) / error(40) < 5


def test_the_cosine_schedule_keeps_a_squared_cosine_of_the_signal():
    """Nichol and Dhariwal (2021, eq. 17), but for the last level, whose variance is capped."""
    time = np.arange(101) / 100
    wanted = np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(np.cumprod(1 - cosine_betas(100))[:-1], wanted[1:-1] / wanted[0], rtol=1e-9)
    assert cosine_betas(100)[-1] == 0.999


@jax.jit
def factors(init_key, fit_keys, data):
    """The factor of the predictor after training with each of the keys."""
    model = ddpm(Exact(start=0.0), steps=60, batch_size=256, optimizer=optax.sgd(0.4))
    state = model.init(init_key, data.x)
    return jax.vmap(lambda key: model.fit(key, state, data))(fit_keys).params["params"]["factor"]


def test_training_finds_the_conditional_mean_of_the_noise(assert_mean):
    """The factor of the best predictor is one at every level: least squares in one number, without bias by seeds.

    Points of variance SD² exactly, for the best factor depends on no other moment; the steps leave 1e-6 of the start.
    """
    z = jax.random.normal(jax.random.key(0), (500, 1))
    data = uniform(SD * (z - z.mean()) / z.std())
    with jax.debug_key_reuse(False):  # which takes the keys of a scan under vmap for used ones
        assert_mean(factors(jax.random.key(1), jax.random.split(jax.random.key(2), 64), data), 1)


def test_linear_betas_add_up_to_those_of_a_thousand():
    np.testing.assert_allclose(linear_betas(1000), np.linspace(1e-4, 0.02, 1000), rtol=1e-5)
    for levels in (25, 100):
        np.testing.assert_allclose(linear_betas(levels).sum(), 1000 * (1e-4 + 0.02) / 2, rtol=1e-5)


def test_samples_have_the_shape_of_the_event():
    model = ddpm(sampler=ancestral(3))
    state = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((2, 4, 4, 1)))
    x = jax.eval_shape(lambda key, state: model.sample(key, state, 5), jax.random.key(1), state)
    assert x.shape == (5, 4, 4, 1) and x.dtype == jnp.float32


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ddpm(sampler=ancestral(0)), "steps=0 is not a number of the 100"),
        (lambda: ddpm(sampler=multistep(101)), "steps=101"),
        (lambda: ddpm(sampler=multistep(start=4.0)), "start=4.0 is cleaner than the least noise"),
        (lambda: ddpm(betas=jnp.full(5, 0.1), sampler=ancestral(6)), "steps=6 is not a number of the 5"),
        (lambda: ddpm(betas=[0.1, 1.0]), "betas=.* are not variances"),
        (lambda: ancestral(eta=-0.5), r"eta=-0\.5"),
        (lambda: ancestral(eta=1.5), r"eta=1\.5"),
    ],
)
def test_mistakes_are_rejected(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def _times(slope):
    """The predictor that multiplies by a number a level."""
    return lambda x, level: slope[level] * x


@pytest.mark.statistical
def test_the_denoising_loss_of_a_point_is_what_the_exact_denoiser_leaves():
    """(c √k x + (c √(1 − k) − 1) ε)² on average over levels, c the exact slope: 4,000 draws, 4.5 standard errors."""
    draws, x = 4000, jnp.array([[0.0], [1.0], [-3.0], [8.0]])
    state = ddpm(Exact()).init(jax.random.key(0), x)
    got = jax.jit(lambda key, state, x: denoising_loss(key, Exact(), draws=draws)(state, x))(
        jax.random.key(5), state, x
    )
    slope = np.sqrt(1 - KEPT) / (KEPT * SD**2 + 1 - KEPT)
    of_point, of_noise = slope * np.sqrt(KEPT) * np.asarray(x), slope * np.sqrt(1 - KEPT) - 1  # [points, levels]
    expected = (of_point**2 + of_noise**2).mean(axis=1)
    error = np.sqrt((4 * of_point**2 * of_noise**2 + 2 * of_noise**4).mean(axis=1) / draws)
    assert (np.abs(got - expected) < 4.5 * error).all() and (error < 0.05 * expected).all()
    assert (np.diff(expected) > 0).all()  # the less likely, the larger


def test_the_denoising_loss_of_a_point_depends_on_no_other():
    x = jnp.array([[0.5, -1.0], [2.0, 0.0], [0.1, 0.2]])
    model = ddpm(steps=1)
    state, loss = model.init(jax.random.key(0), x), jax.jit(denoising_loss(jax.random.key(5), draws=3))
    assert loss(state, x).shape == (3,)
    np.testing.assert_allclose(loss(state, x)[1], loss(state, x[1:2])[0], rtol=1e-5)
    with pytest.raises(ValueError, match="draws=0"):
        denoising_loss(jax.random.key(0), draws=0)
