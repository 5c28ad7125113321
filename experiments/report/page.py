"""The page of a report: one string, which needs no other file and no network."""

import json
from collections.abc import Sequence
from pathlib import Path

from experiments.report import markup, numbers
from experiments.report.runs import Rows, Run

HERE = Path(__file__).parent
ROWS = 200  # of a table that is shown as it is
SMALL = 300  # pixels
NOTHING_ELSE = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
ALTERNATIVES = {  # by the name of a figure's file, for those who cannot see it; the numbers are in the tables
    "curves": "Metrics over generations, measured and exact",
    "shares": "Shares of the classes over generations",
    "densities": "Densities of all generations beside the predicted limit",
    "samples": "Samples of some generations",
    "quality": "Measures of the samples' quality over generations",
    "curation": "Groups of candidates, and which of them were kept",
    "ternary": "Shares of three kinds in a triangle",
    "paths": "Paths of taste and population in the unit disk",
}


def page(runs: Sequence[Run]) -> str:
    """The report of one or more runs, side by side."""
    names = ", ".join(run.name for run in runs)
    sections = {
        "settings": ("Settings", _settings(runs)),
        "environment": ("Environment", _environment(runs)),
        "generations": ("Generation by generation", _generations(runs)),
        "numbers": ("Measured against exact", _numbers(runs)),
        "figures": ("Figures", _figures(runs)),
        "files": ("Other tables", _others(runs)),
    }
    sections = {name: (title, parts) for name, (title, parts) in sections.items() if parts}
    links = "".join(f'<a href="#{name}">{markup.text(title)}</a>' for name, (title, _) in sections.items())
    body = "\n".join(markup.section(name, title, parts) for name, (title, parts) in sections.items())
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{NOTHING_ELSE}">
<link rel="icon" href="data:image/png;base64,">
<title>Report: {markup.text(names)}</title>
<style>
{(HERE / "page.css").read_text(encoding="utf-8")}</style>
</head>
<body>
<header><h1>Report: {markup.text(names)}</h1>
<nav aria-label="Parts of this page">{links}</nav></header>
<main>
{body}
</main>
<script>
{(HERE / "page.js").read_text(encoding="utf-8")}</script>
</body>
</html>
"""


def _settings(runs: Sequence[Run]) -> list[str]:
    return [_beside("Flags that the results depend on", "flag", [run.name for run in runs], [r.settings for r in runs])]


def _environment(runs: Sequence[Run]) -> list[str]:
    title = "Versions and device of the first start"
    return [_beside(title, "what", [run.name for run in runs], [run.environment for run in runs])]


def _beside(title: str, of: str, names: Sequence[str], columns: Sequence[dict]) -> str:
    """A row a key and a column a run; rows that differ are marked, in words too."""
    rows, marked = [], []
    for index, key in enumerate(dict.fromkeys(key for column in columns for key in column)):
        values = [_value(column[key]) if key in column else "–" for column in columns]
        if len(set(values)) > 1:
            marked.append(index)
        rows.append([f"{key} (differs)" if len(set(values)) > 1 else key, *values])
    return markup.table(title, [of, *names], rows, marked=marked)


def _value(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _generations(runs: Sequence[Run]) -> list[str]:
    without = [run.name for run in runs if not run.frames.rows]
    said = [
        markup.paragraph(
            f"{name} has no pictures of single generations (gmm, moons and images leave them), so no slider moves it."
        )
        for name in without
    ]
    times = sorted({t for run in runs for at in run.frames.rows.values() for t in at})
    if not times:
        return said
    slider = (
        '<p class="slider"><label for="generation">Generation</label> '
        f'<input type="range" id="generation" min="0" max="{len(times) - 1}" step="1" value="0" '
        f'data-times="{",".join(map(str, times))}"> <output id="shown" for="generation">t = {times[0]}</output></p>'
        "<p>Drag it, or give it the focus and use the arrow keys, Home and End.</p>"
        "<noscript><p>Without JavaScript the first generation is shown.</p></noscript>"
    )
    pictures = [_frame_row(run, row, at) for run in runs for row, at in run.frames.rows.items()]
    captions = dict.fromkeys(run.frames.caption.strip() for run in runs if run.frames.caption)
    return [slider, f'<div class="side">{"".join(pictures)}</div>', *map(markup.paragraph, captions), *said]


def _frame_row(run: Run, row: str, at: dict) -> str:
    name, _, value = row.partition("=")
    title = f"{run.name}, {numbers.called(((name, value),))}"
    images = "".join(
        markup.picture(
            path, f"{title}, generation {t}", f'class="{_look(path)}" data-t="{t}"{"" if index == 0 else " hidden"}'
        )
        for index, (t, path) in enumerate(at.items())
    )
    caption = f'{markup.text(title)}, <span class="at">t = {next(iter(at))}</span>'
    return f'<figure class="frames"><figcaption>{caption}</figcaption>{images}</figure>'


def _look(path: Path) -> str:
    """Small pictures, such as grids of samples a pixel a pixel, are enlarged with sharp edges."""
    width = int.from_bytes(path.read_bytes()[16:20], "big")  # of a PNG
    return "pixels" if width < SMALL else "smooth"


def _numbers(runs: Sequence[Run]) -> list[str]:
    pieces = [numbers.side_by_side(runs)] if len(runs) > 1 and any(run.parts for run in runs) else []
    for run in runs:
        for part in run.parts:
            title = f"{run.name}/{part.name}" if part.name else run.name
            content = "\n".join(numbers.of_part(part))
            pieces.append(markup.folded(title, content, opened=len(runs) == 1 and len(run.parts) == 1))
    return pieces


def _figures(runs: Sequence[Run]) -> list[str]:
    pieces = []
    for name in dict.fromkeys(name for run in runs for name in run.figures):
        stem = Path(name).stem
        shown = "".join(
            f"<figure><figcaption>{markup.text(run.name)}/{markup.text(name)}</figcaption>"
            + markup.scrolled(
                f"{stem} of {run.name}",
                markup.picture(run.figures[name], f"{ALTERNATIVES.get(stem, f'Figure {stem}')}, {run.name}"),
            )
            + "</figure>"
            for run in runs
            if name in run.figures
        )
        pieces.append(f'<div class="side figures">{shown}</div>')
    return pieces


def _others(runs: Sequence[Run]) -> list[str]:
    pieces = []
    for run in runs:
        for name, lines in run.texts.items():
            pieces.append(markup.folded(f"{run.name}/{name}", markup.preformatted(name, lines)))
        for name, rows in run.tables.items():
            pieces.append(markup.folded(f"{run.name}/{name}", _as_it_is(name, rows)))
    return pieces


def _as_it_is(name: str, rows: Rows) -> str:
    some = f", {ROWS} of {len(rows)} rows" if len(rows) > ROWS else ""
    return markup.table(name + some, list(rows[0]), [[_short(v) for v in row.values()] for row in rows[:ROWS]])


def _short(text: str) -> str:
    """Numbers with four digits; other words as they are."""
    try:
        return numbers.number(float(text)) if "." in text else text
    except ValueError:
        return text
