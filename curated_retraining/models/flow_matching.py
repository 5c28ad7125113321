"""Flow matching: a velocity field from noise to data along straight lines (Lipman et al. 2023, Tong et al. 2024)."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from curated_retraining.models.trained import trained
from curated_retraining.networks.mlp import TimeMLP, time_features
from curated_retraining.types import Array, Model, PRNGKey

Coupling = Callable[[PRNGKey, Array, Array], Array]  # key, noise [n, *event], x [n, *event] -> noise in the order of x
Solver = Callable[[Callable, Array, Array, Array], Array]  # velocity(x, time), x, time [], step [] -> x after the step


def flow_matching(
    network: nn.Module | None = None,
    *,
    coupling: Coupling | None = None,
    solver: Solver | None = None,
    sample_steps: int = 20,
    **training,
) -> Model:
    """A continuous normalizing flow from a standard normal, trained by conditional flow matching on weighted points.

    Args:
        network: x `[n, *event]`, time features `[n or 1, 32]` -> velocity; `TimeMLP()` by default.
        coupling: which noise goes with which point of a batch: `independent` by default, `exact_ot` or `sinkhorn()`.
        solver: `euler`, `heun` (the default) or `rk4`, with `sample_steps` even steps from noise to data.
        training: what `trained` takes: `steps`, `batch_size`, `learning_rate`, `ema`, ...

    `log_prob` integrates the exact divergence, one directional derivative a coordinate: for low dimension. Its error is
    the solver's, and it is the density of what `sample` draws up to that error.
    """
    network = TimeMLP() if network is None else network
    coupling = coupling or independent
    solver = solver or heun
    if sample_steps < 1:
        raise ValueError(f"sample_steps={sample_steps} is not a number of solver steps: take 1 or more")

    def init_params(key, x):
        return network.init(key, x[:1], time_features(jnp.zeros(1)))

    def loss(key, params, x):
        noise_key, coupling_key, time_key = jax.random.split(key, 3)
        noise = coupling(coupling_key, jax.random.normal(noise_key, x.shape, x.dtype), x)
        time = jax.random.uniform(time_key, x.shape[:1])
        between = jax.vmap(lambda time, noise, x: (1 - time) * noise + time * x)(time, noise, x)
        return jnp.mean((network.apply(params, between, time_features(time)) - (x - noise)) ** 2)

    def velocity_of(state):
        return lambda x, time: network.apply(state.average, x, time_features(time[None]))

    def sample(key, state, num):
        noise = jax.random.normal(key, (num, *state.event.shape), state.event.dtype)
        return _solve(solver, velocity_of(state), noise, 0.0, 1.0, sample_steps)

    def log_prob(state, x):
        velocity = velocity_of(state)

        def with_divergence(point, time):
            return velocity(point[0], time), _divergence(lambda x: velocity(x, time), point[0])

        noise, change = _solve(solver, with_divergence, (x, jnp.zeros(x.shape[0])), 1.0, 0.0, sample_steps)
        return jax.scipy.stats.norm.logpdf(noise.reshape(x.shape[0], -1)).sum(axis=-1) + change

    init, fit = trained(init_params, loss, **training)
    return Model(init, fit, sample, log_prob)


def independent(key: PRNGKey, noise: Array, x: Array) -> Array:
    """Leaves the noise as it was drawn."""
    del key, x
    return noise


def exact_ot(key: PRNGKey, noise: Array, x: Array) -> Array:
    """The assignment of least total squared distance; cubic in the batch."""
    del key
    rows, columns = optax.assignment.hungarian_algorithm(_cost(x, noise))
    return jnp.zeros_like(noise).at[rows].set(noise[columns])


def sinkhorn(regularisation: float = 0.05, iterations: int = 50) -> Coupling:
    """Draws each point's noise from the entropic transport plan; `regularisation` in units of the mean cost."""
    if not regularisation > 0 or iterations < 1:
        raise ValueError(f"regularisation={regularisation}, iterations={iterations}: both must be positive")

    def coupling(key, noise, x):
        cost = _cost(x, noise)
        log_kernel = -cost / (regularisation * cost.mean())

        def scale(_, potentials):
            row, column = potentials
            row = -jax.nn.logsumexp(log_kernel + column[None], axis=1)
            column = -jax.nn.logsumexp(log_kernel + row[:, None], axis=0)
            return row, column

        zero = jnp.zeros(x.shape[0])
        _, column = jax.lax.fori_loop(0, iterations, scale, (zero, zero))
        return noise[jax.random.categorical(key, log_kernel + column[None], axis=1)]

    return coupling


def euler(velocity, x, time, step):
    """One evaluation a step, first order."""
    return _moved(x, step, velocity(x, time))


def heun(velocity, x, time, step):
    """Two evaluations a step, second order."""
    first = velocity(x, time)
    second = velocity(_moved(x, step, first), time + step)
    return _moved(_moved(x, step / 2, first), step / 2, second)


def rk4(velocity, x, time, step):
    """Four evaluations a step, fourth order."""
    first = velocity(x, time)
    second = velocity(_moved(x, step / 2, first), time + step / 2)
    third = velocity(_moved(x, step / 2, second), time + step / 2)
    fourth = velocity(_moved(x, step, third), time + step)
    mean = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, first, second, third, fourth)
    return _moved(x, step, mean)


def _moved(x, step, velocity):
    return jax.tree.map(lambda x, v: x + step * v, x, velocity)


def _solve(solver, velocity, x, begin, end, steps):
    step = (end - begin) / steps

    def advance(x, index):
        return solver(velocity, x, begin + step * index, step), None

    return jax.lax.scan(advance, x, jnp.arange(steps))[0]


def _divergence(field, x):
    """Σ_i ∂field_i/∂x_i at each of `x` `[n, *event]`, exactly."""
    size = x[0].size

    def along(index):
        direction = jnp.zeros((1, size), x.dtype).at[0, index].set(1.0).reshape(1, *x.shape[1:])
        _, slope = jax.jvp(field, (x,), (jnp.broadcast_to(direction, x.shape),))
        return slope.reshape(x.shape[0], -1)[:, index]

    return jax.lax.map(along, jnp.arange(size)).sum(axis=0)


def _cost(x, noise):
    flat_x, flat_noise = (a.reshape(a.shape[0], -1) for a in (x, noise))
    return jax.vmap(lambda row: jax.vmap(lambda other: jnp.sum((row - other) ** 2))(flat_noise))(flat_x)
