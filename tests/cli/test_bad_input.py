"""Bad input: exit code 2, one line on stderr that says expected, got and remedy, and nothing written."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from own_photos import listing, write_photos
from safetensors.numpy import load_file

from cocoop import METHODS
from cocoop.clip.sources.load import BUNDLED

TRAIN = ("train", "photos", "--out", "new", "--epochs", "1", "--shots", "1")
RANDOM = [*TRAIN, "--set", "context=none", "--set"]


def refused(cocoop, tmp_path, *arguments) -> str:
    """The one line of the refusal."""
    before = listing(tmp_path)
    ran = cocoop(*arguments)
    assert listing(tmp_path) == before, "something was written"
    assert (ran.code, ran.out) == (2, ""), ran.err
    assert ran.err.startswith("cocoop: ") and ran.err.endswith("\n") and ran.err.count("\n") == 1, ran.err
    assert "expected" in ran.err and "Traceback" not in ran.err
    return ran.err


def damage(tmp_path, *names: str) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"not what it was\n")


def write_names(tmp_path, *names: str) -> None:
    shutil.rmtree(tmp_path / "photos")
    write_photos(tmp_path, 2, ["one"])
    for name in names:
        shutil.copytree(tmp_path / "one", tmp_path / "photos" / name)


TRAIN_CASES = {
    "no such folder": (["train", "nowhere", "--out", "new"], "nowhere: .*no such file or folder"),
    "a file": (["train", "photos/one/0.png", "--out", "new"], "got a file"),
    "a name without its data root": (["train", "dtd", "--out", "new"], "dtd: expected the data root.*--data-root"),
    "a wrong data root": (["train", "dtd", "--out", "new", "--data-root", "photos"], "dtd"),
    "unknown method": ([*TRAIN, "--method", "maple"], "expected one of zero-shot, coop, cocoop.*; got 'maple'"),
    "out is taken": (["train", "photos", "--out", "photos"], "photos: expected a new or empty folder"),
    "out is a file": (["train", "photos", "--out", "photos/one/0.png"], "it exists. Choose another name"),
    "out below a file": (["train", "photos", "--out", "photos/one/0.png/run"], "0.png is a file"),
    "views without views": ([*TRAIN, "--no-augment", "--views", "5"], "views: .*augment=False.* got 5. Leave it out"),
    "epochs without a training": (
        [*TRAIN, "--method", "zero-shot"],
        "epochs: expected nothing, because the method zero-shot is not trained; got 1. Leave it out",
    ),
    "shots 0": ([*TRAIN, "--shots", "0"], "shots: expected an integer of 1 or more; got 0"),
    "epochs 0": ([*TRAIN, "--epochs", "0"], "epochs: expected an integer of 1 or more; got 0"),
    "batch size 0": ([*TRAIN, "--batch-size", "0"], "batch_size: expected an integer of 1 or more; got 0"),
    "lr 0": ([*TRAIN, "--lr", "0"], "lr: expected a learning rate above 0"),
    "lr negative": ([*TRAIN, "--lr", "-1"], "lr: expected a learning rate above 0.*got -1.0"),
    "lr nan": ([*TRAIN, "--lr", "nan"], "lr: expected a learning rate above 0.*got nan"),
    "seed too large": ([*TRAIN, "--seed", str(2**70)], "seed: expected an integer of 64 bits"),
    "device": ([*TRAIN, "--device", "abacus"], "device: expected auto, cpu or .*got 'abacus'"),
    "a device without numbers": ([*TRAIN, "--device", "meta"], "got 'meta' .it keeps no numbers"),
    "checkpoint every": ([*TRAIN, "--checkpoint-every", "often"], "checkpoint_every: expected a number of steps"),
    "dtype": ([*TRAIN, "--dtype", "int4"], "dtype: expected one of auto, float32, .*got 'int4'"),
    "a setting of coop": (
        [*TRAIN, "--set", "class_position=front"],
        "class_position: .*cocoop has no such.*choose coop",
    ),
    "a setting of zero-shot": (
        [*TRAIN, "--set", "templates=a {}."],
        "templates: .*no such.*choose zero-shot",
    ),
    "template without {}": (
        ["train", "photos", "--out", "new", "--method", "zero-shot", "--set", "templates=cat"],
        "texts with {}.*got 'cat'",
    ),
    "context without words": ([*TRAIN, "--set", "context= "], "context: expected at least one word"),
    "random context of 0": (
        [*RANDOM, "context_length=0"],
        "random context vectors, at least 1",
    ),
    "two contexts": (
        [*TRAIN, "--set", "context=a", "--set", "context=b"],
        "context: expected words.*got .'a', 'b'",
    ),
    "a setting without a value": ([*TRAIN, "--set", "context"], "--set: expected NAME=VALUE.*got 'context'"),
    "an unknown setting": (
        [*TRAIN, "--set", "weight=8"],
        "weight: .*no such setting .it has context, .*got 8",
    ),
    "no plugin": ([*TRAIN, "--plugin", "nowhere.py"], "plugin nowhere.py: expected a Python file"),
    "long context": (
        [*RANDOM, "context_length=75"],
        r"a prompt of at most 77 tokens .*; got \d+\. Shorten",
    ),
    "a setting that is no number": (
        [*RANDOM, "context_length=NaN"],
        "context_length: expected .*a finite number.*got nan",
    ),
    "neither yes nor no": (
        [*TRAIN, "--method", "coop", "--set", "class_specific=no"],
        "class_specific: expected True or False; got 'no'",
    ),
    "no such clip": (
        [*TRAIN, "--clip", "./my-clip"],
        "./my-clip: expected tiny, ViT-B/32, .*a model folder, .*or a hub id",
    ),
    "a file as clip": ([*TRAIN, "--clip", "photos/one/0.png"], "0.png: expected weights: .*got a file of another kind"),
}


@pytest.mark.parametrize("case", TRAIN_CASES)
def test_train(cocoop, photos, tmp_path, case):
    arguments, message = TRAIN_CASES[case]
    assert re.search(message, refused(cocoop, tmp_path, *arguments))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "got no image in any sub-folder"),
        (["cat"], "at least two classes; got only 'cat'"),
        (["a_b", "a b"], "got 'a b' and 'a_b', which read the same"),
        (["_", "cat"], "words in every name; got '_'"),
        (["cat", "qzxj" * 50], "'qzxjqzxj.*at most 77 tokens .*; got .*Shorten the class name"),
    ],
)
def test_train_on_folders_that_are_no_classes(cocoop, photos, tmp_path, names, message):
    write_names(tmp_path, *names)
    (tmp_path / "photos").mkdir(exist_ok=True)
    assert re.search(message, refused(cocoop, tmp_path, *TRAIN))


def test_images_that_do_not_decode(cocoop, trained, tmp_path):
    # Any of them, learned from or only scored on.
    damage(tmp_path, "photos/one/3.png", "photos/three/5.png")
    told = refused(cocoop, tmp_path, *TRAIN)
    assert "expected all 18 to decode; 2 do not: " in told and "one/3.png (" in told and "three/5.png (" in told
    told = refused(cocoop, tmp_path, "evaluate", "run", "photos")
    assert "photos/one/3.png: expected an image that Pillow can decode" in told
    assert "no such file" in refused(cocoop, tmp_path, "predict", "run", "nowhere.png")


def test_an_image_without_the_right_to_read(cocoop, photos, tmp_path):
    (photos / "one" / "0.png").chmod(0)
    if os.access(photos / "one" / "0.png", os.R_OK):
        pytest.skip("this user may read anything")
    ran = cocoop(*TRAIN)
    assert ran.code == 2 and ran.err.count("\n") == 1 and "0.png (PermissionError" in ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("cat,,dog", "names, comma-separated, none of them empty"),
        ("", "names, comma-separated, none of them empty"),
        ("cat,Cat", "got 'cat' and 'Cat', which read the same"),
        ("cat," + "very " * 100 + "long", "at most 77 tokens"),
    ],
)
def test_class_lists(cocoop, trained, tmp_path, classes, message):
    for arguments in (("evaluate", "run", "photos"), ("predict", "run", "photos/one/0.png")):
        assert message in refused(cocoop, tmp_path, *arguments, "--classes", classes)


def test_labels_that_the_run_does_not_know(cocoop, trained, tmp_path):
    write_photos(tmp_path / "others", 1, ["four", "one"])
    told = refused(cocoop, tmp_path, "evaluate", "run", "others", "--include-training")
    assert "expected classes of this model ('one', 'seven', 'three'); got 'four'." in told
    assert "--folder-classes" in told
    both = ("--folder-classes", "--classes", "four,one")
    assert "Give one" in refused(cocoop, tmp_path, "evaluate", "run", "others", *both)
    assert "no such file or folder" in refused(cocoop, tmp_path, "evaluate", "run", "nowhere")


@pytest.mark.parametrize("file", ["config.json", "prompt.safetensors", "metrics.jsonl", "record.json"])
def test_run_folders_with_a_missing_or_damaged_file(cocoop, trained, tmp_path, file):
    predict = ("predict", "run", "photos/one/0.png")
    damage(tmp_path, f"run/{file}")
    assert file in refused(cocoop, tmp_path, *predict)
    (trained / file).unlink()
    assert f"{file} is missing" in refused(cocoop, tmp_path, *predict)


def test_folders_that_are_no_runs(cocoop, trained, tmp_path):
    assert "got no such folder" in refused(cocoop, tmp_path, "predict", "nowhere", "photos/one/0.png")
    assert "are missing" in refused(cocoop, tmp_path, "predict", "photos", "photos/one/0.png")
    assert "got a file" in refused(cocoop, tmp_path, "predict", "run/config.json", "photos/one/0.png")


@pytest.mark.parametrize("key", ["parameters", "class_names", "classes", "settings"])
def test_a_run_with_a_changed_config(cocoop, trained, tmp_path, key):
    config = json.loads((trained / "config.json").read_text())
    del config[key]
    (trained / "config.json").write_text(json.dumps(config))
    assert key in refused(cocoop, tmp_path, "predict", "run", "photos/one/0.png")


def test_a_run_with_a_changed_record(cocoop, trained, tmp_path):
    (trained / "record.json").write_text("{}")
    told = refused(cocoop, tmp_path, "predict", "run", "photos/one/0.png")
    assert "record.json: expected a run's file as cocoop writes it; it lacks 'method'" in told


def test_a_run_whose_clip_is_elsewhere(cocoop, trained, tmp_path):
    config = json.loads((trained / "config.json").read_text())
    config["parameters"]["clip"] = "/moved/away"
    (trained / "config.json").write_text(json.dumps(config))
    predict = ("predict", "run", "photos/one/0.png")
    told = refused(cocoop, tmp_path, *predict)
    assert "/moved/away" in told and "--clip" in told
    assert cocoop(*predict, "--clip", "tiny").code == 0


@pytest.fixture
def model(tmp_path):
    return shutil.copytree(BUNDLED["tiny"], tmp_path / "model")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_model_folders_with_a_missing_or_damaged_file(cocoop, photos, model, tmp_path, file):
    arguments = (*TRAIN, "--clip", "model")
    damage(tmp_path, f"model/{file}")
    assert re.search("model(/.*)?: expected", refused(cocoop, tmp_path, *arguments))
    (model / file).unlink()
    assert file in refused(cocoop, tmp_path, *arguments)


def test_a_model_of_another_family(cocoop, photos, model, tmp_path):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"model_type": "siglip"}))
    assert "got model_type 'siglip'" in refused(cocoop, tmp_path, *TRAIN, "--clip", "model")


def test_a_training_that_diverges_is_a_failed_run_not_bad_input(cocoop, photos, tmp_path):
    before = listing(tmp_path)
    ran = cocoop("train", "photos", "--out", "new", "--epochs", 4, "--lr", 1e30)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("\n") == 1 and "expected a finite loss" in ran.err and "Lower the learning rate" in ran.err
    kept = tmp_path / "new.learned.safetensors"
    assert f"No run was written; the learned tensors are in {kept}." in ran.err
    tensors = load_file(kept)
    assert "ctx" in tensors and all(np.isfinite(tensor).all() for tensor in tensors.values())
    kept.unlink()
    assert listing(tmp_path) == before


def test_what_was_learned_is_kept_when_the_run_cannot_be_written(cocoop, photos, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cocoop.results.run_folder.write_jsonl", full)
    ran = cocoop("train", "photos", "--out", "new", "--epochs", 1)
    assert (ran.code, ran.out) == (1, "")
    kept = tmp_path / "new.learned.safetensors"
    assert "No space left" in ran.err and f"the learned tensors are in {kept}. The same command goes on" in ran.err
    assert "ctx" in load_file(kept)


def test_a_place_that_cannot_be_written_is_refused_before_training(cocoop, photos, tmp_path):
    for out in ("/dev/null", "n" * 240, "photos/one/0.png/run"):
        assert "Choose another" in refused(cocoop, tmp_path, "train", "photos", "--out", out)
        assert "Choose another" in refused(cocoop, tmp_path, "demo", "--out", out)


def test_demo_into_a_taken_folder(cocoop, photos, tmp_path):
    assert "new or empty folder" in refused(cocoop, tmp_path, "demo", "--out", "photos")


def test_a_process_ends_with_the_code_and_one_line(photos, tmp_path):
    command = [sys.executable, "-c", "from cocoop.cli import main; main()", *TRAIN, "--method", "maple"]
    before = listing(tmp_path)
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"cocoop: method: expected one of {', '.join(METHODS)}; got 'maple'.\n"
    assert listing(tmp_path) == before
