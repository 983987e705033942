"""`cocoop bench`."""

import json

import pytest
import torch

from cocoop.bench import RATES_HEADER, WAYS, photographs


def test_the_command(cocoop):
    arguments = "--shape tiny --class-counts 120 --batch-sizes 1 --rounds 1 --device cpu --json"
    ran = cocoop("bench", *arguments.split())
    assert ran.code == 0
    result = json.loads(ran.out)
    assert (result["shape"], result["device"], result["dtype"], result["rounds"]) == ("tiny", "cpu", "float32", 1)
    assert result["threads"] == torch.get_num_threads() and result["environment"]["packages"]["torch"]
    cells = result["cells"]
    assert [(cell["classes"], cell["images"], cell["passes"]) for cell in cells] == [
        (120, 1, "forward"),
        (120, 1, "forward+backward"),
    ]
    assert [cell["plain_measured_classes"] for cell in cells] == [100, 100]
    for cell in cells:
        assert cell["times_faster"] == pytest.approx(cell["plain_ms"] / cell["ours_ms"])
        assert cell["times_floor"] == pytest.approx(cell["ours_ms"] / cell["floor_ms"])
        assert cell["plain_peak_mb"] > cell["ours_peak_mb"] > 0
    assert [image["classes"] for image in result["training"]] == [120]
    (tower,) = result["image_tower"]
    assert tower["images"] == 1 and tower["images_per_second"] == pytest.approx(1000 / tower["ours_ms"])
    assert tower["times_floor"] == pytest.approx(tower["ours_ms"] / tower["floor_ms"])
    (way,) = result["inference"]
    assert (way["classes"], way["made_of_classes"]) == (120, 100)
    assert way["tangent_of_tower"] == pytest.approx(way["tangent_ms"] / way["tower_ms"])


def test_the_rates_of_a_plan(cocoop, monkeypatch):
    few = photographs()[:4]
    monkeypatch.setattr("cocoop.bench.photographs", lambda: few)
    arguments = "--predict --shape tiny --class-counts 3 --rounds 1 --device cpu"
    told = json.loads(cocoop("bench", *arguments.split(), "--json").out)
    assert told["shape"] == "tiny" and told["rates"]["dtype"] == "float32"
    assert [(side["way"], side["classes"]) for side in told["text_sides"]] == [(way, 3) for way in WAYS[1:]]
    ran = cocoop("bench", *arguments.split())
    first, _, table = ran.out.partition("\n\n")
    assert (ran.code, first) == (0, "tiny, random weights, float32; pictures: drawn JPEGs of 500 x 375 pixels")
    header, _, *rows = table.splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")] == [*RATES_HEADER]
    assert len(rows) > len(WAYS[1:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--predict --class-counts 3,1", "bench: expected 2 classes or more, and 1 round or more; got 1 and 5"),
        ("--predict --rounds 0", "1 round or more; got 10 and 0"),
        ("--shape ViT-X", "shape: expected one of tiny, ViT-B/32"),
        ("--shape tiny --dtype int8", "dtype: expected one of"),
        ("--shape tiny --device abacus", "device: expected auto, cpu"),
        ("--classes 1", "classes: expected 2 or more; got 1"),
        ("--batch-sizes 8,0", "images: expected 1 or more; got 8, 0"),
        ("--rounds 0", "rounds: expected 1 or more; got 0"),
    ],
)
def test_bad_input(cocoop, arguments, message):
    ran = cocoop("bench", *arguments.split())
    assert ran.code == 2 and message in ran.err and ran.out == ""


def test_the_table(cocoop, monkeypatch):
    unknown = {"forward": None, "forward+backward": None}
    monkeypatch.setattr("cocoop.bench.measure.peak_megabytes", lambda *_, **__: unknown)
    arguments = "--shape tiny --class-counts 3,4 --batch-sizes 2 --rounds 1 --device cpu"
    ran = cocoop("bench", *arguments.split())
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].startswith("towers of tiny, random weights, float32, cpu, ")
    tables = [line for line in lines if line.startswith("|")]
    assert len(tables) == (2 + 1) + (2 + 4) + (2 + 2) + (2 + 2) and len({len(line) for line in tables[3:9]}) == 1
    assert [cell.strip() for cell in tables[2].split("|")[1:2]] == ["2"]
    assert [cell.strip() for cell in tables[8].split("|")[1:4]] == ["4", "2", "forward+backward"]
    assert tables[8].endswith(" - |")
    assert not [line for line in lines if "ImageNet" in line or "scaled" in line]
