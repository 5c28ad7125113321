"""Eight simulated devices, and two processes, against one device."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import shared_runs

from benchmarks import communication

ROOT = Path(__file__).parents[2]
CLOSE = {
    "rtol": 1e-5,
    "atol": 1e-6,
}  # sums of 16 to 32 float32 numbers, taken in another order through four generations


def started(name, folder, *arguments, devices=8):
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    own = {"XLA_FLAGS": flags, "NPROC": "8", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests/devices/shared_runs.py"), name, str(folder), *arguments]
    return subprocess.Popen(command, env=os.environ | own, stdout=-1, stderr=-2, text=True)


def ended(process):
    said, _ = process.communicate(timeout=500)
    assert process.returncode == 0, said


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eight")
    ended(started("on_eight", folder))
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    shared_runs.seeds(folder / "seeds", None)
    shared_runs.batches(folder / "batches", None)
    return folder


def table(folder):
    return (folder / "metrics.csv").read_bytes()


def numbers(folder):
    return np.genfromtxt(folder / "metrics.csv", delimiter=",", names=True)


def assert_close(folder, other):
    found, expected = numbers(folder), numbers(other)
    for name in expected.dtype.names:
        np.testing.assert_allclose(found[name], expected[name], **CLOSE, err_msg=name)


def test_seeds_on_eight_devices_have_the_bits_of_one(eight, one):
    assert jax.device_count() == 1
    assert table(eight / "seeds/8") == table(one / "seeds")


def test_batches_on_four_devices_have_the_numbers_of_one_but_for_rounding(eight, one):
    assert_close(eight / "batches/4", one / "batches")


def test_what_several_devices_began_goes_on_on_one(eight, one):
    shared_runs.seeds(shared_runs.cut(eight / "seeds/8", "one"), None)
    assert table(eight / "seeds/one") == table(one / "seeds")
    shared_runs.batches(shared_runs.cut(eight / "batches/4", "one"), None)
    assert_close(eight / "batches/one", one / "batches")


def test_seeds_say_nothing_and_batches_their_gradients(eight):
    counted = json.loads((eight / "counted.json").read_text())
    assert counted["of_seeds"] == [{}, {}]
    _, size = counted["of_batches"]
    assert gradients() <= size["all-reduce"] < 1.1 * gradients()
    assert sum(size.values()) < 1.1 * gradients()


def gradients():
    """Bytes of float32, once a step."""
    return 4 * communication.STEPS * sum(leaf.size for leaf in jax.tree.leaves(communication.parameters()))


@pytest.mark.long
def test_eight_devices_with_split_parameters_and_two_by_four(eight, one):
    ended(started("on_two_by_four", eight))
    assert table(eight / "seeds/2x4") == table(one / "seeds")
    for name in ("batches/8", "batches/2x4", "split/8", "split/2x4"):
        assert_close(eight / name, one / "batches")
    shared_runs.batches(shared_runs.cut(eight / "split/8", "one"), None)
    assert_close(eight / "split/one", one / "batches")
    _, size = json.loads((eight / "split.json").read_text())
    assert size["all-gather"] > gradients()  # a device lacks 7/8 of the parameters, forwards and backwards


@pytest.mark.parametrize("name", ["seeds", pytest.param("batches", marks=pytest.mark.long)])
def test_two_processes_go_on_from_what_one_began(eight, one, name):
    shared_runs.cut(eight / name / ("8" if name == "seeds" else "4"), "two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    for process in [started("in_two", eight, str(rank), port, name, devices=4) for rank in range(2)]:
        ended(process)
    if name == "seeds":
        assert table(eight / "seeds/two") == table(one / "seeds")
    else:
        assert_close(eight / "batches/two", one / "batches")
    first, second = (dict(np.load(eight / f"{name}-{rank}.npz")) for rank in range(2))
    np.testing.assert_equal(first, second)
    refused = [(eight / f"refused-{rank}").read_text() for rank in range(2)]
    assert "gamma=null, not 1" in refused[0] and refused[0] == refused[1]  # only the first process looks


HLO = """
%turn (p: (s32[], f32[8,2])) -> (s32[], f32[8,2]) {
  %x = f32[8,2]{1,0} all-reduce(%y), replica_groups={}, to_apply=%add
}

ENTRY %main (p: f32[8,2]) -> f32[8,2] {
  %whole = bf16[16]{0} all-gather(%part), dimensions={0}
  %loop = (s32[], f32[8,2]{1,0}) while(%p), body=%turn, backend_config={"known_trip_count":{"n":"5"}}
}
"""


def test_collectives_of_a_loop_count_once_a_turn():
    told = communication.sent(HLO)
    assert told == communication.Sent({"all-gather": 1, "all-reduce": 5}, {"all-gather": 32, "all-reduce": 5 * 64})
    with pytest.raises(ValueError, match="turns are not known"):
        communication.sent(HLO.replace("known_trip_count", "unknown"))
