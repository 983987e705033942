from pathlib import Path

import pytest

from cocoop.data.cache import cache_folder


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "home/.cache/cocoop"),
        ({"COCOOP_CACHE": "", "XDG_CACHE_HOME": ""}, "home/.cache/cocoop"),
        ({"XDG_CACHE_HOME": "relative"}, "home/.cache/cocoop"),
        ({"XDG_CACHE_HOME": "{root}/xdg"}, "xdg/cocoop"),
        ({"XDG_CACHE_HOME": "{root}/xdg", "COCOOP_CACHE": "{root}/own"}, "own"),
        ({"COCOOP_CACHE": "~/own"}, "home/own"),
    ],
)
def test_the_nearest_variable_decides(tmp_path: Path, monkeypatch, variables, expected):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("COCOOP_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(root=tmp_path))
    assert cache_folder() == tmp_path / expected
    assert list(tmp_path.iterdir()) == []  # nothing is made by asking
