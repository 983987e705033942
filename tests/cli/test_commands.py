"""train, evaluate and predict on a small folder of images, checked against each other and against Python."""

import json
import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from own_photos import CLASSES, digit_images, write_photos

from cocoop import CLIP, PromptClassifier
from cocoop.data import fingerprint, write_miniature
from cocoop.results import read_run


def test_train_prints_and_records_the_same(cocoop, photos):
    ran = cocoop("train", "photos", "--out", "run", "--shots", 4, "--epochs", 2, "--method", "coop")
    assert ran.code == 0, ran.err
    record = read_run("run").record
    assert (record.protocol, record.dataset) == ("own-images", "photos")
    assert ran.out.splitlines() == [
        "learned from 12 images, 3 classes: run",
        "accuracy on the 6 other images, in percent:",
        f"  {record.results['test'].accuracy:6.2f}  coop",
        f"  {record.zero_shot['test'].accuracy:6.2f}  zero-shot, 'a photo of a {{}}.'",
    ]
    notes = [line for line in ran.err.splitlines() if not line.startswith("next: ")]
    assert len(notes) == 1 and "'tiny' is for trials" in notes[0]


def test_a_test_split_is_scored_and_nothing_else(cocoop, tmp_path):
    write_photos(tmp_path / "parts" / "train", 4)
    write_photos(tmp_path / "parts" / "test", 2)
    ran = cocoop("train", "parts", "--out", "run", "--shots", 2, "--epochs", 1)
    assert ran.out.splitlines()[:2] == [
        "learned from 6 images, 3 classes: run",
        "accuracy on the 6 test images, in percent:",
    ]
    # The test images are among the training split here; a split that was given is taken as it is.
    scored = json.loads(cocoop("evaluate", "run", "parts", "--include-training", "--json").out)
    recorded = asdict(read_run("run").record.results["test"])
    assert scored.pop("notes")
    assert {name: recorded[name] for name in scored} == scored and scored["n"] == 6
    assert set(recorded) - set(scored) == {"dataset", "test_hash", "exif", "mistakes"}


def test_every_form_of_the_same_images_gives_the_same_run(cocoop, photos, tmp_path):
    paths = [photos / name / f"{number}.png" for name in CLASSES for number in range(6)]
    lines = [f"{path.relative_to(tmp_path)},{path.parent.name}" for path in paths]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *lines]))
    content = [[str(path.relative_to(tmp_path)), CLASSES.index(path.parent.name), path.parent.name] for path in paths]
    (tmp_path / "split.json").write_text(json.dumps({"train": content, "val": [], "test": []}))
    runs = []
    for source in ("photos", "list.csv", "split.json"):
        options = ("--shots", 2, "--epochs", 1, "--no-augment", "--device", "cpu")
        assert cocoop("train", source, "--out", f"run-{source}", *options).code == 0
        runs.append(read_run(f"run-{source}"))
    assert all(np.array_equal(run.tensors["ctx"], runs[0].tensors["ctx"]) for run in runs)
    assert len({json.dumps(run.record.picked) for run in runs}) == 1
    assert len({run.record.results["test"].accuracy for run in runs}) == 1


def test_a_named_data_set_and_its_own_prompt(cocoop, tmp_path):
    write_miniature("eurosat", tmp_path / "root")
    options = ("--method", "zero-shot", "--data-root", "root")
    ran = cocoop("train", "eurosat", "--out", "run", *options)
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[-1].endswith("zero-shot, 'a centered satellite photo of {}.'")
    run = read_run("run")
    assert run.config.settings["templates"] == ["a centered satellite photo of {}."]
    assert run.record.results["test"] == run.record.zero_shot["test"]
    assert len(run.predictions["test/label"]) == run.record.results["test"].n


def test_train_without_images_to_score(cocoop, photos):
    ran = cocoop("train", "photos", "--out", "run", "--shots", 6, "--epochs", 1)
    assert ran.code == 0
    assert ran.out.startswith("learned from 18 images, 3 classes: run\nno other images to score it on")


def test_every_option_of_train_reaches_the_classifier(cocoop, photos):
    options = {
        "method": "coop",
        "shots": 2,
        "seed": 0,
        "epochs": 3,
        "batch_size": 5,
        "lr": 0.25,
        "device": "cpu",
        "dtype": "bfloat16",
    }
    flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
    others = ["--set", "context=none", "--set", "context_length=3", "--set", "class_specific=true"]
    others += ["--set", "class_position=middle", "--no-augment"]
    assert cocoop("train", "photos", "--out", "run", *flags, *others).code == 0
    settings = {"context": None, "context_length": 3, "class_specific": True, "class_position": "middle"}
    by_hand = PromptClassifier(**options, settings=settings, augment=False)
    paths = [photos / name / f"{number}.png" for name in CLASSES for number in range(6)]
    by_hand.fit(paths, [path.parent.name for path in paths])
    tensors = read_run("run").tensors
    assert list(tensors) == ["ctx"] and tensors["ctx"].shape[:2] == (3, 3)
    assert np.array_equal(tensors["ctx"], by_hand.model_.ctx.detach().numpy())


