"""A page of what runs left: settings, numbers beside exact ones, figures, and a slider over generations.

python -m experiments.report runs/gmm
python -m experiments.report runs/gmm runs/moons --out=both.html

The page is one HTML file that needs no network. Several runs are shown side by side. It reads the files of the folders
alone: nothing is computed again, and what a run did not write is not shown.
"""

from pathlib import Path

from absl import app, flags

from curated_retraining.driver import write
from experiments import common, helps
from experiments.report import page, runs

FLAGS = flags.FLAGS


def define() -> None:
    """The flag."""
    with common.group(helps.RESULTS):
        flags.DEFINE_string("out", None, "the HTML file (by default report.html in the first folder)")


def main(*folders: str) -> None:
    """Writes the page of the runs in `folders`.

    Raises:
        app.UsageError: where a folder is not a run, or is given twice.
    """
    if not folders:
        raise app.UsageError("no folder is given: name one or more, such as python -m experiments.report runs/gmm")
    for index, folder in enumerate(folders):
        if folder in folders[:index]:
            raise app.UsageError(f"{folder} is given twice: name each run once")
    found = [runs.read(Path(folder)) for folder in folders]
    out = Path(FLAGS.out or Path(folders[0]) / "report.html")
    if out.suffix != ".html" or not out.absolute().parent.is_dir():
        raise app.UsageError(f"--out={out} is no .html file in a folder that is there, such as --out=report.html")
    text = page.page(found)
    write(out, text)
    print(f"{out}: {len(text.encode()) / 1e6:.1f} MB, of {', '.join(folders)}; open it in a browser")


if __name__ == "__main__":
    define()
    common.launch(main, arguments="RUN [RUN ...]")
