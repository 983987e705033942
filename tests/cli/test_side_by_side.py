"""Several processes at once on one place: the second waits or is refused in a line, and nothing is torn."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cocoop.cli import main
from cocoop.features import FeatureStore, encode_pictures
from cocoop.results import read_run
from cocoop.training.tally import Tally

FORK = multiprocessing.get_context("fork")  # at work at once: one thread, no GPU


def beside(function: Callable[..., Any], *arguments: Any) -> Any:
    """A process of its own that does this."""
    process = FORK.Process(target=function, args=arguments)
    process.start()
    return process


def run(line: str, said: str) -> None:
    """A command; its exit code is the process's, and `said` the file of what it says on stderr."""
    sys.argv = ["cocoop", *line.split()]
    sys.stdout, sys.stderr = open(os.devnull, "w"), open(said, "w")  # noqa: SIM115
    try:
        main()
    except SystemExit as ended:
        sys.stderr.flush()
        os._exit(ended.code or 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("out", ["new", "deep/below/new"])
def test_a_second_training_to_the_same_place_is_refused(cocoop, photos, monkeypatch, tmp_path, out):
    """It comes in the middle of the first, which goes on undisturbed, and both leave nothing else behind."""
    train = f"train photos --shots 2 --epochs 2 --lr 0.1 --device cpu --out {out}"
    before, add, codes = {*tmp_path.rglob("*")}, Tally.add, []

    def with_another(self, facts):
        add(self, facts)
        if not codes:
            second = beside(run, train, "said.txt")
            second.join()
            codes.append(second.exitcode)

    with monkeypatch.context() as patch:
        patch.setattr(Tally, "add", with_another)
        assert cocoop(*train.split()).code == 0
    assert codes == [2]
    assert Path("said.txt").read_text() == (
        f"cocoop: {out}: expected a place for this training alone; another one is at work on it. Wait, or choose "
        "another.\n"
    )
    new = {path for path in {*tmp_path.rglob("*")} - before if not path.is_relative_to(tmp_path / out)}
    assert new == {tmp_path / "said.txt", *(tmp_path / out).parents} - {tmp_path, *tmp_path.parents}
    assert cocoop(*train.split()[:-1], "whole").code == 0
    assert np.array_equal(read_run(out).tensors["ctx"], read_run("whole").tensors["ctx"])


def _fill(folder: Path, pictures: list[Path], clip: Any, barrier: Any, number: int) -> None:
    barrier.wait()
    features = encode_pictures(clip, pictures[number:] + pictures[:number], FeatureStore(folder, clip))[:]
    np.save(f"{number}.npy", features.roll(number, dims=0).numpy())


def test_eight_processes_on_one_feature_cache(tiny, photos, monkeypatch, tmp_path):
    """They begin at the same moment, with the same pictures in other orders."""
    monkeypatch.chdir(tmp_path)
    pictures, barrier = sorted(photos.glob("*/*.png")), FORK.Barrier(8)
    processes = [beside(_fill, tmp_path / "cache", pictures, tiny, barrier, number) for number in range(8)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    expected = encode_pictures(tiny, pictures, FeatureStore(tmp_path / "alone", tiny))[:]
    for number in range(8):
        assert torch.equal(torch.from_numpy(np.load(f"{number}.npy")), expected)
    assert torch.equal(encode_pictures(tiny, pictures, FeatureStore(tmp_path / "cache", tiny))[:], expected)
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_predictions_while_reports_are_made(trained, monkeypatch, tmp_path):
    """Of the same run, whose temperature is fitted anew meanwhile. Whoever reads a page or a record has a whole one."""
    monkeypatch.chdir(tmp_path)
    lines = {
        "report": "report run --out page.html",
        "predict": "predict run photos --device cpu --out rows.csv",
        "evaluate": "evaluate run photos --no-calibrate --device cpu",
    }
    processes = [beside(run, line, f"{name}.txt") for name, line in lines.items()]
    looks = 0
    while any(process.is_alive() for process in processes):
        page = Path("page.html").read_text() if Path("page.html").exists() else "</html>"
        assert page.rstrip().endswith("</html>") and json.loads(Path("run/record.json").read_text())["method"]
        looks += 1
    assert [process.exitcode for process in processes] == [0, 0, 0], [Path(f"{name}.txt").read_text() for name in lines]
    with open("rows.csv", newline="") as file:
        assert looks and len([*csv.DictReader(file, strict=True)]) == 18
    assert not [*tmp_path.rglob("*.tmp")]
