"""What devices tell one another in a compiled program, read from its HLO text.

python -m benchmarks.communication

prints a table: collectives and bytes a generation on eight devices (simulated where there are none), for seeds and for
the batches of one model.
"""

import math
import os
import re
from collections import Counter
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import grids
from curated_retraining.driver.generations import placed
from curated_retraining.networks.mlp import TimeMLP, time_features
from curated_retraining.types import Model

NETWORK, POOL, STEPS = TimeMLP(16, 1), 32, 4  # of what is counted
KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")
BITS = {"pred": 8, "bf16": 16, "c64": 64, "c128": 128}  # others end in their number of bits, as f32 and u8 do
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) .*\{$")
_OPERATION = re.compile(r"^\s+(?:ROOT )?%?[\w.-]+ = (.+?) ([a-z][a-z-]*)\(")
_CALLED = re.compile(r"(?:body|condition|calls|to_apply|true_computation|false_computation)=%?([\w.-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,]*)\]")


class Sent(NamedTuple):
    """What a program sends in one run."""

    count: dict[str, int]  # collectives by kind, those of a loop once for each of its turns
    size: dict[str, int]  # bytes of their results on a device


def sent(hlo: str) -> Sent:
    """The collectives in the text of a compiled program, `jax.jit(...).lower(...).compile().as_text()`.

    Raises:
        ValueError: where a loop that talks has no turns that are known beforehand.
    """
    lines = _by_computation(hlo)
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()

    def walk(name: str, times: int | None):
        for line in lines.get(name, []):
            operation = _OPERATION.match(line)
            if operation is None:
                continue
            result, kind = operation.groups()
            kind = kind.removesuffix("-start")
            if kind in KINDS:
                if times is None:
                    raise ValueError(f"{kind} stands in a loop whose turns are not known: {line.strip()[:80]}")
                count[kind] += times
                size[kind] += times * _bytes(result)
            trips = _TRIPS.search(line)
            turns = times if kind != "while" or times is None else (times * int(trips[1]) if trips else None)
            branches = _BRANCHES.search(line)
            inner = re.findall(r"[\w.-]+", branches[1]) if branches else []
            for called in _CALLED.findall(line) + inner:
                walk(called, turns)

    walk(_entry(hlo), 1)
    return Sent(dict(count), dict(size))


def _by_computation(hlo: str) -> dict[str, list[str]]:
    lines: dict[str, list[str]] = {}
    inside: list[str] = []
    for line in hlo.splitlines():
        if line[:1] not in ("", " ", "}") and (head := _COMPUTATION.match(line)):
            inside = lines.setdefault(head[1], [])
        else:
            inside.append(line)
    return lines


def _entry(hlo: str) -> str:
    found = re.search(r"^ENTRY %?([\w.-]+) ", hlo, re.MULTILINE)
    if found is None:
        raise ValueError("the text has no entry: give that of a compiled program")
    return found[1]


def _bytes(shape: str) -> int:
    """Of all arrays in a shape such as `(f32[8,2]{1,0}, u32[])`."""
    total = 0
    for kind, sides in _ARRAY.findall(shape):
        bits = BITS.get(kind) or int(re.sub(r"^\D+", "", kind).split("e")[0])
        total += math.prod(int(side) for side in sides.split(",") if side) * bits // 8
    return total


def of_seeds() -> str:
    """The text of a generation of eight seeds, which eight devices share."""
    mesh = _mesh("cells")
    return _text(*_loops(cr.gaussian(), 8, mesh), grids.over(mesh))


def of_batches(split: bool = False) -> str:
    """The same of one model, whose batches and pools eight devices share, and its parameters where `split`."""
    mesh, parameters = _mesh("batch"), "batch" if split else None
    model = cr.sharded(cr.flow_matching(NETWORK, steps=STEPS, batch_size=16, sample_steps=2), mesh, parameters)
    begin, advance = _loops(model, 1, None)
    return _text(begin, advance, cr.placement(jax.eval_shape(begin), mesh, parameters))


def parameters() -> Any:
    """Those of the model whose batches are shared."""
    return NETWORK.init(jax.random.key(0), jnp.zeros((1, 2)), time_features(jnp.zeros(1)))


def main() -> None:
    """Prints the table."""
    os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")  # read at the first use of JAX
    os.environ.setdefault("NPROC", "8")
    print("| what 8 devices share | collectives a generation | kB a generation |\n| --- | --- | --- |")
    shared = {"seeds, one each": of_seeds, "batches": of_batches, "batches and parameters": partial(of_batches, True)}
    for name, text in shared.items():
        told = sent(text())
        kinds = ", ".join(f"{num:,} {kind}" for kind, num in told.count.items()) or "none"
        print(f"| {name} | {kinds} | {sum(told.size.values()) / 1e3:.1f} |")


def _mesh(axis: str) -> Mesh:
    return jax.make_mesh((8,), (axis,), axis_types=(AxisType.Auto,), devices=jax.devices()[:8])


def _loops(model: Model, seeds: int, mesh: Mesh | None) -> tuple[Partial, Partial]:
    mixing = cr.with_real(1.0)
    step = cr.retraining(
        model,
        reward=lambda x: x[:, 0],
        curate=cr.k_way(2, cr.luce()),
        mixing=mixing,
        pool_size=POOL,
        metrics=cr.metrics.reward_moments(),
    )

    def make():
        return cr.Loop(lambda key: cr.start(key, model, mixing, cr.uniform(jnp.eye(16, 2)), slot=POOL // 2), step)

    return grids.programs(make, grids.grid({}, range(seeds)), mesh=mesh)


def _text(begin: Partial, advance: Partial, sharding: Any) -> str:
    like = placed(jax.eval_shape(begin), sharding)
    program = jax.jit(lambda advance, state: advance(state), out_shardings=(sharding, None))
    return program.lower(advance, like).compile().as_text() or ""


if __name__ == "__main__":
    main()
