"""Run folders: whole or absent, read back as written, and damage told in one line."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import records
from own_photos import listing

from cocoop import InputError, RunError
from cocoop.results import Figures, check_new, read_run, run_folder, write_run
from cocoop.results.card import model_card
from cocoop.results.schema import FORMAT

RUN = records.RUN


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "run", RUN, "# card\n")


def test_reads_back_what_was_written(folder):
    found = read_run(folder)
    assert found.config == RUN.config
    assert found.record == RUN.record and found.history == RUN.history  # floats unrounded
    assert found.tensors.keys() == RUN.tensors.keys()
    for name, tensor in RUN.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert np.array_equal(found.tensors[name], tensor)
    assert found.predictions.keys() == RUN.predictions.keys()
    assert all(np.array_equal(found.predictions[name], array) for name, array in RUN.predictions.items())
    assert (folder / "README.md").read_text() == "# card\n"
    assert [path.name for path in folder.parent.iterdir()] == ["run"]


def test_no_pickle(folder):
    # A pickle of protocol 2 or later begins with 0x80, a zip archive (torch.save) with PK.
    assert not [name for name, content in listing(folder).items() if content[:1] == b"\x80" or content[:2] == b"PK"]


def test_the_folder_is_made_with_its_parents_or_taken_over_when_empty(tmp_path):
    assert read_run(write_run(tmp_path / "a" / "b" / "run", RUN, "")).record == RUN.record
    (tmp_path / "empty").mkdir()
    assert read_run(write_run(str(tmp_path / "empty"), RUN, "")).record == RUN.record


@pytest.mark.parametrize("writer", ["write_json", "write_jsonl", "write_tensors"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt(), ValueError("a bug")])
def test_a_failure_on_the_way_leaves_nothing(tmp_path, monkeypatch, writer, error):
    calls = []

    def fail(*args):
        calls.append(args)
        raise error

    monkeypatch.setattr(run_folder, writer, fail)
    with pytest.raises(RunError if isinstance(error, OSError) else type(error)):
        write_run(tmp_path / "run", RUN, "")
    assert calls and listing(tmp_path) == {}


def test_a_failure_at_the_last_file_leaves_nothing(tmp_path):
    with pytest.raises(RunError, match=r"\['seconds'\] = nan"):
        write_run(tmp_path / "run", RUN._replace(record=replace(RUN.record, seconds=float("nan"))), "")
    assert listing(tmp_path) == {}


def test_what_could_not_be_read_back_is_not_written(tmp_path):
    for run, fault in [
        (
            RUN._replace(config=replace(RUN.config, parameters=replace(records.PARAMETERS, augment=0))),
            r"'augment'\] is 0",
        ),
        (RUN._replace(record=replace(RUN.record, seed=True)), "'seed' is True, not an integer"),
        (RUN._replace(history=[replace(RUN.history[0], epoch="first")]), "'epoch' is 'first', not an integer"),
    ]:
        with pytest.raises(RunError, match=rf"run: expected a run that can be read back; its .*{fault}") as caught:
            write_run(tmp_path / "run", run, "")
        assert "tmp" not in str(caught.value).replace(str(tmp_path), "") and listing(tmp_path) == {}


def test_a_learned_number_stays_a_number(tmp_path):
    run = RUN._replace(tensors={"scale": np.array(2.5, np.float32), "list": np.array([2.5], np.float32)})
    read = read_run(write_run(tmp_path / "run", run, "")).tensors
    assert (read["scale"].shape, read["list"].shape, float(read["scale"])) == ((), (1,), 2.5)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (
            '{"epoch": 0, "learning_rate": 1, "loss": "low", "accuracy": 1, "seconds": 1}',
            "'loss' is 'low', not a number",
        ),
        ('{"epoch": 0}', "it lacks 'learning_rate'"),
        (
            '{"epoch": 0, "learning_rate": 1, "loss": 1, "accuracy": 1e30, "seconds": 1}',
            r"'accuracy' is 1e\+30, not percent",
        ),
    ],
)
def test_a_damaged_history_is_named(folder, line, fault):
    (folder / "metrics.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match=rf"metrics\.jsonl: expected a run's file as cocoop writes it; .*{fault}"):
        read_run(folder)


def test_a_taken_folder_is_refused_and_left_alone(folder, tmp_path):
    before = listing(tmp_path)
    for taken in (folder, folder / "README.md"):
        with pytest.raises(InputError, match=r"expected a new or empty folder .*; it exists\. Choose"):
            write_run(taken, RUN, "")
    assert listing(tmp_path) == before


def test_a_place_that_cannot_hold_a_folder_is_known_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is a file"):
        check_new(tmp_path / "file" / "run")
    check_new(tmp_path / "not" / "yet" / "there")
    assert sorted(listing(tmp_path)) == ["file"]


def test_a_place_without_rights_is_known_before_the_work(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    if os.access(tmp_path / "locked", os.W_OK):
        pytest.skip("this user may write anywhere")
    with pytest.raises(InputError, match="without the right to write"):
        check_new(tmp_path / "locked" / "run")


@pytest.mark.parametrize("name", ["config.json", "prompt.safetensors", "metrics.jsonl", "record.json"])
def test_a_missing_or_damaged_file_is_named(folder, name):
    content = (folder / name).read_bytes()
    for damaged in (content[: len(content) // 2] + b"\n", b"\xff\xfe\n", b"[1]\n"):
        (folder / name).write_bytes(damaged)
        with pytest.raises(InputError, match=name) as caught:
            read_run(folder)
        assert "\n" not in str(caught.value) and "expected" in str(caught.value)
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"finished run folder.*; {name} is missing"):
        read_run(folder)


def test_folders_that_are_no_runs(folder, tmp_path):
    for place, message in [
        (tmp_path / "nowhere", "got no such folder"),
        (folder / "README.md", "got a file"),
        (tmp_path, "config.json, prompt.safetensors, metrics.jsonl, record.json are missing"),
    ]:
        with pytest.raises(InputError, match=message):
            read_run(place)


def test_a_later_format_is_refused(folder):
    for name in ("config.json", "record.json"):
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(content | {"format": FORMAT + 1}))
        told = rf"{name}: .*'format' is {FORMAT + 1}, not 1 to {FORMAT}: use the version that wrote it"
        with pytest.raises(InputError, match=told):
            read_run(folder)
        (folder / name).write_text(json.dumps(content))
    assert read_run(folder).config == RUN.config


def test_the_model_card_shows_every_test_and_shortens_long_class_lists():
    rates = ("accuracy", "macro_f1", "mean_per_class_accuracy", "expected_calibration_error")
    figures = Figures(n=3, classes=1, correct=2, per_class_accuracy={"c0": 1.0}, **dict.fromkeys(rates, 200 / 3))
    record = replace(
        RUN.record,
        seed=0,
        training_images=1600,
        seconds=3.14159,
        results={"base": replace(figures, macro_f1=61.2345, n=12345), "new": figures},
        zero_shot={"new": replace(figures, accuracy=7.125)},
    )
    card = model_card(replace(RUN.config, class_names=[f"c{k}" for k in range(100)]), record)
    assert "into 100 classes (c0, c1, " in card and "c19, ...)" in card and "c20" not in card
    rows = (
        "| training images | 1,600 |",
        "| seed | 0 |",
        "| base: images | 12,345 |",
        "| base: macro-F1 | 61.23 |",
        "| base: accuracy | 66.67 |",
        "| new: images | 3 |",
        "| new: expected calibration error | 66.67 |",
        "| new: accuracy of zero-shot | 7.12 |",
    )
    assert set(rows) <= set(card.splitlines()) and "mistakes" not in card
    assert "base: accuracy of zero-shot" not in card


def test_names_in_the_card_are_text_not_markup():
    names = ["<b>bold</b>", "x|y", "a`b*c", "two\nlines"]
    card = model_card(replace(RUN.config, class_names=names), RUN.record)
    assert r"4 classes (&lt;b&gt;bold&lt;/b&gt;, x\|y, a\`b\*c, two lines)" in card


def test_the_card_tells_a_comma_in_a_name_from_one_between_names_and_counts_one_epoch():
    learning = replace(RUN.record.learning, patience=1)
    names = ["house, green", "red fish", 'a "b", c']
    card = model_card(replace(RUN.config, class_names=names), replace(RUN.record, learning=learning))
    assert """3 classes ("house, green", red fish, "a ""b"", c")""" in card  # as --classes takes them
    assert "| patience | 1 epoch |" in card
