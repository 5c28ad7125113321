"""Rows of numbers from a user's `.npy`, `.npz` and `.csv` files; whatever is wrong with them is told in one line."""

import csv
import sys
from pathlib import Path

import numpy as np
from absl import app

KINDS = (".npy", ".npz", ".csv")
NUMBERS, CLASSED = "numbers are needed", "number the classes from 0"
CLASSES = 1000  # more would hardly be classes, and each takes columns of the results


def rewards(spec: str, needed: str = NUMBERS) -> np.ndarray:
    """Finite numbers, float64 `[n]`, from `file`, `file.npz:array` or `file.csv:column`.

    What a `.csv` file's first line was taken for is told; where there are no numbers, `needed` is the remedy.

    Raises:
        app.UsageError: where there is no such file, array or column, or it holds anything else.
    """
    values = _read(spec, needed)
    if values.ndim != 1:
        raise app.UsageError(f"{spec} has the shape {values.shape}: one number a sample is needed")
    if values.size == 0:
        raise app.UsageError(f"{spec} is empty: one number a sample is needed")
    if values.dtype.kind not in "iuf":
        raise app.UsageError(f"{spec} holds {values.dtype}: {needed}")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        first = int(np.argmin(np.isfinite(values)))
        raise app.UsageError(f"{spec} is {values[first]} at sample {first} (the first is 0): leave out such samples")
    return values


def labels(spec: str, of: str, num: int) -> np.ndarray:
    """Classes numbered from 0, int32 `[num]`; `of` names the rewards that they belong to.

    Raises:
        app.UsageError: as `rewards`, or where a number is not whole, negative or 1000 and more, or there are not `num`.
    """
    values = rewards(spec, CLASSED)
    if len(values) != num:
        raise app.UsageError(f"{spec} has {len(values)} labels for the {num} rewards of {of}: one a sample is needed")
    good = (values == np.floor(values)) & (values >= 0) & (values < CLASSES)
    if not good.all():
        first = int(np.argmin(good))
        raise app.UsageError(
            f"{spec} is {values[first]:g} at sample {first} (the first is 0): {CLASSED} to {CLASSES - 1}"
        )
    return values.astype(np.int32)


def _read(spec: str, needed: str) -> np.ndarray:
    path, part = _split(spec)
    try:
        if path.suffix == ".csv":
            return _column(path, part, needed)
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            if path.suffix == ".npz":
                return _member(path, found, part)
    except app.UsageError:
        raise
    except OSError as error:
        raise app.UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise app.UsageError(f"{path} is no text: a .csv file in UTF-8 is needed") from error
    except Exception as error:  # what NumPy and its zip reader may raise at damaged bytes is not to be listed
        reason = " ".join(str(error).split())
        raise app.UsageError(f"{path} is no whole {path.suffix} file of numbers: {reason}") from error
    if part is not None or not isinstance(found, np.ndarray):
        raise app.UsageError(f"{spec} is no single array: a .npy file holds one, without a name")
    return found


def _split(spec: str) -> tuple[Path, str | None]:
    """The file and what comes after its last colon, if anything."""
    path, _, part = (spec, "", None) if Path(spec).suffix in KINDS else spec.rpartition(":")
    if Path(path).suffix not in KINDS:
        raise app.UsageError(f"{spec} is not a {', '.join(KINDS)} file, nor one with :name after it")
    return Path(path), part


def _member(path: Path, found, name: str | None) -> np.ndarray:
    names = list(getattr(found, "files", ()))
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        raise app.UsageError(f"{_asked(path, name)}: it holds {_listed(names)}; take one as {path}:name")
    array = found[name]
    if not isinstance(array, np.ndarray):
        raise app.UsageError(f"{path}:{name} is no array: numbers are needed")
    return array


def _column(path: Path, name: str | None, needed: str) -> np.ndarray:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        lines = [(reader.line_num, fields) for fields in reader]
    while lines and not any(lines[-1][1]):
        lines.pop()
    while lines and not any(lines[0][1]):
        lines.pop(0)
    if not lines:
        raise app.UsageError(f"{path} is empty: one number a sample is needed")
    (line, first), header = lines[0], None
    if len(first) == 1 and set(first[0]) & {";", "\t"}:
        raise app.UsageError(f"{path} has {first[0]!r} in line {line}: commas are needed between columns")
    if not any(_is_number(field) for field in first):
        header, lines = [field.strip() for field in first], lines[1:]
    place = 0
    if name is not None or len(first) > 1:
        place = _place(path, header, name)
    taken = f"names columns, of which {header[place]!r} is read" if header else "holds numbers and is taken for data"
    print(f"{path}: its first line, {','.join(first)!r:.80}, {taken}", file=sys.stderr)
    values = []
    for line, fields in lines:
        if len(fields) != len(first):
            raise app.UsageError(f"{path} has {len(fields)} columns in line {line}, not {len(first)}")
        if not _is_number(fields[place]):
            raise app.UsageError(f"{path} has {fields[place]!r} in line {line}: {needed}")
        values.append(float(fields[place]))
    return np.array(values)


def _place(path: Path, header: list[str] | None, name: str | None) -> int:
    """Of the column `name`, which there has to be once."""
    if header is None:
        raise app.UsageError(
            f"{_asked(path, name)}: its first line holds numbers, so it is taken for data: name the columns"
        )
    if name not in header:
        raise app.UsageError(f"{_asked(path, name)}: it has {_listed(header)}; take one as {path}:column")
    if header.count(name) > 1:
        raise app.UsageError(f"{path} has {header.count(name)} columns {name!r}: give each a name of its own")
    return header.index(name)


def _asked(path: Path, name: str | None) -> str:
    return f"{path} needs a name" if name is None else f"{path} has no {name!r}"


def _listed(names) -> str:
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "") if names else "no names"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
