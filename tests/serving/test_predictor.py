"""`Predictor`: the rows of `predict_proba` to the bit, an error per row, frozen, and pickled by path."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cocoop
from cocoop import CLIP, InputError, Predictor, ZeroShot
from cocoop.serving import Named


@pytest.fixture(scope="module")
def predictor(learned):
    return Predictor.load(learned.run, device="cpu", top=3)


def probabilities(result, classes):
    """[n, K] in the order of the classes, of rows that have all classes in "top"."""
    rows = [{entry["class"]: entry["probability"] for entry in top} for top in result["top"]]
    return np.array([[row[name] for name in classes] for row in rows])


@pytest.mark.parametrize("count", [1, 15, 16, 17, 36])
def test_rows_are_those_of_predict_proba_to_the_bit(learned, predictor, count):
    paths = learned.paths[:count]
    result, expected = predictor({"image": paths}), learned.classifier.predict_proba(paths)
    assert list(result) == ["class", "probability", "top", "error"]
    assert np.array_equal(probabilities(result, learned.classifier.classes_), expected)
    assert result["class"] == learned.classifier.predict(paths).tolist()
    assert result["probability"] == expected.max(axis=1).tolist()
    assert result["error"] == [None] * count
    assert all(top == sorted(top, key=lambda entry: -entry["probability"]) for top in result["top"])


@pytest.mark.parametrize("number", [0, 4, 20])
def test_other_classes_and_a_shortlist(learned, number):
    names = ["four", "red panda", "seven"]
    other = Predictor.load(learned.run, classes=names, device="cpu", top=3, shortlist=2)
    classifier = cocoop.PromptClassifier.load(learned.run, device="cpu").set_classes(names)
    result = other({"image": learned.paths[number:]})
    assert np.array_equal(probabilities(result, names), classifier.predict_proba(learned.paths[number:], shortlist=2))
    assert other.classes_ == tuple(names)


def test_tangent_inference(learned):
    tangent = Predictor.load(learned.run, device="cpu", top=3, inference="tangent")
    result = tangent({"image": learned.paths})
    expected = learned.classifier.predict_proba(learned.paths, inference="tangent")
    assert np.array_equal(probabilities(result, learned.classifier.classes_), expected)
    assert result["class"] == learned.classifier.predict(learned.paths).tolist()
    assert "tangent inference (checked on 3 training images" in tangent.inference_ and "36 images" in tangent.inference_
    assert pickle.loads(pickle.dumps(tangent)).inference == "tangent"
    again = cocoop.PromptClassifier.load(learned.run, device="cpu")
    assert np.array_equal(again.fit_.sample, learned.classifier.fit_.sample) and again.as_run().sample
    kept = again.inference(inference="tangent")  # it is dear
    assert again.inference(inference="tangent") is kept
    assert again.set_classes(["four", "seven"]).inference(inference="tangent") is not kept
    with pytest.raises(InputError, match="inference: expected a conditional prompt"):
        Predictor.zero_shot("tiny", ["one", "two"], inference="tangent")


def test_every_form_of_a_picture_is_one_picture(learned, predictor):
    path = Path(learned.paths[0])
    array = np.array(Image.open(path).convert("RGB"))
    forms = [str(path), path, path.read_bytes(), bytearray(path.read_bytes()), array, Image.open(path)]
    forms += [{"bytes": path.read_bytes(), "path": None}, {"bytes": None, "path": str(path)}]
    result = predictor({"image": forms, "label": [1] * 8})
    assert result["error"] == [None] * 8 and len(set(result["probability"])) == 1
    arrays = np.stack([array, array])  # as Ray has a column of pictures of one size
    assert predictor({"image": arrays})["probability"] == predictor({"image": [path, path]})["probability"]


def test_what_cannot_be_read_is_an_error_in_its_row_and_changes_no_other(learned, predictor, tmp_path):
    whole = learned.paths[:20]
    torn = Path(whole[0]).read_bytes()[:-45]
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "lazy.png").write_bytes(torn)
    bad = {
        3: (b"", "no format that it knows"),
        5: (torn, "expected an image that Pillow can decode"),
        6: (str(tmp_path / "none.png"), "none.png: expected an image.* no such file"),
        9: (tmp_path / "pipe.png", "pipe.png: expected a regular file; got a named pipe"),
        12: ("/dev/zero", "/dev/zero: expected a regular file"),
        13: (str(tmp_path), "got a folder"),
        16: (None, "expected a path.*; got NoneType"),
        17: (np.zeros((3, 4, 4), dtype=np.uint8), r"expected an array \[H, W, 3\] of uint8; got \[3, 4, 4\] of uint8"),
        18: (np.zeros((4, 4, 3)), "of float64"),
        25: (Image.open(tmp_path / "lazy.png"), "expected an open image"),
        26: ("a\0b", "expected an image"),
    }
    pictures = list(whole)
    for place, (picture, _) in bad.items():
        pictures.insert(place, picture)
    result = predictor({"image": pictures})
    assert {len(values) for values in result.values()} == {len(pictures)}
    for place, (_, message) in bad.items():
        row = {name: values[place] for name, values in result.items()}
        assert (row["class"], row["probability"], row["top"]) == (None, None, [])
        assert re.search(message, row["error"]), row["error"]
    good = {name: [v for place, v in enumerate(values) if place not in bad] for name, values in result.items()}
    expected = learned.classifier.predict_proba(whole)
    assert np.array_equal(probabilities(good, learned.classifier.classes_), expected)


def test_nothing_and_nothing_good(predictor):
    assert predictor({"image": []}) == {"class": [], "probability": [], "top": [], "error": []}
    assert predictor({"image": [b"x"]})["class"] == [None]
    with pytest.raises(InputError, match=r"batch: expected .*; got \['picture'\]"):
        predictor({"picture": []})


def test_a_threshold_leaves_the_probability(learned, predictor):
    values = sorted(predictor({"image": learned.paths})["probability"])
    middle = values[18]
    result = Predictor.load(learned.run, device="cpu", threshold=middle)({"image": learned.paths})
    assert sorted(result["probability"]) == values
    assert [label is None for label in result["class"]] == [p < middle for p in result["probability"]]
    assert all(len(top) == 1 for top in result["top"])


def test_zero_shot_is_the_method(learned):
    templates = ["a {}.", "the digit {}."]
    predictor = Predictor.zero_shot("tiny", ["one", "three"], templates, device="cpu", top=2)
    clip = CLIP.load("tiny", device="cpu")
    features = clip.encode_images(torch.stack([clip.preprocess(Image.open(path)) for path in learned.paths[:5]]))
    expected = ZeroShot(clip, ["one", "three"], templates).probabilities(features).double().numpy()
    result = predictor({"image": learned.paths[:5]})
    assert probabilities(result, ["one", "three"]) == pytest.approx(expected, abs=1e-7)


def test_it_is_frozen_and_says_what_it_takes(learned, predictor):
    for name in ("top", "classes", "model"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(predictor, name, 5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        del predictor.top
    text = repr(Predictor.load(learned.run, device="cpu", workers=7))
    assert str(learned.run) in text and "3 classes" in text and "one process, 7 threads" in text


def test_a_pickle_holds_paths_and_no_weights(learned, predictor, tmp_path, monkeypatch):
    predictor({"image": learned.paths[:2]})
    content = pickle.dumps(predictor)
    assert len(content) < 1000 and str(learned.run).encode() in content
    loads = []
    load = CLIP.load
    monkeypatch.setattr(CLIP, "load", lambda *args, **more: loads.append(1) or load(*args, **more))
    again = pickle.loads(content)
    assert not loads  # before the first batch
    assert again({"image": learned.paths[:9]}) == predictor({"image": learned.paths[:9]}) and len(loads) == 1

    (tmp_path / "predictor").write_bytes(content)
    code = (
        "import pickle, torch\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"  # which decide the last bits
        "predictor = pickle.load(open('predictor', 'rb'))\n"
        f"print(predictor({{'image': {learned.paths[:3]!r}}}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert ran.stdout.strip() == str(predictor({"image": learned.paths[:3]}))


def test_relative_paths_hold_in_other_folders(learned, tmp_path, monkeypatch):
    monkeypatch.chdir(learned.run.parent)
    content = pickle.dumps(Predictor.load("run", device="cpu", feature_cache="kept"))
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(content)({"image": learned.paths[:2]})["error"] == [None, None]
    assert list(tmp_path.iterdir()) == [] and (learned.run.parent / "kept").is_dir()


def test_a_loaded_clip_works_and_is_not_pickled(learned):
    predictor = Predictor.zero_shot(CLIP.load("tiny", device="cpu"), ["one", "two"])
    assert predictor({"image": learned.paths[:1]})["error"] == [None]
    with pytest.raises(InputError, match="by name, to be pickled"):
        pickle.dumps(predictor)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"workers": 0}, "workers: expected a number of 1 or more; got 0"),
        ({"top": 0}, "top: expected a number"),
        ({"threshold": 1.5}, "threshold: expected a probability, 0 to 1; got 1.5"),
        ({"classes": ["cat", "Cat"]}, "read the same"),
        ({"device": "abacus"}, "device"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(learned, given, message):
    with pytest.raises(InputError, match=message):
        Predictor.load(learned.run, **given)


def test_features_are_kept_and_change_nothing(learned, predictor, tmp_path, monkeypatch):
    paths = learned.paths[:20]
    pictures = [*paths, paths[0], Image.open(paths[1]), b"no picture"]
    plain = predictor({"image": pictures})
    cached = Predictor.load(learned.run, device="cpu", top=3, feature_cache=tmp_path / "kept")
    assert cached({"image": pictures}) == plain
    encode, encoded = CLIP.encode_images, []
    monkeypatch.setattr(CLIP, "encode_images", lambda self, pixels: encoded.append(len(pixels)) or encode(self, pixels))
    again = Predictor.load(learned.run, device="cpu", top=3, feature_cache=tmp_path / "kept")
    assert again({"image": pictures}) == plain and not encoded
    assert again({"image": [learned.paths[30], paths[0]]})["error"] == [None, None] and encoded == [16]
    block = next((tmp_path / "kept").rglob("*.features"))
    block.write_bytes(block.read_bytes()[:-1] + b"!")  # a damaged block is computed again
    assert (
        Predictor.load(learned.run, device="cpu", top=3, feature_cache=tmp_path / "kept")({"image": pictures}) == plain
    )


def test_a_stream_is_lazy_and_keeps_its_order(learned, predictor):
    taken = []

    def endless():
        for number in range(10**9):
            taken.append(number)
            yield Named(f"{number}", learned.paths[number % 36] if number % 10 else b"bad")

    stream = predictor.stream(endless())
    rows = [next(stream) for _ in range(200)]
    stream.close()
    assert [row.key for row in rows] == [str(number) for number in range(200)]
    assert [row.error is None for row in rows] == [number % 10 > 0 for number in range(200)]
    assert len(taken) < 300
    expected = learned.classifier.predict_proba(learned.paths).max(axis=1)
    assert [row.probability for row in rows if row.error is None] == pytest.approx(
        [expected[number % 36] for number in range(200) if number % 10], abs=1e-6
    )


def test_hugging_faces_datasets_map_it(learned, predictor):
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"image": [*learned.paths[:5], "nowhere.png"]})
    mapped = table.map(predictor, batched=True, batch_size=6, keep_in_memory=True, load_from_cache_file=False)
    result = predictor({"image": [*learned.paths[:5], "nowhere.png"]})
    assert mapped["class"][:] == result["class"] and mapped["probability"][:] == result["probability"]
    assert mapped["top"][0] == result["top"][0] and mapped["error"][:] == result["error"]
