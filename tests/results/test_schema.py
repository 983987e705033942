"""The declared record: every field written, read back, and named when it is damaged; older formats still load."""

import json
from dataclasses import asdict, fields, replace
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import records
from hypothesis import given
from hypothesis import strategies as st
from own_photos import labelled

from cocoop import InputError, PromptClassifier
from cocoop.data import read_offline_dataset
from cocoop.fitting import OF_THE_MACHINE
from cocoop.results import Epoch, Learning, RunRecord, read_config, read_record, read_records, read_run, write_run
from cocoop.results.formats import config_from_json, record_from_json
from cocoop.results.schema import FORMAT, Figures, Parameters
from cocoop.results.typed import MistypedError, from_json

FORMAT_1 = Path(__file__).parents[1] / "format_1"
"""Run folders that cocoop wrote when their format was 1: on own images, never scored, and of a benchmark."""
FORMAT_2 = Path(__file__).parents[1] / "format_2"
"""The same when it was 2."""
FORMAT_3 = Path(__file__).parents[1] / "format_3" / "base-to-new"
"""A run of a benchmark when it was 3."""
FORMAT_4 = Path(__file__).parents[1] / "format_4"
"""A run of a benchmark when it was 4, and one on own images that was calibrated."""

TRIAL_FOLDER = FORMAT_1 / "benchmark/base-to-new/digits/coop/2-shots/seed-1"
TRIAL = {
    **{"protocol": "few-shot", "method": "coop", "dataset": "dtd", "classes": "all"},
    **{"tests": [], "shots": 16, "seed": 1, "settings": {}},
    **{"names": "own", "template": None, "draw": "even", "calibration": None, "coverage": None},
}
OF_4 = {name: TRIAL[name] for name in ("names", "template", "draw", "calibration", "coverage")}
"""What trials of format 4 did not say."""
RECORD = records.record("few-shot", "dtd", "coop", {"test": 50}, zero_shot={"test": records.test_figures(40)})


