import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from curated_retraining.data import cumulative, draw_index, uniform
from curated_retraining.models.trained import trained
from curated_retraining.types import Dataset

EPS = np.finfo(np.float32).eps
POINTS = uniform(jnp.zeros((3, 2)))
SLOPE = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([4.0])}  # of norm 5


def slope(key, params, x):
    """A loss with the gradient `SLOPE` everywhere."""
    del key, x
    return sum(jnp.vdot(SLOPE[name], params[name]) for name in SLOPE)


def after(fits=1, loss=slope, params=None, data=POINTS, **options):
    """The states after each of `fits` fits, from zero parameters unless others are given."""
    start = jax.tree.map(jnp.zeros_like, SLOPE) if params is None else params
    trainer = trained(lambda key, x: start, loss, batch_size=options.pop("batch_size", 4), **options)
    fit, states = jax.jit(trainer.fit), [trainer.init(jax.random.key(0), data.x)]
    for generation in range(fits):
        states.append(fit(jax.random.key(generation), states[-1], data))
    return states[1:]


@pytest.mark.parametrize("ema", [0.0, 0.4, 0.999])
def test_the_average_follows_its_decay_with_warm_up(ema):
    """In float64 by the rule of the docstring, in two fits, each of which starts the average at the parameters."""
    steps, rate = 12, 0.1
    states = after(fits=2, optimizer=optax.sgd(rate), steps=steps, ema=ema)
    params = 0.0
    for state in states:
        average = params
        for t in range(steps):
            params -= rate * 4.0
            decay = min(ema, (1 + t) / (10 + t))
            average = decay * average + (1 - decay) * params
        np.testing.assert_allclose(state.params["b"], params, rtol=2 * steps * EPS)
        np.testing.assert_allclose(state.average["b"], average, rtol=4 * steps * EPS)


@pytest.mark.parametrize(("clip", "norm"), [(None, 5.0), (1.0, 1.0), (7.0, 5.0)])
def test_the_global_norm_of_a_gradient_is_clipped(clip, norm):
    """Adam's first moment after one step is a tenth of the gradient that came out of the clipping."""
    moment = optax.tree.get(after(steps=1, clip=clip)[0].optimizer, "mu")
    np.testing.assert_allclose(10 * optax.tree.norm(moment), norm, rtol=10 * EPS)
    np.testing.assert_allclose(moment["a"][0] / moment["b"][0], 0.75, rtol=10 * EPS)


@pytest.mark.parametrize(("carry", "counts", "moved"), [(True, [5, 10], [0.5, 0.5]), (False, [5, 5], [0.5, 1.0])])
def test_a_fit_resets_the_optimiser_or_carries_it_and_its_schedule_with_it(carry, counts, moved):
    """The schedule is 0.1 in the first five steps and then 0; Adam moves by the rate where the gradient is constant."""
    states = after(fits=2, steps=5, carry_optimizer=carry, learning_rate=lambda count: jnp.where(count < 5, 0.1, 0.0))
    assert [int(optax.tree.get(state.optimizer[1][0], "count")) for state in states] == counts
    np.testing.assert_allclose([-state.params["b"][0] for state in states], moved, rtol=1e-5)  # Adam's ε, rounding


def test_a_schedule_sets_the_rate_of_each_step():
    states = after(steps=10, learning_rate=optax.linear_schedule(0.1, 0.0, 10))
    np.testing.assert_allclose(states[0].params["b"], -sum(0.1 * (1 - t / 10) for t in range(10)), rtol=1e-5)


@jax.jit
def averaged(init_key, fit_key, data):
    """The mean of all points drawn, 8 in each of 200 steps, whose rates are 1, 1/2, 1/3, ..."""
    trainer = trained(
        lambda key, x: jnp.zeros(x.shape[1:]),
        lambda key, params, x: 0.5 * jnp.sum(jax.vmap(lambda row: (row - params) ** 2)(x)) / x.shape[0],
        optimizer=optax.sgd(lambda count: 1 / (1 + count)),
        steps=200,
        batch_size=8,
    )
    return trainer.fit(fit_key, trainer.init(init_key, data.x), data).params


@pytest.mark.statistical
def test_least_squares_finds_the_weighted_mean():
    """The error of the mean of 1,600 points is known exactly."""
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(30, 40)), rng.dirichlet(np.full(30, 2.0))
    data = Dataset(jnp.asarray(x, jnp.float32), jnp.asarray(weight, jnp.float32))
    mean = weight @ x
    error = np.sqrt(weight @ (x - mean) ** 2 / (200 * 8))
    z = (np.asarray(averaged(jax.random.key(0), jax.random.key(1), data)) - mean) / error
    assert np.abs(z).max() < 4.5
    # the 40 coordinates share their draws: what they share lets the mean square of z vary more than 40 free ones would
    assert 0.12 < np.mean(z**2) < 3


@pytest.mark.statistical
def test_each_step_has_a_batch_and_a_key_of_its_own():
    """The slope is the key's noise: after T steps of rate 1 the parameters have variance T, T² with one key for all.

    The mean square of 4000 of them is T to within 4.5 standard errors, T √(2 / 4000) each.
    """
    steps, num = 16, 4000
    (state,) = after(
        loss=lambda key, params, x: jnp.vdot(params, jax.random.normal(key, (num,))),
        params=jnp.zeros(num),
        optimizer=optax.sgd(1.0),
        steps=steps,
    )
    np.testing.assert_allclose(np.mean(state.params**2), steps, atol=4.5 * steps * np.sqrt(2 / num))


def test_the_state_knows_the_event():
    trainer = trained(lambda key, x: jnp.zeros(1), slope)
    event = trainer.init(jax.random.key(0), jnp.ones((5, 2, 3), jnp.int32)).event
    np.testing.assert_array_equal(event, np.zeros((2, 3)))
    assert event.dtype == jnp.int32


@pytest.mark.parametrize("options", [{"steps": 0}, {"batch_size": 0}, {"ema": 1.0}, {"ema": -0.1}])
def test_mistakes_are_rejected(options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"{name}={value}"):
        trained(lambda key, x: jnp.zeros(1), slope, **options)


def test_what_is_prepared_has_a_key_of_its_own_and_is_the_same_however_many_steps_are_prepared_at_once(monkeypatch):
    """Preparing draws rows as batches are drawn: with one key for both they would agree, and the slope be zero."""
    data = uniform(jnp.arange(100.0))

    def prepare(key, x):
        return x, data.x[draw_index(key, cumulative(data.weight), x.shape[0])]

    def loss(key, params, prepared):
        del key
        x, other = prepared
        return params["b"][0] * jnp.mean(jnp.abs(x - other))

    found = []
    for most in (1, 4):
        monkeypatch.setattr("curated_retraining.models.trained.MOST_AHEAD", most)
        found.append(after(loss=loss, prepare=prepare, data=data, steps=8, optimizer=optax.sgd(1.0))[0].params["b"][0])
    assert found[0] < -8 * 10  # |x − other| is 33 in the mean, its standard error over 32 draws 4
    np.testing.assert_allclose(*found, rtol=8 * EPS)
