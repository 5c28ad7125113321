"""Which operations take the time: `jax.profiler`'s record of one run, with what the HLO says each of them is of.

python -m benchmarks.profile ddpm_fit --most=12

prints the share of the time that the largest operations have. Operations of several threads overlap, so that shares are
of their sum; loops, which hold others, are left out. Times of operations under a profiler are larger than without.
"""

import argparse
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import curated_retraining as cr
from curated_retraining.models.couplings import near_ot
from curated_retraining.models.samplers import multistep
from curated_retraining.networks.mlp import TimeMLP

_SOURCE = re.compile(r'^\s*(?:ROOT )?%?([\w.-]+) = .*?op_name="([^"]*)"', re.MULTILINE)
_HOLDS_OTHERS = re.compile(r"(while|call|conditional)[\d.]*$")
_WRAPPER = re.compile(r"(jit|vmap|transpose|jvp)\(|\)|/(while|body|closed_call)(?=/)")


class Operation(NamedTuple):
    """One instruction of a compiled program."""

    name: str
    source: str  # the functions that asked for it
    seconds: float  # in all
    calls: int


def operations(call: Callable, *arguments: Any) -> list[Operation]:
    """Those of one run of `call`, the dearest first."""
    program = jax.jit(call).lower(*arguments).compile()
    sources = dict(_SOURCE.findall(program.as_text() or ""))
    jax.block_until_ready(program(*arguments))  # touches its memory
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(program(*arguments))
        (record,) = Path(folder).rglob("*.xplane.pb")
        seconds, calls = _sums(jax.profiler.ProfileData.from_file(str(record)), sources)
    return [Operation(name, _short(sources[name]), time, calls[name]) for name, time in seconds.most_common()]


def _sums(record: Any, names: Any) -> tuple[Counter, Counter]:
    """Seconds and calls of each instruction."""
    seconds, calls = Counter(), Counter()
    for plane in record.planes:
        for line in plane.lines:
            for event in line.events:
                if event.name in names and not _HOLDS_OTHERS.match(event.name):
                    seconds[event.name] += event.duration_ns / 1e9
                    calls[event.name] += 1
    return seconds, calls


def _short(source: str) -> str:
    return _WRAPPER.sub("", source)


def fit(model: cr.Model) -> tuple:
    """A fit of 5,000 points of the plane."""
    real = cr.uniform(cr.ring(jax.random.key(0), 5_000).x / 1.5)
    state = jax.jit(model.init)(jax.random.key(0), real.x)
    return (lambda state, real: model.fit(jax.random.key(1), state, real)), state, real


def sampling(model: cr.Model) -> tuple:
    """20,000 points by an untrained model."""
    state = jax.jit(model.init)(jax.random.key(0), jnp.ones((1, 2)))
    return (lambda state: model.sample(jax.random.key(1), state, 20_000)), state


def generation(model: cr.Model) -> tuple:
    """One generation on the ring with as much real as curated data, a pool of 20,000 and sliced distances."""
    mixing = cr.with_real(1.0)
    real = cr.ring(jax.random.key(0), 5_000)
    step = cr.retraining(
        model,
        reward=cr.distance(jnp.array([2.0, 0.0])),
        curate=cr.k_way(4, cr.luce()),
        mixing=mixing,
        pool_size=20_000,
        metrics=cr.metrics.join(cr.metrics.reward_moments(), cr.metrics.sliced_wasserstein(jax.random.key(1), real.x)),
    )
    state = jax.jit(lambda key: cr.start(key, model, mixing, real, slot=5_000))(jax.random.key(2))
    return step, jax.random.key(3), state


WORK = {
    "flow_fit": lambda: fit(cr.flow_matching(TimeMLP(64, 2), steps=512, batch_size=256)),
    "ot_fit": lambda: fit(cr.flow_matching(TimeMLP(64, 2), steps=512, batch_size=256, coupling=near_ot())),
    "ddpm_fit": lambda: fit(cr.ddpm(TimeMLP(128, 3), steps=256, batch_size=1_000)),
    "flow_sampling": lambda: sampling(cr.batched(cr.flow_matching(TimeMLP(128, 3)), 2_000)),
    "ddpm_sampling": lambda: sampling(cr.batched(cr.ddpm(TimeMLP(128, 3), sampler=multistep(25)), 2_000)),
    "gmm_generation": lambda: generation(cr.gmm(components=8, steps=20)),
}


def main() -> None:
    """Prints a table of the work named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("work", choices=list(WORK))
    parser.add_argument("--most", type=int, default=12, help="how many operations are shown")
    flags = parser.parse_args()
    found = operations(*WORK[flags.work]())
    whole = sum(each.seconds for each in found)
    print("| share | calls | μs a call | operation | of |\n| --- | --- | --- | --- | --- |")
    for name, source, took, calls in found[: flags.most]:
        print(f"| {took / whole:.1%} | {calls} | {1e6 * took / calls:.1f} | {name} | {source} |")


if __name__ == "__main__":
    main()
