"""What a run left in its folder, as its files say it."""

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

from absl import app

from experiments import twins

ALSO = (twins.EXACT, twins.FORETOLD, "metrics.csv")  # tables that are read with their part
Rows = list[dict[str, str]]


class Part(NamedTuple):
    """A folder of one program: what was measured and what it is compared with."""

    name: str  # within the run; empty for the run's own folder
    measured: Rows
    twin: Rows  # empty where there is nothing to compare with
    compared_with: str


class Frames(NamedTuple):
    """Pictures of single generations."""

    rows: dict[str, dict[int, Path]]  # by row, then by generation
    caption: str


class Run(NamedTuple):
    """All that a report says of one folder."""

    name: str
    settings: dict[str, Any]
    environment: dict[str, Any]
    parts: list[Part]
    tables: dict[str, Rows]  # other CSV files, by their path in the folder
    texts: dict[str, str]  # likewise
    figures: dict[str, Path]  # likewise
    frames: Frames


def read(folder: Path) -> Run:
    """The run in `folder`.

    Raises:
        app.UsageError: where there is none, or one of its files is damaged.
    """
    if not folder.is_dir():
        raise app.UsageError(f"{folder} is no folder: name the folders of runs, such as runs/gmm")
    configs = _files(folder, "config.json")
    if not configs:
        raise app.UsageError(
            f"{folder} holds no run, which has a config.json: name the folder that an experiment had as --out"
        )
    settings, environment = _merged(folder, configs)
    files = {
        kind: {str(path.relative_to(folder)): path for path in _files(folder, f"*.{kind}")}
        for kind in ("csv", "txt", "png")
    }
    parts = [_part(folder, path.parent) for name, path in files["csv"].items() if path.name == "metrics.csv"]
    return Run(
        name=str(folder),
        settings=settings,
        environment=environment,
        parts=parts,
        tables={name: _rows(path) for name, path in files["csv"].items() if path.name not in ALSO},
        texts={name: path.read_text(encoding="utf-8", errors="replace") for name, path in files["txt"].items()},
        figures=files["png"],
        frames=_frames(folder / "figures" / "frames"),
    )


def _merged(folder: Path, paths: list[Path]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Flags and environment of a run; where its programs have folders of their own, all the values that they had."""
    homes = {path.parent for path in paths}
    outermost = [path for path in paths if not homes & set(path.parent.parents)]
    of_flags, of_environment = zip(*map(_config, outermost), strict=True)
    alike = all(flags.keys() == of_flags[0].keys() for flags in of_flags)
    if not alike or sum(len(_different(of_flags, key)) > 1 for key in of_flags[0]) > 1:  # one flag: which program it is
        raise app.UsageError(f"{folder} holds several runs: name each, such as {outermost[0].parent}")
    return _values(of_flags), _values(of_environment)


def _values(columns: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """The value of each key, or a list of those that differ."""
    found = {key: _different(columns, key) for key in columns[0]}
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def _different(columns: tuple[dict[str, Any], ...], key: str) -> list[Any]:
    values = [column.get(key) for column in columns]
    return [value for index, value in enumerate(values) if value not in values[:index]]


def _config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return dict(config["flags"]), dict(config["versions"]) | {"device": config["device"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise app.UsageError(f"{path} is not a run's config: give another folder") from error


def _part(folder: Path, of: Path) -> Part:
    name = "" if of == folder else str(of.relative_to(folder))
    for file, called in ((twins.EXACT, "exact"), (twins.FORETOLD, "forecast from generation 0")):
        if (of / file).exists():
            return Part(name, _numbers(of / "metrics.csv"), _numbers(of / file), called)
    return Part(name, _numbers(of / "metrics.csv"), [], "")


def _numbers(path: Path) -> Rows:
    """Rows of a cell, a generation and numbers."""
    rows = _rows(path)
    try:
        for row in rows:
            names = list(row)
            first = names.index("generation")
            int(row["generation"])
            _ = [float(row[name]) for name in names[first:]]
    except ValueError as error:
        raise app.UsageError(
            f"{path} is no table of numbers by generation ({error}): run the experiment again, it writes it anew"
        ) from error
    return rows


def _rows(path: Path) -> Rows:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise app.UsageError(f"{path} cannot be read as a table ({error}): run the experiment again") from error
    if not rows or any(None in row or None in row.values() for row in rows):
        raise app.UsageError(f"{path} is no whole table: run the experiment again, it goes on from its last checkpoint")
    return rows


def _frames(folder: Path) -> Frames:
    rows = {
        row.name: {int(path.stem.removeprefix("t=")): path for path in sorted(row.glob("t=*.png"))}
        for row in sorted(folder.glob("*/"), key=lambda row: (row.name != "lam=inf", row.name))
    }
    caption = folder / "caption.txt"
    return Frames(
        {name: at for name, at in rows.items() if at}, caption.read_text(encoding="utf-8") if caption.exists() else ""
    )


def _files(folder: Path, pattern: str) -> list[Path]:
    """Those that tell of the run: neither checkpoints nor frames, which have a place of their own, nor half ones."""
    found = [path for path in sorted(folder.rglob(pattern)) if path.is_file() and not path.name.startswith(".")]
    return [path for path in found if not {"checkpoints", "frames"} & set(path.relative_to(folder).parts)]
