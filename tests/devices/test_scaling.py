"""The formulae of the costs against what XLA counts in compiled programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import curated_retraining as cr
from benchmarks import scaling
from curated_retraining.models.flow_matching import euler
from curated_retraining.networks.mlp import TimeMLP
from curated_retraining.networks.unet import UNet

BATCH = 64
NETWORK = UNet(32, (1, 2), blocks=1, attention=(4,), head_channels=32)
CASES = {
    "mlp": (TimeMLP(64, 2), (8,), scaling.mlp_forward(TimeMLP(64, 2), 8)),
    "unet": (NETWORK, (8, 8, 3), scaling.unet_forward(NETWORK, 8, 3)),
}


@pytest.fixture(scope="module", params=["mlp", pytest.param("unet", marks=pytest.mark.long)])
def counted(request):
    """One step of training and one of sampling: XLA counts the body of a loop once, however often it runs."""
    network, event, forward = CASES[request.param]
    model = cr.flow_matching(network, solver=euler, sample_steps=1, steps=1, batch_size=BATCH)
    data = cr.uniform(jnp.zeros((2, *event)))
    state = jax.eval_shape(model.init, jax.random.key(0), data.x)
    fit = jax.jit(model.fit).lower(jax.random.key(0), state, data).compile()
    sample = jax.jit(model.sample, static_argnums=2).lower(jax.random.key(0), state, BATCH).compile()
    return network, event, forward, fit, sample


def test_operations_are_what_xla_counts_within_a_tenth(counted):
    _, _, forward, fit, sample = counted
    assert scaling.fit(forward, 1, BATCH) == pytest.approx(fit.cost_analysis()["flops"], rel=0.1)
    assert scaling.sampling(forward, 1, BATCH) == pytest.approx(sample.cost_analysis()["flops"], rel=0.1)


def test_the_state_is_what_the_program_takes(counted):
    network, event, _, fit, _ = counted
    data = 4 * (2 * np.prod(event) + 2)
    taken = fit.memory_analysis().output_size_in_bytes
    assert scaling.state_bytes(scaling.parameters(network, *event)) == pytest.approx(taken - data, rel=0.01)


def test_the_paper_s_network_and_what_bounds_its_steps():
    network, card = scaling.unet.paper(), scaling.Card()
    forward, num = scaling.unet_forward(network, 32, 3), scaling.parameters(network, 32, 32, 3)
    params = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)), jnp.zeros((1, 32)))
    apply = jax.jit(network.apply).lower(params, jnp.zeros((1, 32, 32, 3)), jnp.zeros((1, 32)))
    assert forward == pytest.approx(apply.cost_analysis()["flops"], rel=0.1)
    assert num == sum(leaf.size for leaf in jax.tree.leaves(params))
    one, eight, many = (scaling.step_seconds(card, forward, num, 128, devices) for devices in (1, 8, 128))
    bounds = [max(step._asdict(), key=step._asdict().__getitem__) for step in (one, eight, many)]
    assert bounds == ["operations", "operations", "messages"] and sum(eight) < sum(one) / 2 < sum(many)
