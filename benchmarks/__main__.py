"""All timings, or those named, as one table: python -m benchmarks [name ...] --repeats=3 --csv=benchmarks.csv."""

import argparse
import importlib
import os
import pkgutil

import jax
from tqdm import tqdm

import benchmarks
from benchmarks.table import markdown, write_csv


def main() -> None:
    """Prints the table and writes it as CSV."""
    names = [
        module.name
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if hasattr(importlib.import_module(f"benchmarks.{module.name}"), "rows")
        if module.name != "__main__"
    ]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"all by default, of {', '.join(names)}")
    parser.add_argument("--repeats", type=int, default=3, help="timed turns of each side; medians are shown")
    parser.add_argument("--csv", default="benchmarks.csv", help="where the numbers go")
    flags = parser.parse_args()
    if unknown := sorted(set(flags.names) - set(names)):
        parser.error(f"no benchmarks are called {', '.join(unknown)}: take some of {', '.join(names)}")
    if flags.repeats < 1:
        parser.error(f"--repeats={flags.repeats} leaves nothing to time: take 1 or more")

    rows = []
    for name in tqdm(flags.names or names, unit="benchmark"):
        rows += importlib.import_module(f"benchmarks.{name}").rows(flags.repeats)
    device = jax.devices()[0].device_kind
    print(f"jax {jax.__version__} on {device}, {os.cpu_count()} cores, medians of {flags.repeats}\n")
    print(markdown(rows))
    write_csv(flags.csv, rows)
    print(f"\nThe same numbers are in {flags.csv}.")


if __name__ == "__main__":
    main()
