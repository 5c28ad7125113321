"""Pieces of HTML as strings; what comes from a run is escaped here and nowhere else."""

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path


def text(value: object) -> str:
    """A value as text of a page or of an attribute."""
    return html.escape(str(value), quote=True)


def paragraph(words: str) -> str:
    """A paragraph of plain words."""
    return f"<p>{text(words)}</p>"


def section(name: str, title: str, parts: Iterable[str]) -> str:
    """A part of the page that the navigation leads to."""
    return f'<section id="{text(name)}"><h2>{text(title)}</h2>\n' + "\n".join(parts) + "\n</section>"


def folded(title: str, content: str, *, opened: bool = False) -> str:
    """Content that a reader unfolds."""
    return f"<details{' open' if opened else ''}><summary>{text(title)}</summary>\n{content}\n</details>"


def scrolled(title: str, content: str) -> str:
    """Content that scrolls inside itself where the screen is narrower; keys do that once it has the focus."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{text(title)}">{content}</div>'


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, marked: Iterable[int] = ()) -> str:
    """A table whose first column names its rows; `marked` rows stand out."""
    marked = set(marked)
    heads = "".join(f'<th scope="col">{text(cell)}</th>' for cell in head)
    lines = []
    for index, (name, *cells) in enumerate(rows):
        look = ' class="marked"' if index in marked else ""
        numbers = "".join(f"<td>{text(cell)}</td>" for cell in cells)
        lines.append(f'<tr{look}><th scope="row">{text(name)}</th>{numbers}</tr>')
    body = "\n".join(lines)
    return scrolled(
        title,
        f"<table><caption>{text(title)}</caption><thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table>",
    )


def preformatted(title: str, lines: str) -> str:
    """Text in columns, as a terminal shows it."""
    return scrolled(title, f"<pre>{text(lines)}</pre>")


def picture(path: Path, alt: str, attributes: str = "") -> str:
    """A PNG file as part of the page; `attributes` are markup."""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{text(alt)}"{attributes and " " + attributes}>'
