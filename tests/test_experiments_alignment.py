"""The comparison with preference optimisation: its command on finite supports, the programs of the ring as traced."""

import csv
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import command

from curated_retraining import theory
from experiments.alignment import exact, methods, problems, report, run
from experiments.alignment.methods import Settings

CURATED = 2000
SMALL = [
    "--generations=2", "--seeds=2", f"--curated={CURATED}", "--steps=30", "--beta=1,0.5", "--n=2,4",
]  # fmt: skip
NEAR = {  # by method, 4.5 standard errors of two seeds' means, and the bias
    "finite/loop_K=2": {"reward_mean": 0.1, "kl": 0.12},
    "finite/loop_K=4": {"reward_mean": 0.1, "kl": 0.12},
    "finite/RWR": {"reward_mean": 0.23, "kl": 0.46},
    "finite/best-of-n": {"reward_mean": 0.06, "kl": 0.065},
    "finite/REINFORCE": {"reward_mean": 0.015, "kl": 0.025},
    "finite/DPO": {},  # of few pairs
}
GIVEN = Settings(k=4, lams=[jnp.inf, 1.0], betas=[1.0], draws=[2, 3], temperature=1.0, generations=2, curated=60)


@pytest.fixture(scope="module")
def called():
    with command(run) as call:
        yield call


@pytest.fixture(scope="module")
def finished(called, tmp_path_factory):
    """A small run, and the courses that it reported."""
    out = tmp_path_factory.mktemp("runs") / "alignment"
    return out, on_finite(called, f"--out={out}")


def on_finite(called, *flags):
    """The courses of a run in which the finite support is told once more in the place of the ring."""
    told, play = {}, run.play

    def first_alone(folder, problem, given):
        courses = told.get("courses") or play(folder, problem, given)
        return told.setdefault("courses", courses)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(problems, "ring", lambda gamma, *sizes: problems.finite(gamma, 1))
        patch.setattr(run, "play", first_alone)
        assert called(*SMALL, *flags) is None
    return told["courses"]


def test_a_run_leaves_numbers_and_the_figure(finished, assert_twins):
    out, _ = finished
    assert {path.name for path in (out / "finite").iterdir()} == {"first", *(Path(part).name for part in NEAR)}
    assert (out / "figures" / "frontier.png").exists()
    for method, near in NEAR.items():
        assert_twins(out / method, near)
    rows = list(csv.DictReader((out / "finite" / "DPO" / "metrics.csv").open()))
    assert [(row["beta"], row["seed"], row["generation"]) for row in rows] == [
        (beta, seed, generation) for beta in ("1.0", "0.5") for seed in "01" for generation in "01"
    ]
    starts = {row["kl"] for row in rows if row["generation"] == "0"}
    assert len(starts) == 1 and abs(float(starts.pop())) < 1e-6  # the finite learner of the real data is exact


def test_what_is_drawn_is_where_exact_courses_are(finished):
    """Loops after one generation, and best-of-n: 5 standard errors of 4,000 rewards in all, whose sd is at most 1."""
    _, lines = finished
    points = problems.finite(1.0, 1).points
    assert [line.name for line in lines] == [
        "loop K=2, λ=∞", "loop K=2, λ=1", "loop K=4, λ=∞", "loop K=4, λ=1", "RWR", "best-of-n", "DPO", "REINFORCE",
    ]  # fmt: skip
    assert all(line.measured.shape == (2, len(line.at), 3) and line.exact.shape[0] == len(line.at) for line in lines)
    course = theory.trajectory(points.p_ref, points.reward, k=4, lam=1.0, num=2)
    np.testing.assert_allclose(lines[3].exact[:, 1], course @ points.reward, rtol=1e-4, atol=1e-5)
    best = theory.tradeoff(theory.best_of_n(points.p_ref, points.reward, 4), points.p_ref, points.reward)
    np.testing.assert_allclose(lines[5].exact[1, :2], best, rtol=1e-4)
    optimum = theory.tradeoff(theory.rlhf_optimum(points.p_ref, points.reward, 0.5), points.p_ref, points.reward)
    np.testing.assert_allclose([lines[6].exact[1, :2], lines[7].exact[1, :2]], [optimum] * 2, rtol=1e-4)
    for line, place in [(line, 1) for line in lines[:4]] + [(lines[5], 0), (lines[5], 1)]:
        assert abs(line.measured[:, place, 1].mean() - line.exact[place, 1]) < 5 / np.sqrt(2 * CURATED)
    assert all((line.measured[..., 2] > -1e-5).all() for line in lines)  # float32: none lies above the frontier


