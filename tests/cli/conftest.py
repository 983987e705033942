"""Commands run in this process, from an empty working directory, as the console script runs them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from own_photos import write_photos

from cocoop.cli import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def cocoop(monkeypatch, capfd, tmp_path) -> Callable[..., Ran]:
    """`cocoop("train", "photos", ...)` -> exit code, stdout and stderr. The working directory is `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["cocoop", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Ran(ended.value.code or 0, *capfd.readouterr())

    return run


@pytest.fixture
def photos(tmp_path) -> Path:
    """Six images of each of three digits, in `photos` of the working directory."""
    return write_photos(tmp_path / "photos")


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    write_photos(root / "photos")
    arguments = "train photos --out run --shots 3 --epochs 2 --lr 0.1 --json --device cpu"
    with pytest.MonkeyPatch.context() as patch, open(root / "out.json", "w") as out:
        patch.chdir(root)
        patch.setattr(sys, "argv", ["cocoop", *arguments.split()])
        patch.setattr(sys, "stdout", out)
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return root


@pytest.fixture
def trained(trained_once, tmp_path) -> Path:
    """A run of three shots on `photos`, both in the working directory; its output is in out.json."""
    shutil.copytree(trained_once, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"
