"""What `cocoop embed --shards` wrote answers predict, evaluate and train: without the image tower, the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from own_photos import write_photos
from shard_cases import EMBED, work

from cocoop import CLIP, InputError
from cocoop.data import LeftOut
from cocoop.features import FeatureStore, encode_pictures
from cocoop.results import read_record
from cocoop.serving import feature_files
from cocoop.shards import Job, output_folder, shards_of

TRAIN = ("train", "photos", "--shots", 3, "--epochs", 2, "--lr", 0.1, "--no-augment", "--device", "cpu")
FIGURES = ("results", "zero_shot", "picked", "trained_on")


@pytest.fixture
def embedded(tmp_path, monkeypatch):
    """18 photos of three digits in photos/, a copy of one of them and a damaged one; embedded into features/ by 7."""
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos")
    (Path("photos/one/copy.png")).write_bytes(sorted(Path("photos/one").glob("*.png"))[0].read_bytes())
    Path("more").mkdir()
    Path("more/bad.png").write_bytes(b"no picture")
    shards = shards_of(["photos", "more"], output_folder("features"), 7, LeftOut())
    tally = work(Job(EMBED, "features"), shards)
    assert (tally.done, tally.rows, tally.errors) == (3, 20, 1)
    return sorted(str(path) for path in Path("photos").rglob("*.png"))


def test_a_store_finds_them_by_content(embedded):
    clip = CLIP.load("tiny", device="cpu")
    store = FeatureStore("features", clip)
    contents = store.contents(None)
    assert len(contents) == 18  # one is there twice, one is none
    found, is_there = store.find(contents[::-1], None)
    assert is_there.all()
    rows = [row for path in feature_files("features") for row in pq.read_table(path).to_pylist()]
    by_content = {row["content"]: row["embedding"] for row in rows if row["content"]}
    asked = [contents[::-1][n : n + 1].tobytes() for n in range(18)]
    assert np.array_equal(found[:].numpy(), np.float32([by_content[content] for content in asked]))
    assert np.array_equal(found[[3, 0, 3]].numpy(), found[:].numpy()[[3, 0, 3]])
    other = np.array([b"x" * 32, asked[0]], dtype="S32")
    assert store.find(other, None)[1].tolist() == [False, True]
    assert len(store.opened("ignore").contents(None)) == 0, "opened otherwise, they are other features"
    assert np.array_equal(encode_pictures(clip, embedded, store)[:].numpy(), encode_pictures(clip, embedded).numpy())


def test_train_and_evaluate_without_the_tower(cocoop, embedded, monkeypatch):
    expected = cocoop(*TRAIN, "--out", "plain", "--feature-cache", "blocks", "--json")
    with monkeypatch.context() as patch:
        patch.setattr(CLIP, "encode_images", None)
        ran = cocoop(*TRAIN, "--out", "run", "--feature-cache", "features", "--json")
        told = cocoop("evaluate", "run", "photos", "--feature-cache", "features", "--json", "--device", "cpu")
    assert (ran.code, told.code) == (0, 0), ran.err + told.err
    one, other = read_record("plain"), read_record("run")
    assert [getattr(one, name) for name in FIGURES] == [getattr(other, name) for name in FIGURES]
    assert (Path("plain") / "prompt.safetensors").read_bytes() == (Path("run") / "prompt.safetensors").read_bytes()
    assert json.loads(ran.out)["results"] == json.loads(expected.out)["results"]
    assert sorted(path.name for path in Path("features").iterdir()) == [
        "manifest",
        "pictures-000000.parquet",
        "pictures-000001.parquet",
        "pictures-000002.parquet",
        "pictures.jsonl",
    ]


def test_predict_without_the_tower(cocoop, embedded, monkeypatch):
    assert cocoop(*TRAIN, "--out", "run").code == 0
    predict = ("predict", "run", "--device", "cpu")
    expected = json.loads(cocoop(*predict, "photos", "more", "--json").out)
    with monkeypatch.context() as patch:
        patch.setattr(CLIP, "encode_images", None)
        ran = cocoop(*predict, "features", "--json")
        sharded = cocoop(*predict, "features", "--shards", "predicted", "--threads", 1)
    assert ran.code == 1 and "1 of 20 pictures could not be read" in ran.err
    entries = json.loads(ran.out)
    assert [entry["image"] for entry in entries] == [entry["image"] for entry in expected]
    for entry, other in zip(entries, expected, strict=True):
        assert entry.get("class") == other.get("class") and entry.get("error") == other.get("error")
        assert entry.get("probability") == pytest.approx(other.get("probability"), abs=1e-5)
    assert sharded.out == "3 of 3 shards (0 before), 20 rows, 1 of them errors: predicted\n"
    rows = pq.read_table(sorted(map(str, Path("predicted").glob("*.parquet")))).to_pylist()
    assert [(row["image"], row["class"]) for row in rows] == [(e["image"], e.get("class")) for e in entries]


def test_features_are_no_pictures_to_embed(embedded):
    with pytest.raises(InputError, match="expected the column that holds the pictures"):
        shards_of(["features/pictures-000000.parquet"], output_folder("out"), None, LeftOut(), features=False)
