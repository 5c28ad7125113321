"""Figures as they are about to be written, and as files."""

import sys

import matplotlib
import pytest
from PIL import Image


@pytest.fixture
def drawn(monkeypatch):
    """Calls a function of `figures` and returns the figure that it was about to write."""

    def draw(function, *args, **kwargs):
        caught = []
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules[function.__module__], "write", lambda path, figure: caught.append(figure))
            function("nowhere.png", *args, **kwargs)
        (figure,) = caught
        return figure

    return draw


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """Asserts that `write(folder)` leaves whole pictures of the given names, without pyplot or lasting settings."""

    def check(write, *names):
        monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it would raise
        before = dict(matplotlib.rcParams)
        write(tmp_path)
        assert dict(matplotlib.rcParams) == before
        assert {file.name for file in tmp_path.iterdir()} == set(names)
        for name in names:
            with Image.open(tmp_path / name) as image:
                image.load()
                assert image.format == name[-3:].upper()

    return check
