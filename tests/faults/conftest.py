"""What tests of bad input share."""

import pytest


@pytest.fixture
def where(tmp_path, monkeypatch):
    """A folder to work in, in which nothing but `given` may be afterwards."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(("given", ".hypothesis"))] == []