def test_words_and_templates(cocoop, photos):
    train = ("train", "photos", "--shots", 1)
    assert cocoop(*train, "--epochs", 1, "--out", "words", "--set", "context=a digit").code == 0
    assert read_run("words").config.settings["context"] == "a digit"
    templates = ["a {}.", "the {}."]
    zero_shot = ("--method", "zero-shot", "--set", f"templates={templates[0]}", "--set", f"templates={templates[1]}")
    assert cocoop(*train, "--out", "zero", *zero_shot).code == 0
    assert read_run("zero").config.settings["templates"] == templates


def test_train_evaluate_predict_agree(cocoop, trained):
    training = json.loads((trained.parent / "out.json").read_text())
    assert training["run"] == "run" and training["training_images"] == 9
    assert training["zero_shot"]["test"]["n"] == training["results"]["test"]["n"] == 9

    ran = cocoop("evaluate", "run", "photos", "--json")
    assert ran.code == 0
    metrics = json.loads(ran.out)
    assert ran.err == "".join(f"note: {text}\n" for text in metrics["notes"])
    assert "left out 9 images that the run was trained on" in metrics["notes"]
    assert metrics["n"] == 9
    for figure in ("accuracy", "macro_f1", "expected_calibration_error", "per_class_accuracy"):
        assert metrics[figure] == pytest.approx(training["results"]["test"][figure])

    classifier = PromptClassifier.load("run", device="cpu")
    paths = sorted((trained.parent / "photos").rglob("*.png"))
    held_out = [path for path in paths if fingerprint(path) not in classifier.trained_on]
    ran = cocoop("predict", "run", *held_out, "--json")
    assert (ran.code, ran.err) == (0, "note: exact inference\n")
    entries = json.loads(ran.out)
    assert [entry["image"] for entry in entries] == [str(path) for path in held_out]
    hits = sum(entry["class"] == path.parent.name for entry, path in zip(entries, held_out, strict=True))
    assert metrics["correct"] == hits
    probabilities = classifier.predict_proba(held_out)
    assert [entry["class"] for entry in entries] == classifier.classes_[probabilities.argmax(axis=1)].tolist()
    assert [entry["probability"] for entry in entries] == pytest.approx(probabilities.max(axis=1).tolist(), abs=1e-5)


def test_evaluate_prints_two_markdown_tables(cocoop, trained):
    metrics = json.loads(cocoop("evaluate", "run", "photos", "--json").out)
    lines = cocoop("evaluate", "run", "photos").out.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line]
    assert [row for row in cells if not row[0].startswith("-")] == [
        ["figure", "value"],
        ["images", "9"],
        ["accuracy, %", f"{metrics['accuracy']:.2f}"],
        ["macro-F1, %", f"{metrics['macro_f1']:.2f}"],
        ["mean per-class accuracy, %", f"{metrics['mean_per_class_accuracy']:.2f}"],
        ["expected calibration error, %", f"{metrics['expected_calibration_error']:.2f}"],
        ["class", "accuracy, %"],
        *([name, f"{metrics['per_class_accuracy'][name]:.2f}"] for name in CLASSES),
    ]


def test_training_images_are_left_out_wherever_they_lie(cocoop, trained, tmp_path):
    for name in CLASSES:
        (tmp_path / "moved" / name).mkdir(parents=True)
        for image in (tmp_path / "photos" / name).iterdir():
            shutil.copyfile(image, tmp_path / "moved" / name / f"renamed-{image.name}")
    assert json.loads(cocoop("evaluate", "run", "moved", "--json").out)["n"] == 9
    ran = cocoop("evaluate", "run", "moved", "--json", "--include-training")
    assert "left out" not in ran.err and json.loads(ran.out)["n"] == 18


def test_nothing_but_training_images_is_an_error(cocoop, photos):
    assert cocoop("train", "photos", "--out", "run", "--shots", 6, "--epochs", 1).code == 0
    ran = cocoop("evaluate", "run", "photos")
    assert (ran.code, ran.out) == (2, "")
    assert "all 18 were. Give other images, or add --include-training." in ran.err