def test_the_table_tells_the_last_generation_and_every_value():
    measured = np.array([[[0.0, 0.0, 0.0], [1.0, 2.0, 0.5]], [[0.0, 0.0, 0.0], [1.2, 2.2, 0.7]]])
    theirs = np.array([[0.0, 0.0, 0.0], [1.25, 2.125, 0.375]])
    loop = report.Course("loop", ["t=0", "t=1"], measured, theirs, True)
    text = report.table([loop, report.Course("DPO", ["β=1", "β=0.5"], measured, theirs, False)]).splitlines()
    assert " ".join(text[1].split()) == "loop, t=1 1.100 ± 0.100 1.250 2.100 ± 0.100 2.125 0.600 ± 0.100 0.375"
    assert len(text) == 1 + 1 + 2 + 1 and "2 seeds" in text[-1]


@pytest.mark.long
def test_the_pairs_of_dpo_are_those_of_the_loop_of_two(monkeypatch):
    monkeypatch.setattr(methods, "_once", lambda problem, loop: loop)
    monkeypatch.setattr(
        methods, "_measured", lambda problem, record: {"kept": getattr(record.curated.x, "chosen", record.curated.x)}
    )
    problem = problems.finite(1.0, 2)
    begun = jax.vmap(methods.first(problem).make(repetition=0).start)(jax.random.split(jax.random.key(0), 1))
    of_two, _, _, _, dpo, _ = methods.all_of(problem, begun, GIVEN)
    kept = []
    for method, value in ((of_two, {"lam": 1.0}), (dpo, {"beta": 0.5})):
        loop = method.make(repetition=0, **value)
        kept.append(loop.step(jax.random.key(5), loop.start(jax.random.key(6)))[1]["kept"])
    assert kept[0].shape == (60, 1)
    np.testing.assert_array_equal(*kept)


def test_the_programs_of_the_ring_can_be_traced():
    problem = problems.ring(1.0, real=40, first_steps=2, refit_steps=2, steps=2)
    first = methods.first(problem).make(repetition=0)
    with jax.debug_key_reuse(False):  # it takes the keys of a scan under vmap for used
        begun = jax.eval_shape(jax.vmap(first.start), jax.random.split(jax.random.key(0), 2))
    for method in methods.all_of(problem, begun, GIVEN):
        value = {axis: values[0] for axis, values in method.axes.items()}

        def generation(begun, key, method=method, value=value):
            loop = method.make.func(problem, begun, *method.make.args[2:], repetition=jnp.zeros((), int), **value)
            start_key, loop_key = jax.random.split(key)
            state = loop.start(start_key)
            return state, loop.step(loop_key, state)

        before, (after, told) = jax.eval_shape(generation, begun, jax.random.key(0))
        assert jax.tree.map(jnp.shape, before) == jax.tree.map(jnp.shape, after)
        assert {"kl", "reward_mean", "excess_kl", "mass"} <= told.keys()


def test_points_place_the_real_distribution_on_the_frontier():
    points = problems.finite(1.0, 1).points
    at = exact.frontier(points, jnp.array([0.0, 2.0]))
    np.testing.assert_allclose(at["kl"][0], 0.0, atol=1e-6)
    np.testing.assert_allclose(
        at["reward_mean"],
        [points.p_ref @ points.reward, exact.optimum(points, 0.5)["reward_mean"][1]],
        rtol=1e-4,
        atol=1e-6,
    )
    np.testing.assert_allclose(at["excess_kl"], 0.0, atol=1e-5)


def test_a_loop_of_one_generation_is_a_course_over_generations():
    """What starts anew for each value has one generation as well, and goes over the values."""
    problem = problems.finite(1.0, 1)
    found = {}
    for method in methods.all_of(problem, None, GIVEN._replace(generations=1)):
        measured = np.zeros((len(report.exact_courses(problem.points, method)), 3, 2))
        found[method.name] = report.courses(problem.points, method, dict.fromkeys(report.NAMES, measured))
    assert [course.at for course in found["RWR"]] == [["t=0", "t=1"]]
    assert [course.name for course in found["loop K=2"]] == ["loop K=2, λ=∞", "loop K=2, λ=1"]
    assert [course.at for course in found["best-of-n"]] == [["n=2", "n=3"]]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("--temperature=0", "--temperature=0"),
        ("--gamma=0", "--gamma=0"),
        ("--beta=1,0", "--beta"),
        ("--n=2,1.5", "--n"),
        ("--k=1", "--k"),
    ],
)
def test_mistakes_are_told_and_leave_nothing(called, tmp_path, given, named):
    assert named in called(*SMALL, f"--out={tmp_path / 'run'}", given)
    assert not (tmp_path / "run").exists()
