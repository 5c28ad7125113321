# %% [markdown]
# # Forecast your own loop
#
# Before anything is retrained: from rewards and labels of samples of today's model, what will the loop do, and how
# much real data does it take to keep what you care for? Here the model is a mixture of Gaussians, so that we can play
# the loop afterwards and see how well it was foretold.

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np

import curated_retraining as cr
from curated_retraining import data, forecast, metrics

GENERATIONS, K, LAM = 6, 4, 1.0
COLOURS = ("#0072b2", "#d55e00", "#009e73")

# %% [markdown]
# ## What you need: samples, rewards, labels
#
# Three modes; people like what lies to the right. In your case the rewards come from a reward model or from choices,
# the labels from a classifier.

# %%
model, mixing = cr.gmm(components=3, steps=5), cr.with_real(LAM)


def reward(x):
    return x[:, 0]


def label(x):
    return data.nearest_mode(x, modes=3)


data_key, start_key, sample_key, loop_key, band_key = jax.random.split(jax.random.key(0), 5)
state = jax.jit(lambda: cr.start(start_key, model, mixing, cr.ring(data_key, 2000, modes=3), slot=1000))()
samples = model.sample(sample_key, state.model, 2000)
rewards, labels = reward(samples), label(samples)

# %% [markdown]
# ## The forecast, with 90 % bands

# %%
options = {"k": K, "lam": LAM, "generations": GENERATIONS}
course = forecast.forecast(rewards, labels, **options)
low, high = forecast.bootstrap(band_key, rewards, labels, num=50, **options)
for c in range(3):
    print(
        f"class {c}: {course.share[0, c]:.3f} now, {course.share[-1, c]:.3f} "
        f"({low.share[-1, c]:.3f} to {high.share[-1, c]:.3f}) after {GENERATIONS} generations, "
        f"{course.limit_share[c]:.3f} in the end"
    )

# %% [markdown]
# ## How much real data keeps class 1?

# %%
needed = forecast.required_real_share(rewards, labels, k=K, generations=GENERATIONS, keep=(1, 0.2))
print(f"a real share of {needed.share:.2f} keeps class 1 at a fifth: λ = {needed.lam:.2f}")

# %% [markdown]
# ## Was it right? Play the loop

# %%
step = cr.retraining(
    model,
    reward=reward,
    curate=cr.k_way(K, cr.luce()),
    mixing=mixing,
    pool_size=4000,
    metrics=metrics.proportions(label, 3),
)
played = jax.jit(cr.run, static_argnums=3)(loop_key, state, step, GENERATIONS + 1)[1]["share"]

figure, axis = plt.subplots(figsize=(6, 4), constrained_layout=True)
for c, colour in enumerate(COLOURS):
    axis.fill_between(range(GENERATIONS + 1), low.share[:, c], high.share[:, c], color=colour, alpha=0.2)
    axis.plot(course.share[:, c], color=colour, linestyle="--", label=f"class {c}: forecast")
    axis.plot(played[:, c], color=colour, marker="o", linestyle="", label="played")
axis.set(xlabel="generation", ylabel="share of a class", ylim=(0, 1))
axis.legend(ncols=3, fontsize="small")
print(f"mean absolute difference of shares {np.abs(played - course.share)[1:].mean():.4f}")

# %% [markdown]
# The bands are of the samples' randomness alone. What a learner adds is not in them; the page *Forecast your own
# loop* says how much that was where it was measured, and where a forecast fails.
