"""Figures as they are about to be written."""

import sys

import pytest


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