def content_of(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_record_is_its_own_json():
    record = record_from_json(RECORD)
    assert asdict(record) == RECORD
    assert record_from_json(json.loads(json.dumps(asdict(record)))) == record


@pytest.mark.parametrize("name", [field.name for field in fields(RunRecord)][1:])
def test_a_field_that_is_missing_or_unknown_is_named(name):
    lacking = {key: value for key, value in RECORD.items() if key != name}
    with pytest.raises(MistypedError, match=f"^it lacks '{name}'$"):
        record_from_json(lacking)
    with pytest.raises(MistypedError, match=f"^it has '{name}s', which this version does not know$"):
        record_from_json(RECORD | {f"{name}s": 1})


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"seed": "1"}, "its 'seed' is '1', not an integer"),
        ({"seed": True}, "its 'seed' is True, not an integer"),
        ({"seed": 1.0}, "its 'seed' is 1.0, not an integer"),
        ({"shots": 1.5}, "its 'shots' is 1.5, not an integer or null"),
        ({"seconds": "1"}, "its 'seconds' is '1', not a number or null"),
        ({"settings": []}, r"its 'settings' is \[\], not an object"),
        ({"picked": [0, 1, "2"]}, r"its 'picked'\[2\] is '2', not an integer"),
        ({"environment": {}}, "its 'environment' lacks 'python'"),
        ({"trial": {"protocol": 1}}, "its 'trial' lacks 'method'"),
        ({"trial": TRIAL | {"protocol": "zero"}}, r"its 'trial'\['protocol'\] is 'zero', not one of base-to-new, "),
        ({"protocol": "zero"}, "its 'protocol' is 'zero', not one of base-to-new, .*, own-images"),
        ({"format": 6}, "its 'format' is 6, not 1 to 5: use the version that wrote it"),
        ({"learning": {"epochs": 2}}, "its 'learning' lacks 'batch_size'"),
        ({"learning": RECORD["learning"] | {"lr": "abc"}}, r"its 'learning'\['lr'\] is 'abc', not a number"),
        ({"tokenizer": 3}, "its 'tokenizer' is 3, not a text or null"),
        ({"seed": "x" * 10**6}, "its 'seed' is 'x{9,15}...x{9,15}', not an integer"),
    ],
)
def test_a_value_of_another_type_is_named(change, fault):
    with pytest.raises(MistypedError, match=f"{fault}") as caught:
        record_from_json(RECORD | change)
    assert "\n" not in str(caught.value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_anything_else_is_refused_in_a_short_line(content):
    with pytest.raises(MistypedError) as caught:
        from_json(Figures, content)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_the_file_is_named(tmp_path):
    for name, read in (("record.json", read_record), ("config.json", read_config)):
        (tmp_path / name).write_text(f'{{"format": {FORMAT}}}')
        with pytest.raises(InputError, match=f"{name}: expected a run's file as cocoop writes it; it lacks '"):
            read(tmp_path)


def test_the_parameters_are_those_of_the_classifier():
    taken = set(signature(PromptClassifier).parameters) - {*OF_THE_MACHINE, "old_names"}
    assert {field.name for field in fields(Parameters)} == taken


# Format 1


@pytest.mark.parametrize("folder", [FORMAT_1 / "own", FORMAT_1 / "zero-shot", TRIAL_FOLDER], ids=lambda f: f.name)
def test_nothing_of_format_1_is_lost(folder, tmp_path):
    run = read_run(folder)
    before, after = content_of(folder / "record.json"), asdict(run.record)
    assert "format" not in before and after["format"] == FORMAT
    learning = {name: value for name, value in (after["learning"] or {}).items() if value not in (None, "last")}
    assert after["settings"] | learning == before["settings"]
    for name, value in before.items():
        if name not in ("settings", "results", "zero_shot", "trial"):
            assert after[name] == value
    for name in ("results", "zero_shot"):
        for test, figures in before.get(name, {}).items():
            assert {key: after[name][test][key] for key in figures} == figures
    if "trial" in before:
        assert json.loads(json.dumps(after["trial"])) == before["trial"] | OF_4
    written = write_run(tmp_path / "again", run, "")
    assert content_of(written / "config.json")["format"] == FORMAT
    again = read_run(written)
    assert (again.config, again.record) == (run.config, run.record)


def test_settings_of_format_1_are_those_of_the_method():
    assert read_config(FORMAT_1 / "own").parameters.settings == {"context": "a photo of a", "context_length": None}
    assert read_config(FORMAT_1 / "zero-shot").parameters.settings == {"templates": ["a photo of a {}."]}
    parameters = read_config(TRIAL_FOLDER).parameters
    assert parameters == replace(
        parameters, method="coop", clip="tiny", shots=None, seed=1, epochs=3, lr=0.002, augment=False, view_seed=None
    )
    assert parameters.settings == {
        "context": "a photo of a",
        "context_length": None,
        "class_specific": False,
        "class_position": "end",
    }


def test_a_classifier_of_format_1_predicts_as_it_did(tmp_path):
    classifier = PromptClassifier.load(FORMAT_1 / "own", device="cpu")
    digits = read_offline_dataset("digits", tmp_path)
    predictions = read_run(FORMAT_1 / "own").predictions
    chosen = list(range(0, len(digits.test), 20))
    probabilities = classifier.predict_proba([digits.test[i].path for i in chosen])
    assert probabilities.argmax(axis=1).tolist() == predictions["test/predicted"][chosen].tolist()
    np.testing.assert_allclose(probabilities.max(axis=1), predictions["test/confidence"][chosen], atol=1e-5)
    assert classifier.history_[1].epoch == 1 and len(classifier.picked_) == 20


def test_reports_read_format_1():
    found = read_records([FORMAT_1])
    assert [(r.protocol, r.dataset, r.method, r.shots, r.seed) for r in found] == [
        ("base-to-new", "digits", "coop", 2, 1),
        ("own-images", "digits", "cocoop", 2, 3),
        ("own-images", "zero-shot", "zero-shot", 0, 1),
    ]
    assert found[0].results["new"].accuracy == 93.47133757961784
    assert found[1].zero_shot["test"].accuracy < found[1].results["test"].accuracy


def test_a_record_of_format_1_need_not_name_a_protocol_or_a_tokenizer():
    content = content_of(FORMAT_1 / "zero-shot/record.json")
    for name in ("protocol", "tokenizer", "class_tokens", "device", "dtype"):
        del content[name]
    record = record_from_json(content)
    assert (record.protocol, record.tokenizer, record.dtype) == ("own-images", None, None)
    with pytest.raises(MistypedError, match="it lacks 'method'"):
        record_from_json({name: value for name, value in content.items() if name != "method"})
    config = content_of(FORMAT_1 / "zero-shot/config.json")
    for name in ("tokenizer", "views", "view_seed"):
        del config["parameters"][name]
    assert config_from_json(config) == read_config(FORMAT_1 / "zero-shot")


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ({"parameters": None}, "its 'parameters' is None, not an object"),
        ({"parameters": {"seed": 1}}, "its 'parameters' lacks 'method'"),
        ({"settings": [3]}, r"its 'settings' is \[3\], not an object"),
    ],
)
def test_a_damaged_config_of_format_1_is_named(damage, fault):
    with pytest.raises(MistypedError, match=fault):
        config_from_json(content_of(FORMAT_1 / "own/config.json") | damage)


