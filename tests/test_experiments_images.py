"""The image experiment on small synthetic images; a perceptron stands for the U-Net, which compiles too long."""

import contextlib
import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import app, flags
from absl.testing import flagsaver

from curated_retraining import classifiers, driver, metrics
from curated_retraining.data import uniform
from curated_retraining.datasets import Images
from curated_retraining.driver import RunError
from curated_retraining.forecast import forecast
from curated_retraining.networks.mlp import TimeMLP
from curated_retraining.types import Generation, Static
from experiments.images import asked, generators, observed, report, run

SMALL = ["--dataset=npz", "--first_steps=4", "--steps=2", "--pool=24", "--k=3", "--generations=2", "--seeds=2"]
FIGURES = ["curation.png", "frames", "quality.png", "samples.png", "shares.png"]


@pytest.fixture(scope="module")
def play():
    """Runs the experiment under the given flags, small where flags say nothing."""
    before = set(flags.FLAGS)
    run.define()

    def played(*arguments):
        with flagsaver.flagsaver(), pytest.MonkeyPatch.context() as patch:
            patch.setitem(classifiers.RECIPES, "npz", classifiers.Recipe((8,), blocks=1, steps=60, batch_size=32))
            patch.setattr(generators.unet, "cpu", lambda **_: TimeMLP(width=16))
            patch.setitem(generators.CPU, "npz", generators.CPU["npz"]._replace(calls=2, batch_size=8))
            patch.setattr(asked, "ROUNDS", 2)
            patch.setattr(run, "JUDGED", 24)
            patch.setattr(run, "AT_A_TIME", 24)
            patch.setattr(observed, "SHOWN", 4)
            flags.FLAGS(["images", *SMALL, "--chunk=24", *arguments])
            run.main()

    yield played
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A file of images whose first, second or third part is bright: three classes."""
    label = np.arange(90) % 3
    x = np.random.default_rng(0).uniform(-1, 0, (90, 8, 8, 1))
    for i, part in enumerate(label):
        x[i, 2 * part : 2 * part + 2] += 1
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, x=x.astype(np.float32), label=label)
    return path


@pytest.fixture(scope="module")
def finished(play, images, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "images"
    with contextlib.redirect_stdout(io.StringIO()) as said:
        play(f"--npz={images}", f"--out={out}")
    (out.parent / "said.txt").write_text(said.getvalue())
    return out


def rows(path):
    return list(csv.DictReader(path.open()))


def test_a_run_leaves_numbers_and_figures(finished, assert_twins):
    found = rows(finished / "metrics.csv")
    assert [(row["lam"], row["seed"], row["generation"]) for row in found] == [
        (lam, seed, generation) for lam in ("inf", "0.5") for seed in "01" for generation in "012"
    ]
    measures = {"reward_mean", "entropy", "share_2", "weighted_count_2", "frechet_distance", "precision", "recall"}
    assert measures | {"density", "coverage", "nearest_real_ratio", "authenticity"} <= found[0].keys()
    assert not {"judged_0", "shown_0"} & found[0].keys()
    for first, second in ((found[0], found[6]), (found[3], found[9])):  # generation 0 is the same model under every λ
        assert {**first, "lam": "", "effective_size": ""} == {**second, "lam": "", "effective_size": ""}
    assert found[0]["reward_mean"] != found[3]["reward_mean"]  # seen through other samples by another seed
    for row in found:  # 8 curated points of weight η = 1 or 1/3 in all, and 72 real ones
        expected = 8 if row["lam"] == "inf" else 1 / (1 / 9 / 8 + 4 / 9 / 72)
        assert float(row["effective_size"]) == pytest.approx(expected, rel=1e-4)
    assert sorted(path.name for path in (finished / "figures").iterdir()) == FIGURES
    assert_twins(finished, {}, "foretold.csv")
    assert len(rows(finished / "generation_0/metrics.csv")) == 2
    measured = json.loads((finished / "classifier.json").read_text())
    assert measured["accuracy"] > 0.5 and 0 <= measured["calibration_error"] <= 1


def test_four_programs_are_compiled_whatever_the_generations(finished):
    """Two for generation 0, which is a loop of its own, and two for the loop."""
    compiled = re.findall(r"compiled (\w+) in", (finished.parent / "said.txt").read_text())
    assert sorted(compiled) == ["generation", "generation", "generation_zero", "untrained"]


def test_the_same_command_finds_itself_complete_and_another_is_refused(play, images, finished, capsys):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    play(f"--npz={images}", f"--out={finished}")
    said = capsys.readouterr().out
    assert f"{finished} is complete" in said and "λ=0.5 E[r] forecast" in said
    for other in ("--gamma=3", "--steps=3", "--model=ddpm", "--chunk=12"):
        with pytest.raises(RunError, match=other[2:].split("=")[0]):
            play(f"--npz={images}", f"--out={finished}", other)
    with jax.default_prng_impl("rbg"), pytest.raises(RunError, match="prng"):
        play(f"--npz={images}", f"--out={finished.parent / 'other'}", f"--pretrained={finished}/generation_0")
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


class LoopBeginsError(Exception):
    pass


def test_generation_zero_and_classifier_are_shared_but_not_with_another_architecture(
    play, images, finished, tmp_path, monkeypatch
):
    shared = [f"--pretrained={finished}/generation_0", f"--classifier={finished}/classifier.npz", f"--npz={images}"]
    begun = []

    def drive(folder, settings, begin, *rest, **options):
        if Path(folder) == finished / "generation_0":  # complete: only read
            return driver.drive(folder, settings, begin, *rest, **options)
        begun.append(begin())
        raise LoopBeginsError

    monkeypatch.setattr(run, "drive", drive)
    for other in ("--reward=class_probability", "--reward=confidence"):
        with pytest.raises(LoopBeginsError):
            play(*shared, f"--out={tmp_path}/{other[9:]}", other, "--lam=inf", "--seeds=1")
    assert sorted(path.name for path in tmp_path.rglob("*") if not path.name.startswith(".")) == [
        "class_probability", "classifier.json", "classifier.json", "confidence", "config.json", "config.json",
    ]  # fmt: skip
    chex.assert_trees_all_equal(*begun)
    with pytest.raises(RunError, match=r'preset="cpu", not "paper"'):
        play(*shared, f"--out={tmp_path}/paper", "--preset=paper")


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--pool=25", "--pool=25 does not split into groups of --k=3"),
        ("--label=3", "--label=3 is not a class: take 0 to 2"),
        ("--first_steps=5", "--first_steps=5 does not split into 2 rounds"),
        ("--npz=/nowhere/images.npz", "/nowhere/images.npz is not there"),
        ("--inception=/nowhere/weights.pth", "/nowhere/weights.pth cannot be read"),
        ("--dataset=cifar10", "holds no CIFAR-10"),
    ],
)
def test_mistakes_are_told_and_leave_no_run(play, images, tmp_path, flag, said, finished):
    with pytest.raises(app.UsageError, match=said):
        play(f"--npz={images}", f"--classifier={finished}/classifier.npz", f"--out={tmp_path}/run", flag)
    assert not (tmp_path / "run/checkpoints").exists()


def test_images_of_which_most_are_copies_are_refused(play, tmp_path):
    path, x = tmp_path / "twice.npz", np.zeros((30, 8, 8, 1))
    x[:9, 0, 0, 0] = -np.arange(9) / 9
    np.savez(path, x=x, label=np.arange(30) % 3)
    with pytest.raises(app.UsageError, match=r"copies of others.*leave copies out"):
        play(f"--npz={path}", f"--out={tmp_path}/run")
    assert not (tmp_path / "run").exists()


def test_a_mistake_ends_a_process_without_a_traceback():
    command = [sys.executable, "-m", "experiments.images", "--dataset=cifar10", "--data_dir=/nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    assert done.returncode == 1 and done.stderr.startswith("error: /nowhere holds no CIFAR-10")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["flow_matching", "ddpm"])
@pytest.mark.parametrize(("preset", "side", "millions"), [("cpu", 32, 1.0), ("paper", 32, 35.7)])
def test_generators_are_as_large_as_they_say(name, preset, side, millions):
    sizes = generators.sizes(preset, "cifar10")
    model = generators.build(
        name, preset, sizes, side=side, coupling="sinkhorn", dtype="bfloat16", steps=2, chunk=2, carry=False
    )
    x = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    state = jax.eval_shape(model.init, jax.random.key(0), x)
    assert sum(leaf.size for leaf in jax.tree.leaves(state.average)) == pytest.approx(1e6 * millions, rel=0.06)
    drawn = jax.eval_shape(lambda state: model.sample(jax.random.key(1), state, 5), state)
    assert drawn.shape == (5, side, side, 3) and drawn.dtype == jnp.float32


def brightest(x):
    """Logits by which third of an image is bright."""
    return 20 * jnp.stack([x[:, 2 * part : 2 * part + 2].mean((1, 2, 3)) for part in range(3)], axis=-1)


def test_precision_is_that_of_the_words_of_each_class():
    x = np.full((4, 8, 8, 1), -1.0, np.float32)
    x[:3, :2] = 1  # named 0, of which two are
    x[3, 2:4] = 1  # named 1, rightly; nothing is named 2
    found = observed.precision(brightest, Images(x, np.array([0, 0, 1, 1]), ("a", "b", "c")), 2)
    np.testing.assert_allclose(found, [2 / 3, 1, 0], rtol=1e-6)


def test_labels_counts_and_judgements_are_of_the_pool():
    x = np.full((5, 8, 8, 1), -1.0, np.float32)
    x[:3, :2], x[3:, 4:6] = 1, 1
    record = Generation(None, jnp.asarray(x), jnp.arange(5.0), uniform(jnp.asarray(x)), uniform(jnp.asarray(x)))
    found = observed._on_labels(brightest, metrics.proportions(lambda x: x, 3), jnp.array([0.5, 1.0, 0.25]), record)
    np.testing.assert_allclose(found["share"], [0.6, 0, 0.4], rtol=1e-6)
    np.testing.assert_allclose(found["weighted_count"], [1.5, 0, 0.5], rtol=1e-6)
    np.testing.assert_array_equal(found["judged"], [[0, 0], [1, 0], [2, 0], [3, 2], [4, 2]])


def test_pictures_are_bytes_and_the_kept_candidate_is_found():
    pool = jnp.linspace(-1.2, 1.2, 6)[:, None, None, None] * jnp.ones((1, 2, 2, 1))
    curated = pool[jnp.array([2, 3])]
    record = Generation(None, pool, jnp.arange(6.0), uniform(curated), uniform(curated))
    found = observed._pictures(lambda key, state, num: pool[:num], Static(3), record)
    np.testing.assert_array_equal(found["shown"][:, 0, 0, 0], [0, 36, 97, 158, 219, 255])
    assert found["shown"].dtype == jnp.uint8 and found["candidates"].shape == (2, 3, 2, 2, 1)
    np.testing.assert_array_equal(found["candidate_kept"][..., 0], [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(found["candidate_reward"][..., 0], [[0, 1, 2], [3, 4, 5]])


def test_the_forecast_is_of_generation_zero_under_each_lam():
    rng = np.random.default_rng(1)
    judged = np.stack([rng.uniform(0, 5, (2, 2, 3, 40)), rng.integers(0, 3, (2, 2, 3, 40))], axis=-1)
    judged[1, :, 0] = judged[0, :, 0]  # the same generation 0
    real = observed.Judged(rng.uniform(0, 5, 30), rng.integers(0, 3, 30))
    found = report.predict(judged, real, 3, lams=["inf", "0.5"], k=4, temperature=1.0)
    reward, label = judged[0, :, 0].reshape(-1, 2).T
    for row, lam in enumerate((np.inf, 0.5)):
        other = forecast(
            reward,
            label.astype(int),
            k=4.0,
            lam=lam,
            generations=2,
            real_reward=real.reward,
            real_label=real.label,
            classes=3,
        )
        np.testing.assert_allclose(found.share[row], other.share, rtol=1e-5)
        np.testing.assert_allclose(found.reward_mean[row], other.reward_mean, rtol=1e-5)
