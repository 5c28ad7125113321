"""The experiments, a line each: `python -m experiments`."""

import ast
import difflib
import sys
from pathlib import Path

from experiments import helps

HERE = Path(__file__).parent


def experiments() -> dict[str, str]:
    """The first line of each experiment's docstring, by name; nothing of theirs is imported."""
    scripts = {path.stem: path for path in HERE.glob("*.py")}
    scripts |= {path.parent.name: path for path in HERE.glob("*/__main__.py")}
    parsed = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in sorted(scripts.items())}
    return {
        name: (ast.get_docstring(script) or "").partition("\n")[0]
        for name, script in parsed.items()
        if any(isinstance(node, ast.Call) and ast.unparse(node.func) == "common.launch" for node in ast.walk(script))
    }


def main(arguments: list[str]) -> None:
    """Prints the list; of a word that is no experiment, the one that it is most like."""
    found = experiments()
    named = [word for word in arguments if word.lstrip("-") not in ("help", "helpfull", "h")]
    if named:
        meant = difflib.get_close_matches(named[0], found, n=1, cutoff=0.5)
        if named[0] in found:
            sys.exit(f"error: an experiment is a module of its own: python -m experiments.{' '.join(arguments)}")
        asked = f": did you mean python -m experiments.{meant[0]}?" if meant else ";"
        sys.exit(f"error: no experiment is called {named[0]}{asked} python -m experiments lists them")
    width = max(map(len, found))
    print(
        "python -m experiments.NAME plays an experiment, with no flag needed but where it says so; --help explains it."
    )
    print("\n".join(["", *(f"{name:<{width}}  {line}" for name, line in found.items())]))


if __name__ == "__main__":
    with helps.read_while_wanted():
        main(sys.argv[1:])
