"""The site's notebooks, executed at each build and shown with what they print and draw; and that no page fetches."""

import base64
import re
from pathlib import Path

import jupytext
import nbformat
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient

ROOT = Path(__file__).parent
EVERY = re.compile(r"^::: (\S+)\.\*$", re.MULTILINE)  # `::: package.*` in a page of the reference
FETCHES = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=["'](?:https?:)?//[^>]*>""")


def on_files(files: Files, config) -> Files:
    """Adds a page, its pictures and an executed `.ipynb` for each script in `docs/notebooks`."""
    for script in sorted((ROOT / "notebooks").glob("*.py")):
        notebook, name = executed(script), f"notebooks/{script.stem}"
        page, pictures = as_markdown(notebook, script.stem)
        files.append(File.generated(config, f"{name}.md", content=page))
        files.append(File.generated(config, f"{name}.ipynb", content=nbformat.writes(notebook)))
        for picture, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{picture}", content=content))
    return files


def on_page_markdown(markdown: str, page, config, files) -> str:
    """Names each public module of a package in the place of `::: package.*`."""
    return EVERY.sub(lambda found: "\n\n".join(map(block, public_modules(found[1]))), markdown)


def on_post_page(output: str, page, config) -> str:
    """Stops the build at a page that a reader without a network would not see whole."""
    if found := FETCHES.search(output):
        raise PluginError(f"{page.file.src_uri} fetches {found.group()}: keep a copy in docs/")
    return output


def block(module: str) -> str:
    """What mkdocstrings takes for a module."""
    return f"::: {module}\n    options: {{heading_level: 2}}"


def public_modules(package: str) -> list[str]:
    """The modules of a package that define something public, in order."""
    files = sorted((ROOT.parent / package.replace(".", "/")).glob("*.py"))
    return [f"{package}.{file.stem}" for file in files if re.search(r"^(def|class) [a-zA-Z]", file.read_text(), re.M)]


def executed(script: Path) -> nbformat.NotebookNode:
    """The notebook of a script, run from its first cell to its last; a cell that raises stops the build."""
    notebook = jupytext.read(script)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    NotebookClient(
        notebook, timeout=None, startup_timeout=600, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    ).execute()
    return notebook


def as_markdown(notebook: nbformat.NotebookNode, name: str) -> tuple[str, dict[str, bytes]]:
    """The page, and its pictures by file name."""
    parts, pictures = [], {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stdout":
                parts.append(f"```text\n{output.text.rstrip()}\n```")
            elif image := output.get("data", {}).get("image/png"):
                picture = f"{name}-{len(pictures) + 1}.png"
                pictures[picture] = base64.b64decode(image)
                parts.append(f"![Figure {len(pictures)} of this notebook]({picture})")
    parts.insert(1, f"[This notebook, executed]({name}.ipynb), is made of `docs/notebooks/{name}.py` at each build.")
    return "\n\n".join(parts) + "\n", pictures
