"""Flow matching: a velocity field from noise to data along straight lines (Lipman et al. 2023, Tong et al. 2024)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from curated_retraining.models.couplings import Coupling, independent
from curated_retraining.models.solvers import Solver, heun, solve
from curated_retraining.models.trained import of_floats, trained
from curated_retraining.networks.mlp import TimeMLP, time_features
from curated_retraining.types import Model, floating


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
        coupling: which noise goes with which point of a batch, see `couplings`: `independent` by default.
        solver: how samples follow the velocity, see `solvers`: `heun` by default, in `sample_steps` ≥ 1 even steps
            from noise to data.
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

    def prepare(key, x):
        noise_key, coupling_key, time_key = jax.random.split(key, 3)
        noise = coupling(coupling_key, jax.random.normal(noise_key, x.shape, x.dtype), x)
        time = jax.random.uniform(time_key, x.shape[:1])
        between = jax.vmap(lambda time, noise, x: (1 - time) * noise + time * x)(time, noise, x)
        return between, time_features(time), x - noise

    def loss(key, params, prepared):
        del key
        between, features, velocity = prepared
        return jnp.mean((network.apply(params, between, features) - velocity) ** 2)

    def velocity_of(state):
        return lambda x, time: jnp.asarray(network.apply(state.average, x, time_features(time[None])), x.dtype)

    def sample(key, state, num):
        noise = jax.random.normal(key, (num, *state.event.shape), state.event.dtype)
        return solve(solver, velocity_of(state), noise, 0.0, 1.0, sample_steps)

    def log_prob(state, x):
        x, velocity = floating(x), velocity_of(state)

        def with_divergence(point, time):
            return velocity(point[0], time), _divergence(lambda x: velocity(x, time), point[0])

        noise, change = solve(solver, with_divergence, (x, jnp.zeros(x.shape[0])), 1.0, 0.0, sample_steps)
        return jax.scipy.stats.norm.logpdf(noise.reshape(x.shape[0], -1)).sum(axis=-1) + change

    init, fit = of_floats(trained(init_params, loss, prepare=prepare, **training))
    return Model(init, fit, sample, log_prob)


def _divergence(field, x):
    """Σ_i ∂field_i/∂x_i at each of `x` `[n, *event]`, exactly."""
    size = x[0].size

    def along(index):
        direction = jnp.zeros((1, size), x.dtype).at[0, index].set(1.0).reshape(1, *x.shape[1:])
        _, slope = jax.jvp(field, (x,), (jnp.broadcast_to(direction, x.shape),))
        return slope.reshape(x.shape[0], -1)[:, index]

    return jax.lax.map(along, jnp.arange(size)).sum(axis=0)