def test_other_classes(cocoop, trained, tmp_path):
    write_photos(tmp_path / "others", 4, ["four", "one"])
    by_folder = json.loads(cocoop("evaluate", "run", "others", "--folder-classes", "--json").out)
    by_name = json.loads(cocoop("evaluate", "run", "others", "--classes", "four, one", "--json").out)
    assert by_folder == by_name and "2 of the run's 3 classes are not among the 2" in by_name["notes"][0]
    # Images of "one" that were trained on are left out here, too.
    assert by_folder["n"] < 8 and list(by_folder["per_class_accuracy"]) == ["four", "one"]

    classifier = PromptClassifier.load("run", device="cpu").set_classes(["four", "red panda"])
    paths = [tmp_path / "others" / "four" / f"{number}.png" for number in range(4)]
    ran = cocoop("predict", "run", *paths, "--classes", "four, red panda", "--top", 2, "--json")
    entries = json.loads(ran.out)
    assert len(entries) == 8
    for path, first, second in zip(paths, entries[::2], entries[1::2], strict=True):
        four, panda = classifier.predict_proba([path])[0]
        expected = sorted([("four", four), ("red panda", panda)], key=lambda pair: -pair[1])
        assert first["image"] == second["image"] == str(path)
        assert [first["class"], second["class"]] == [name for name, _ in expected]
        assert [first["probability"], second["probability"]] == pytest.approx([p for _, p in expected], abs=1e-5)


def test_predict_prints_tabs(cocoop, trained, tmp_path):
    digit_images("seven", 1)[0].save(tmp_path / "a b.png")
    ran = cocoop("predict", "run", "a b.png", "--top", 9)
    assert (ran.code, ran.err) == (0, "note: exact inference\n")
    rows = [line.split("\t") for line in ran.out.splitlines()]
    assert [row[0] for row in rows] == ["a b.png"] * 3  # there are three classes
    assert sorted(row[1] for row in rows) == CLASSES
    percents = [float(row[2]) for row in rows]
    assert percents == sorted(percents, reverse=True) and sum(percents) == pytest.approx(100, abs=0.2)


def test_the_same_command_twice_gives_the_same_tensors(cocoop, trained):
    again = ("train", "photos", "--out", "again", "--shots", 3, "--epochs", 2, "--lr", 0.1, "--device", "cpu")
    assert cocoop(*again).code == 0
    first, second = read_run("run").tensors, read_run("again").tensors
    assert first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def test_train_says_which_classes_are_short_of_images_and_what_is_scored_though_learned(cocoop, tmp_path):
    write_photos(tmp_path / "data" / "train", 4, ["one", "seven"])
    write_photos(tmp_path / "data" / "test", 6, ["one", "seven", "three"])
    (tmp_path / "data" / "train" / "seven" / "3.png").unlink()
    ran = cocoop("train", "data", "--out", "run", "--shots", 4, "--epochs", 1, "--device", "cpu")
    assert ran.code == 0
    assert ran.err.splitlines()[:4] == [
        "note: the only epoch is the warm-up, at a learning rate of 1e-05; take 2 epochs or more to learn",
        "note: no image to learn from of three",
        "note: fewer than 4 images to learn from of seven",
        # Four of one and three of seven: the same files are in both splits.
        "note: 7 of the 18 test images were learned from, too; `evaluate` leaves them out",
    ]


def test_version(cocoop):
    ran = cocoop("--version")
    assert (ran.code, ran.out, ran.err) == (0, f"{version('cocoop')}\n", "")


def test_features_are_kept_and_change_nothing(cocoop, photos, monkeypatch):
    options = ("--shots", 2, "--epochs", 3, "--views", 2, "--augment", "--device", "cpu")
    assert cocoop("train", "photos", "--out", "without", *options).code == 0
    assert cocoop("train", "photos", "--out", "with", *options, "--feature-cache", "kept").code == 0
    runs = [read_run(name) for name in ("without", "with")]
    assert all(np.array_equal(runs[0].tensors[name], runs[1].tensors[name]) for name in runs[0].tensors)
    assert runs[0].config == runs[1].config and runs[1].config.parameters.views == 2
    assert {"test", "seed-1-view-0", "seed-1-view-1"} == {path.parent.name for path in Path("kept").rglob("*.features")}
    image = photos / CLASSES[0] / "5.png"
    expected = [json.loads(cocoop("evaluate", "with", "photos", "--json").out), cocoop("predict", "with", image).out]
    encode = CLIP.encode_images
    monkeypatch.setattr(CLIP, "encode_images", lambda *_: pytest.fail("encoded an image again"))
    evaluated = json.loads(cocoop("evaluate", "with", "photos", "--json", "--feature-cache", "kept").out)
    monkeypatch.setattr(CLIP, "encode_images", encode)
    predicted = cocoop("predict", "with", image, "--feature-cache", "kept").out
    # A batch of 12 images rounds otherwise than one that is filled up to 16.
    expected[0]["expected_calibration_error"] = pytest.approx(expected[0]["expected_calibration_error"], abs=1e-4)
    assert [evaluated, predicted] == expected
