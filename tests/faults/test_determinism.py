"""The same flags on the same machine give the same bytes, by so many programs.

That a run of the least size ends with the same bytes,
killed or not, the short tests of `test_kills.py` say.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.__main__ import experiments

ROOT = Path(__file__).parents[2]
LOOP = "--generations=2 --seeds=2 --pool=400 --real=300"
EXPERIMENTS = {
    "gmm": f"{LOOP} --model=gmm --steps=3 --first_steps=5",
    "gmm ddpm": f"{LOOP} --model=ddpm --steps=3 --first_steps=5",
    "gmm flow": f"{LOOP} --model=flow --steps=3 --first_steps=5",
    "moons": f"{LOOP} --model=flow_matching --steps=3 --first_steps=5",
    "images": "--dataset=npz --npz=ROOM/given.npz --first_steps=10 --steps=2 --pool=24 --k=3 --generations=2 --seeds=1 "
    "--chunk=24",
    "forecast": "--rewards=ROOM/given.csv:r --labels=ROOM/given.csv:y --generations=3 --bootstrap=8 --keep=0:0.1",
    "forecast_skill": f"{LOOP} --data=ring --model=gmm --steps=3 --first_steps=5",
    "phase_diagram": "--grid=3 --horizon=5 --model=gmm --trained=2,1 --curated=99 --real=99 --generations=3 --seeds=1",
    "cyclic": f"{LOOP} --model=finite",
    "moving": LOOP,
    "learned_reward": f"{LOOP} --comparisons=32 --steps=3 --members=2",
    "crowd": "--generations=2 --seeds=1 --curated=200 --real=300 --q=0.2 --rewards=2 --k=inf",
    "adversary": "--generations=2 --seeds=1 --curated=200 --real=300 --shares=0,1 --budgets=0,0.2 --comparisons=200",
    "two_models": "--strength=0.3,0.7,1.1 --toy_pool=200 --toy_generations=9 --toy_seeds=1 --other=0,0.5 --model=gmm "
    "--generations=1 --seeds=1 --pool=400 --real=300 --steps=3 --first_steps=5",
    "alignment": "--generations=2 --seeds=1 --curated=200 --steps=3 --first_steps=5 --beta=1 --n=2",
    "strategies": f"{LOOP} --nodenoising",
    "mitigation": f"{LOOP} --pool=2000 --real=1000",  # no class is to lose all its points
    "detection": "--curated=1000 --samples=500 --generations=1 --seeds=1 --k=2 --lam=inf,1 --find=k",
}
PROGRAMS = {  # large programs that are compiled, whatever the number of generations: what begins and what goes on
    "gmm": 2,
    "gmm ddpm": 2,
    "gmm flow": 2,
    "images": 4,
    "moons": 2,
    "forecast": 0,
    "forecast_skill": 2,
    "phase_diagram": 4,
    "cyclic": 2,
    "moving": 4,
    "learned_reward": 8,
    "crowd": 2,
    "adversary": 4,
    "two_models": 4,
    "alignment": 28,
    "strategies": 2,
    "mitigation": 2,
    "detection": 2,
}


def test_all_experiments_are_among_them():
    assert {name.split()[0] for name in EXPERIMENTS} == experiments().keys() - {"report"}
    assert EXPERIMENTS.keys() == PROGRAMS.keys()


@pytest.mark.long
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_same_flags_give_the_same_bytes(name, tmp_path):
    (tmp_path / "given.csv").write_text("r,y\n" + "".join(f"{i % 7},{i % 3}\n" for i in range(60)))
    bright = np.arange(90)[:, None, None, None] % 3 == np.arange(8)[:, None, None] // 3  # a third of each image
    light = np.linspace(0.5, 1.0, 90)[:, None, None, None]  # no two images are one
    np.savez(tmp_path / "given.npz", x=np.where(bright, 0.5, -0.5) * np.ones((8, 1)) * light, label=np.arange(90) % 3)
    flags = EXPERIMENTS[name].replace("ROOM", str(tmp_path)).split()
    (first, programs), (second, _) = (_made(name.split()[0], flags, tmp_path / "out") for _ in range(2))
    assert programs == PROGRAMS[name]
    assert {".csv", ".png"} <= {path.suffix for path in first}
    assert first.keys() == second.keys() and [path for path in first if first[path] != second[path]] == []


def _made(name: str, flags: list[str], out: Path) -> tuple[dict[Path, bytes], int]:
    """What a run leaves in `out`, and how many programs it said that it compiled: optimised, as for a user.

    Of a checkpoint it is the digest of its state. The folder goes: the next may have the same flags.
    """
    command = [sys.executable, "-m", f"experiments.{name}", *flags, f"--out={out}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"XLA_FLAGS": ""})
    assert done.returncode == 0, done.stderr[-3000:]
    found = {
        path.relative_to(out): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ("checkpoints" not in path.parts or "digest" in path.parts)
    }
    shutil.rmtree(out)
    return found, len(re.findall(r"compiled \w+ in [\d.]+ s", done.stdout + done.stderr))
