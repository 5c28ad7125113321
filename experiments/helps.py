"""The page that `--help` shows, its groups of flags, and what is said of a flag that there is not."""

import contextlib
import difflib
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from absl import flags

PLAYED, READ, FOUND, LOOP, MAPS, TOY, RING, SIZES, RESULTS, DEVICES = GROUPS = (
    "What is played",
    "What is read",
    "What is estimated",
    "The loop",
    "The maps",
    "The toy",
    "The ring",
    "Sizes and repetitions",
    "Where results go",
    "Devices and hosts",
)
ASKS = {f"{dashes}{word}" for dashes in ("-", "--") for word in ("help", "helpshort", "h", "?")}
GENERATION = (
    "One generation: a pool of samples is drawn from the model, annotators choose one of each group of K by their "
    "reward, and the model is refitted to what they chose, alone (λ = inf) or with real data (λ = #curated / #real)."
)
MANY = 2**30  # a limit that nobody reaches is not told; two of them are an int32
KINDS = {"int": "N", "float": "X", "bool": "", "string": "TEXT", "string enum": "NAME", "multi string enum": "NAME"}


@contextlib.contextmanager
def group(title: str) -> Iterator[None]:
    """Flags that are defined inside belong to the group, unless to one further inside.

    Raises:
        ValueError: where there is no such group.
    """
    if title not in GROUPS:
        raise ValueError(f"group {title!r} is none of {', '.join(GROUPS)}")
    before = set(flags.FLAGS)
    yield
    for name in set(flags.FLAGS) - before:
        if group_of(flags.FLAGS[name]) is None:
            vars(flags.FLAGS[name])["group"] = title


def group_of(flag: flags.Flag) -> str | None:
    """The group that a flag was defined in, if in one."""
    return getattr(flag, "group", None)


def page(docstring: str, ours: Iterable[flags.Flag], arguments: str = "") -> str:
    """What an experiment plays, its examples and its flags, group by group; paragraphs fit the terminal."""
    found = list(ours)
    width = min(shutil.get_terminal_size((88, 24)).columns, 100)
    lines = docstring.strip().splitlines()
    examples = [line for line in lines if line.startswith("python -m ")]
    told = "\n".join(line for line in lines if line not in examples).split("\n\n")
    told += [GENERATION] if {"k", "lam"} <= {flag.name for flag in found} else []
    pieces = [textwrap.fill(" ".join(words.split()), width) for words in told if words.strip()]
    pieces.append("\n  ".join(["Examples" if len(examples) > 1 else "Example", *examples]))
    if arguments:
        pieces.append(f"Arguments\n  {arguments}, before or after the flags")
    for title in GROUPS:
        entries = [_entry(flag, width) for flag in found if group_of(flag) == title]
        pieces += ["\n".join([title, *entries])] if entries else []
    return "\n\n".join([*pieces, "--helpfull lists the flags of absl too, such as --flagfile."])


def parsed(argv: Sequence[str], docstring: str, ours: Sequence[flags.Flag], arguments: str = "") -> list[str]:
    """What is left of `argv` once flags are parsed; a wish for help, or a mistake, is answered and ends the process."""
    if ASKS & set(argv[1:]):
        print(page(docstring, ours, arguments))
        sys.exit(0)
    try:
        return flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        meant = nearest(error.flagname, [flag.name for flag in ours])
        asked = f": did you mean --{meant}?" if meant else ";"
        sys.exit(f"error: unknown flag --{error.flagname}{asked} --help lists them")
    except flags.Error as error:
        sys.exit(f"error: {' '.join(str(error).split())}; --help says more")


@contextlib.contextmanager
def read_while_wanted() -> Iterator[None]:
    """Whoever reads what is printed inside may stop, as `head` does: that ends the process without a word."""
    try:
        try:
            yield
        finally:
            print(end="", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python would fail once more on its way out
        sys.exit(128 + signal.SIGPIPE)


def nearest(word: str, words: Iterable[str]) -> str:
    """The one of `words` that is most like `word`; empty where none is like it."""
    return next(iter(difflib.get_close_matches(word, words, n=1, cutoff=0.5)), "")


def _entry(flag: flags.Flag, width: int) -> str:
    kind = "A,B,..." if "list" in flag.flag_type() else KINDS[flag.flag_type()]
    head = f"  --{'[no]' if flag.flag_type() == 'bool' else ''}{flag.name}{kind and f'={kind}'}"
    if flag.default is not None:
        head += f"  (default {_value(flag.default)})"
    return "\n".join([head, textwrap.fill(_meaning(flag), width, initial_indent=" " * 6, subsequent_indent=" " * 6)])


def _meaning(flag: flags.Flag) -> str:
    choices = getattr(flag.parser, "enum_values", None)
    low, high = (getattr(flag.parser, f"{end}_bound", None) for end in ("lower", "upper"))
    limits = [f"one of {', '.join(choices)}"] if choices else []
    limits += [f"at least {low}"] if low is not None else []
    limits += [f"at most {high}"] if high is not None and high < MANY else []
    told = (flag.help or "").partition(";\n    repeat this option")[0]  # what absl adds is said in our words
    told = told.removeprefix(f"<{'|'.join(choices or [])}>: ")
    return "; ".join([told, *limits])


def _value(default: object) -> str:
    if isinstance(default, list):
        return ",".join(map(str, default))
    return str(default).lower() if isinstance(default, bool) else str(default) or "none"
