"""`cocoop demo`, shrunk: two seeds and an epoch."""

import json
from dataclasses import replace

from PIL import Image

from cocoop import METHODS, PromptClassifier
from cocoop.cli import demo
from cocoop.results import read_run

RUNS = [("zero-shot", "0-shots", 1), *((m, "2-shots", s) for m in ("coop", "cocoop") for s in (1, 2))]


def test_prints_one_table_and_leaves_runs_and_a_picture(cocoop, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "SEEDS", (1, 2))
    monkeypatch.setattr(demo, "SHOTS", 2)
    for method in ("coop", "cocoop"):
        monkeypatch.setattr(METHODS[method], "recipe", replace(METHODS[method].recipe, epochs=1))
    ran = cocoop("demo", "--out", "out")
    assert ran.code == 0, ran.err
    table = ran.out.rstrip("\n").splitlines()
    assert (tmp_path / "out" / "table.md").read_text() == ran.out
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert cells[0] == ["method", "base", "new", "H", "seconds per run", "trainable parameters"]
    assert [row[0] for row in cells[2:]] == ["zero-shot", "coop", "cocoop"]
    assert len({len(line) for line in table}) == 1

    runs = tmp_path / "out" / "base-to-new" / "digits"
    folders = {(path.parts[-4], path.parts[-3], int(path.parts[-2][-1])) for path in runs.rglob("record.json")}
    assert folders == set(RUNS)
    for row in cells[2:]:
        of_method = [runs / m / shots / f"seed-{seed}" for m, shots, seed in RUNS if m == row[0]]
        records = [read_run(folder).record for folder in of_method]
        for half, cell in (("base", row[1]), ("new", row[2])):
            one, other = (record.results[half].accuracy for record in (records[0], records[-1]))
            assert cell == f"{(one + other) / 2:.2f} +- {abs(one - other) / 2:.2f}"
        assert int(row[5].replace(",", "")) == records[0].trainable_parameters
    with Image.open(tmp_path / "out" / "base-to-new.png") as image:
        assert image.format == "PNG"
    check_run_folder(tmp_path)


def check_run_folder(tmp_path):
    """Its runs are ordinary ones."""
    folder = tmp_path / "out/base-to-new/digits/cocoop/2-shots/seed-1"
    record = json.loads((folder / "record.json").read_text())
    assert record["training_images"] == 5 * 2
    assert record["learning"]["augment"] is False
    classifier = PromptClassifier.load(folder, device="cpu")
    assert classifier.classes_.tolist() == ["zero", "one", "two", "three", "four"]
    # The digits lie beside the runs; a base class's accuracy can be had from them.
    digits = sorted((tmp_path / "out/digits/test/two").iterdir())[:5]
    assert classifier.predict_proba(digits).shape == (5, 5)
