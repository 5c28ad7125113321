"""One batched choice among K against NumPy and PyTorch, each by the argmax of reward plus Gumbel noise."""

import jax
import jax.numpy as jnp
import numpy as np

import curated_retraining as cr
from benchmarks.table import Row, peer, turns

GROUPS, K, CALLS = 50_000, 4, 20


def rows(repeats: int) -> list[Row]:
    """A row a peer: a pool `[GROUPS · K, 2]` -> `[GROUPS, 2]`."""
    torch = peer("torch")
    rng = np.random.default_rng(0)
    pool, reward = rng.normal(size=(GROUPS * K, 2)).astype(np.float32), rng.normal(size=GROUPS * K).astype(np.float32)
    device_pool, device_reward = jnp.asarray(pool), jnp.asarray(reward)
    torch_pool, torch_reward = torch.tensor(pool), torch.tensor(reward)
    first = np.arange(0, GROUPS * K, K)
    torch_first = torch.tensor(first)
    choose = jax.jit(cr.k_way(K, cr.luce()))

    def ours(seed):
        for call in range(CALLS):
            chosen = choose(jax.random.key(CALLS * seed + call), device_pool, device_reward)
        return chosen

    def race(seed):  # the argmax of reward plus Gumbel noise is the argmin of exponential noise over e^reward
        for _ in range(CALLS):
            arrival = rng.standard_exponential((GROUPS, K), dtype=np.float32) * np.exp(-reward.reshape(-1, K))
            chosen = pool[first + np.argmin(arrival, axis=1)]
        return chosen

    def gumbel(seed):
        for _ in range(CALLS):
            noise = -torch.empty(GROUPS, K).exponential_().log_()
            torch_pool[torch_first + (torch_reward.view(-1, K) + noise).argmax(dim=1)]

    begun, (mine, numpy, pytorch) = turns([ours, race, gumbel], repeats)
    work, compiled = f"{GROUPS:,} choices among {K}", begun[0] - mine
    return [
        Row(work, mine / CALLS, compiled, f"NumPy {np.__version__}, vectorised", numpy / CALLS, 1),
        Row(work, mine / CALLS, compiled, f"PyTorch {torch.__version__}, vectorised", pytorch / CALLS, 1),
    ]
