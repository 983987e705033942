"""`cocoop demo`, shrunk: one seed and an epoch."""

import json

import pytest
from PIL import Image

from cocoop import METHODS, PromptClassifier
from cocoop.cli import demo
from cocoop.results import read_run


@pytest.fixture
def ran(cocoop, monkeypatch):
    monkeypatch.setattr(demo, "SEEDS", (1, 2))
    monkeypatch.setattr(demo, "SHOTS", 2)
    monkeypatch.setattr(demo, "SPLIT", (0.1, 0.7, 0.2))
    for method in METHODS.values():
        monkeypatch.setattr(method, "paper_epochs", 1)
    return cocoop("demo", "--out", "out")


def test_prints_one_table_and_leaves_runs_and_a_picture(ran, tmp_path):
    assert ran.code == 0, ran.err
    table = ran.out.rstrip("\n").splitlines()
    assert (tmp_path / "out" / "table.md").read_text() == ran.out
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert cells[0] == ["method", "base", "new", "H", "seconds per run", "trainable parameters"]
    assert [row[0] for row in cells[2:]] == ["zero-shot", "coop", "cocoop"]
    assert len({len(line) for line in table}) == 1

    runs = tmp_path / "out" / "runs"
    assert sorted(path.name for path in runs.iterdir()) == sorted(f"{m}-seed{s}" for m in METHODS for s in (1, 2))
    for row in cells[2:]:
        records = [read_run(runs / f"{row[0]}-seed{seed}").record for seed in (1, 2)]
        for half, cell in (("base", row[1]), ("new", row[2])):
            one, other = (record["results"][half] for record in records)
            assert cell == f"{(one + other) / 2:.2f} +- {abs(one - other) / 2:.2f}"
        assert int(row[5].replace(",", "")) == records[0]["trainable_parameters"]
    with Image.open(tmp_path / "out" / "base-to-new.png") as image:
        assert image.format == "PNG"


def test_its_runs_are_ordinary_run_folders(ran, tmp_path):
    folder = tmp_path / "out" / "runs" / "cocoop-seed1"
    record = json.loads((folder / "record.json").read_text())
    assert record["training_images"] == 5 * 2
    classifier = PromptClassifier.load(folder, device="cpu")
    assert classifier.classes_.tolist() == ["zero", "one", "two", "three", "four"]
    # The digits lie beside the runs; a base class's accuracy can be had from them.
    digits = sorted((tmp_path / "out" / "digits" / "two").iterdir())[:5]
    assert classifier.predict_proba(digits).shape == (5, 5)
