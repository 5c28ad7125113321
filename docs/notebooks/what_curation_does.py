# %% [markdown]
# # What curation does to your model
#
# A model makes samples, people keep the ones they like, and the next model is trained on what was kept. We watch
# eight generations of that on a ring of eight Gaussians, where everything that happens can be computed exactly as
# well.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import curated_retraining as cr
from curated_retraining import data, metrics, theory

GENERATIONS, K = 8, 4
LAMS = {"pure loop, λ = ∞": jnp.inf, "as much real data as curated, λ = 1": 1.0}
BLUE, ORANGE = "#0072b2", "#d55e00"

# %% [markdown]
# People like what is within 1 of the point (2, 0): r(x) = −10 max(0, ‖x − (2, 0)‖ − 1). They see four samples at a
# time and take one, in proportion to e^r. The model is a mixture of eight Gaussians, fitted by EM to what was taken:
# alone, or together with real data.

# %%
reward = cr.distance(jnp.array([2.0, 0.0]), r_min=1.0, gamma=10.0)
model = cr.gmm(components=8, steps=5)


def course(lam):
    """The reports of generations 0 to 8, and the models' samples in `pool`."""
    data_key, start_key, loop_key = jax.random.split(jax.random.key(0), 3)
    mixing = cr.with_real(lam)
    observe = metrics.join(metrics.top_mass(0.0), metrics.proportions(data.nearest_mode, 8), metrics.snapshot(500))
    step = cr.retraining(
        model,
        reward=reward,
        curate=cr.k_way(K, cr.luce()),
        mixing=mixing,
        pool_size=4000,
        metrics=observe,
    )
    state = cr.start(start_key, model, mixing, cr.ring(data_key, 2000), slot=1000)
    return cr.run(loop_key, state, step, num=GENERATIONS + 1)[1]


measured = jax.jit(jax.vmap(course))(jnp.array(list(LAMS.values())))

# %% [markdown]
# ## What the samples look like

# %%
figure, axes = plt.subplots(2, 3, figsize=(9, 6), sharex=True, sharey=True, constrained_layout=True)
for row, name in zip(axes, LAMS, strict=True):
    for axis, t in zip(row, (0, 2, GENERATIONS), strict=True):
        axis.scatter(*measured["pool"][list(LAMS).index(name), t].T, s=3, color=BLUE)
        axis.set(title=f"generation {t}", aspect="equal", xlim=(-3.3, 3.3), ylim=(-3.3, 3.3))
    row[0].set_ylabel(f"{name}\n$x_2$")
for axis in axes[1]:
    axis.set_xlabel("$x_1$")

# %% [markdown]
# Alone, everything that is left lies where it is liked best. With real data seven modes stay, thinner than they were.
#
# ## How fast, and what a perfect learner would do
#
# `theory` needs no sampling: it takes a distribution and the reward of each of its points. Here the points are 20,000
# draws of the ring.

# %%
r = reward(cr.ring(jax.random.key(1), 20_000).x)
p_0 = jnp.full(len(r), 1 / len(r))


@jax.jit
def exact(lam, p_0, r):
    """The mass of the best level in generations 0 to 8, by a perfect learner."""
    top = (r >= 0).astype(float)
    return theory.trajectory(p_0, r, k=K, lam=lam, num=GENERATIONS, observe=lambda p: p @ top)


figure, axis = plt.subplots(figsize=(6, 4), constrained_layout=True)
for (name, lam), mass, colour in zip(LAMS.items(), measured["top_mass"], (BLUE, ORANGE), strict=True):
    foretold = exact(lam, p_0, r)
    axis.plot(mass, color=colour, marker="o", label=f"{name}: measured")
    axis.plot(foretold, color=colour, linestyle="--", label="exact")
    print(f"{name}: largest difference {np.abs(mass - foretold).max():.3f}")
axis.set(xlabel="generation", ylabel="mass of what is liked best", ylim=(0, 1.02))
axis.legend()

# %% [markdown]
# In the pure loop the exact mass of what is liked best never falls: curation optimises the reward, though nobody
# computes a gradient of it. The price is everything else.
#
# ## What is lost

# %%
for name, share, entropy in zip(LAMS, measured["share"], measured["entropy"], strict=True):
    print(f"{name}: shares of the eight modes at the end {np.asarray(share[-1]).round(3)}")
    print(f"    entropy {entropy[0]:.2f} → {entropy[-1]:.2f} nats of {np.log(8):.2f}")

# %% [markdown]
# How much real data is enough? For every reward, λ < 1 / (K − 1) keeps the model within −log(1 − λ(K − 1)) nats of
# the real data:

# %%
for lam in (0.1, 0.2, 0.3):
    print(f"λ = {lam}: KL(model ‖ real data) ≤ {theory.kl_ceiling(k=K, lam=lam):.2f} nats")

# %% [markdown]
# Next: the same question for *your* samples, in *Forecast your own loop*.