# Format 2


def test_format_2_kept_the_training_among_the_settings():
    run = read_run(FORMAT_2 / "coop")
    assert run.record.learning == Learning(epochs=2, batch_size=4, lr=0.1, augment=True, views=1)
    assert run.record.settings == run.config.settings
    assert [epoch.learning_rate for epoch in run.history] == [1e-5, 0.1] and type(run.history[0]) is Epoch
    untrained = read_run(FORMAT_2 / "zero-shot")
    assert untrained.record.learning is None and untrained.history == []
    assert untrained.record.settings == {"templates": ["a photo of a {}."]}


def test_older_formats_left_photos_as_they_are_stored():
    """And converted all pictures as the original does, which a user's own must not be any more."""
    assert {read_config(folder).parameters.exif for folder in (FORMAT_1 / "own", FORMAT_2 / "coop")} == {"ignore"}
    record = read_record(FORMAT_1 / "own")
    assert record.results["test"].exif == record.zero_shot["test"].exif == "original"
    current = content_of(FORMAT_2 / "coop/config.json") | {"format": FORMAT}
    with pytest.raises(MistypedError, match="its 'parameters' lacks 'exif'"):
        config_from_json(current)


@pytest.mark.parametrize("folder", [*sorted(FORMAT_2.iterdir()), FORMAT_1 / "zero-shot"])
def test_a_classifier_of_an_older_format_can_learn_again(tiny, folder):
    """Those that are not trained kept numbers of a training, which are refused now."""
    images, labels = labelled(4)
    classifier = PromptClassifier.load(folder, tiny)
    before = {name: tensor.clone() for name, tensor in classifier.model_.state_dict().items()}
    again = classifier.fit(images, labels).model_.state_dict()
    if folder.parent == FORMAT_2:
        assert all(np.allclose(again[name], tensor, atol=1e-5) for name, tensor in before.items())


# Format 3


def test_format_3_scored_base_and_new_apart_only():
    run = read_run(FORMAT_3)
    before, after = content_of(FORMAT_3 / "record.json"), json.loads(json.dumps(asdict(run.record)))
    later = dict.fromkeys(("together", "reliability", "search", "imported")) | {"processes": 1}
    later["results"] = {test: {**figures, "classes": None} for test, figures in before["results"].items()}
    assert before["format"] == 3 and after == before | later | {"format": FORMAT, "trial": before["trial"] | OF_4}
    config = content_of(FORMAT_3 / "config.json")
    parameters = config["parameters"] | {"search": False}
    assert json.loads(json.dumps(asdict(run.config))) == config | {"format": FORMAT, "parameters": parameters}


# Format 4


@pytest.mark.parametrize("name", ["base-to-new", "own"])
def test_format_4_knew_the_calibration_error_of_the_top_class_alone(name):
    run = read_run(FORMAT_4 / name)
    before, after = content_of(FORMAT_4 / name / "record.json"), json.loads(json.dumps(asdict(run.record)))
    assert before["format"] == 4 and (before["calibration"] is None) == (name == "base-to-new")
    expected = before | {"format": FORMAT, "reliability": None, "search": None, "processes": 1, "imported": None}
    for part in ("results", "zero_shot"):
        expected[part] = {test: {**figures, "classes": None} for test, figures in before[part].items()}
    if name == "own":
        for when in ("before", "after"):
            expected["calibration"][when]["classwise_calibration_error"] = None
    else:
        expected["trial"] |= OF_4
    assert after == expected and not run.config.parameters.search
