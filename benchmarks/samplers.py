"""What a sample costs at what quality: solvers of a flow and samplers of a diffusion model, from one fit each.

Quality is the sliced W₂ distance to fresh points of the ring and the mass of the mode at (2, 0), beside those of the
same network followed by 400 evaluations: what is left there is the fit's, not the solver's.
"""

from typing import Any

import jax
import jax.numpy as jnp

import curated_retraining as cr
from benchmarks.ddpm import sliced_w2
from benchmarks.table import Row, turns
from curated_retraining.models import solvers
from curated_retraining.models.ddpm import cosine_betas
from curated_retraining.models.samplers import ancestral, multistep

SAMPLES = 20_000
EVALUATIONS = {solvers.euler: 1, solvers.heun: 2, solvers.bogacki_shampine: 3, solvers.rk4: 4}
TRAINING: dict[str, Any] = {"steps": 3_000, "batch_size": 512}


def rows(repeats: int) -> list[Row]:
    """A row a way to sample; the first of each model is the reference."""
    real = cr.ring(jax.random.key(0), 10_000)
    flows = {
        f"flow, {solver.__name__}, {num} evaluations": cr.flow_matching(
            solver=solver, sample_steps=num // each, **TRAINING
        )
        for solver, each in EVALUATIONS.items()
        for num in ((400, 48, 24, 12) if solver is solvers.rk4 else (48, 24, 12))
    }
    betas = cosine_betas(400)
    samplers = {"ancestral, 400 levels": ancestral()}
    samplers |= {f"ancestral, {num} levels": ancestral(num) for num in (100, 50, 25)}
    samplers |= {f"multistep, {num} levels": multistep(num) for num in (50, 25, 15, 10)}
    diffusions = {
        f"ddpm, {name}": cr.ddpm(betas=betas, sampler=sampler, **TRAINING) for name, sampler in samplers.items()
    }
    ordered = dict(sorted(flows.items(), key=lambda item: "400" not in item[0]))
    return [*of(ordered, real, repeats), *of(diffusions, real, repeats)]


def of(models: dict[str, cr.Model], real: cr.Dataset, repeats: int) -> list[Row]:
    """The models differ in their samplers alone, so one fit serves all."""
    model = cr.standardised(next(iter(models.values())))
    init_key, fit_key = jax.random.split(jax.random.key(1))
    state = jax.jit(lambda: model.fit(fit_key, model.init(init_key, real.x), real))()
    return [row(name, cr.batched(cr.standardised(each), 2_000), state, repeats) for name, each in models.items()]


def row(name: str, model: cr.Model, state: Any, repeats: int) -> Row:
    """Times `SAMPLES` and measures them."""
    program = jax.jit(lambda state, key: model.sample(key, state, SAMPLES))
    begun, (took,) = turns([lambda seed: program(state, jax.random.key(seed))], repeats)
    points = program(state, jax.random.key(100))
    mass = jnp.mean(jnp.linalg.norm(points - jnp.array([2.0, 0.0]), axis=-1) < 1)
    return Row(
        f"{SAMPLES:,} points, {name}",
        took,
        begun[0] - took,
        quality=f"sliced W₂ {sliced_w2(points):.3f}, mass {mass:.4f}",
    )
