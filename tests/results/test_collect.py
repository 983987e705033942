import json
import shutil

import numpy as np
import pytest
import records

from cocoop.errors import InputError
from cocoop.results import check_predictions, read_records


def test_records_are_found_at_any_depth_in_the_order_of_their_paths(tmp_path):
    for seed in (2, 1):
        records.write(tmp_path / "deep" / "down", records.record("few-shot", "dtd", "coop", {"test": 50}, seed=seed))
    folder = records.write(tmp_path, records.record("base-to-new", "dtd", "cocoop", {"base": 1, "new": 2}))
    found = read_records([tmp_path])
    assert [(r.protocol, r.dataset, r.method, r.shots, r.seed) for r in found] == [
        ("base-to-new", "dtd", "cocoop", 16, 1),
        ("few-shot", "dtd", "coop", 16, 1),
        ("few-shot", "dtd", "coop", 16, 2),
    ]
    assert found[0].results["new"].accuracy == 2
    # A run folder itself; and what is found twice counts once.
    assert read_records([folder])[0] == found[0]
    assert len(read_records([folder, tmp_path, tmp_path / "deep"])) == 3


def test_unfinished_runs_are_passed_over(tmp_path):
    folder = records.write(tmp_path, records.record("few-shot", "dtd", "coop", {"test": 50}))
    shutil.copytree(folder, folder.with_name(".seed-2.0123.tmp"))
    (folder.with_name("seed-3")).mkdir()
    assert [record.folder for record in read_records([tmp_path])] == [folder]


def test_lists_of_training_images_are_not_kept(tmp_path):
    records.write(tmp_path, records.record("few-shot", "dtd", "coop", {"test": 50}, trained_on=["0" * 64] * 9))
    assert read_records([tmp_path])[0].content.trained_on == []


def test_a_record_of_all_images(tmp_path):
    records.write(tmp_path, records.record("few-shot", "dtd", "coop", {"test": 50}) | {"shots": None})
    assert read_records([tmp_path])[0].shots == 0


def test_predictions_are_read_when_asked_for(tmp_path):
    content = records.record("few-shot", "dtd", "coop", {"test": 50})
    folder = records.write(tmp_path, content, {"test/label": np.array([1, 0], np.int32)})
    (record,) = read_records([tmp_path])
    assert record.predictions()["test/label"].tolist() == [1, 0]
    (folder / "predictions.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"predictions\.safetensors: expected a safetensors file"):
        record.predictions()
    (folder / "predictions.safetensors").unlink()
    assert record.predictions() == {}


def test_a_run_without_a_data_set_is_called_by_its_folder(tmp_path):
    (tmp_path / "saved").mkdir()
    content = records.record("own-images", "dtd", "coop", {}) | {"dataset": None}
    (tmp_path / "saved" / "record.json").write_text(json.dumps(content))
    (record,) = read_records([tmp_path])
    assert (record.protocol, record.dataset, record.results) == ("own-images", "saved", {})


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda r: r.pop("method"), "it lacks 'method'"),
        (lambda r: r.update(seed="1"), "its 'seed' is '1'"),
        (lambda r: r.update(shots="16"), "its 'shots' is '16'"),
        (lambda r: r.update(protocol="zero"), "its 'protocol' is 'zero', not one of base-to-new, cross-dataset"),
        (lambda r: r.update(results={"test": 80.0}), r"its 'results'\['test'\] is 80.0, not an object"),
        (
            lambda r: r["results"]["test"].update(accuracy=None),
            r"its 'results'\['test'\]\['accuracy'\] is None, not a number",
        ),
        (lambda r: r["results"]["test"].update(macro_f1=101), r"\['macro_f1'\] is 101, not percent"),
        (lambda r: r.update(zero_shot=[1]), r"its 'zero_shot' is \[1\]"),
    ],
)
def test_a_damaged_record_is_named(tmp_path, change, fault):
    content = records.record("few-shot", "dtd", "coop", {"test": 50})
    change(content)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "record.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"1 of 1 is damaged: .*run/record\.json: .*{fault}"):
        read_records([tmp_path])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b'{"method": "co', "it is cut off"),
        (b'{"method": "coop",', "it is cut off"),
        (b'{"method": ', "it is cut off"),
        (b'{"method": {"a": 1}', "it is cut off"),
        (b" \n", "it is empty"),
        (b'{"a": 1,\n b}', "it is no JSON (line 2, column 2)"),
        (b"{} {}", "it is no JSON (line 1, column 4)"),
        (b"[1]", "it holds a list, not an object"),
        (b'{"seed": NaN}', "it holds NaN, which is not JSON"),
        (b"\xff", "it is no UTF-8 text"),
        (b"[" * 100_000, "it holds lists within lists, too deep to read"),
    ],
)
def test_a_torn_record_is_named_in_words(tmp_path, content, fault):
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(InputError) as raised:
        read_records([tmp_path])
    assert str(raised.value) == (
        f"{tmp_path}: expected records as cocoop writes them; 1 of 1 is damaged: {tmp_path / 'record.json'}: {fault}. "
        "Remove this run folder and start the same benchmark again."
    )


def test_all_damaged_records_are_counted_and_the_first_ones_named(tmp_path):
    folders = [
        records.write(tmp_path, records.record("few-shot", "dtd", "coop", {"test": 50}, seed=seed)) for seed in range(9)
    ]
    for folder in folders[1:]:
        (folder / "record.json").write_text("{")
    with pytest.raises(InputError) as raised:
        read_records([tmp_path])
    message = str(raised.value)
    assert "8 of 9 are damaged" in message and message.count("record.json: it is cut off") == 5
    assert [str(folder) in message for folder in folders] == [False, *[True] * 5, *[False] * 3]
    assert message.endswith(
        "; and 3 more. Remove these run folders and start the same benchmark again, or give the others by name."
    )


def test_all_damaged_predictions_are_named_together(tmp_path):
    for seed in (1, 2, 3):
        content = records.record("few-shot", "dtd", "coop", {"test": 50}, seed=seed)
        folder = records.write(tmp_path, content, {"test/label": [1]})
        if seed > 1:
            (folder / "predictions.safetensors").write_bytes(b"torn")
    found = read_records([tmp_path])
    check_predictions(found[:1])
    with pytest.raises(InputError, match=r"2 of 3 are damaged: .*seed-2/pred.*: it is cut off.*; .*seed-3/pred"):
        check_predictions([*found, *found])


def test_no_records_and_no_folder(tmp_path):
    with pytest.raises(InputError, match=r"got no record\.json\. Make runs with `cocoop benchmark`"):
        read_records([tmp_path])
    with pytest.raises(InputError, match="no such folder"):
        read_records([tmp_path / "none"])
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="got a file"):
        read_records([tmp_path / "file"])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"per_class_accuracy": None}, r"\['per_class_accuracy'\] is None, not an object"),
        ({"per_class_accuracy": {"a": "50"}}, r"\['per_class_accuracy'\]\['a'\] is '50', not a number"),
        ({"mistakes": [{"image": "a.png"}]}, r"its 'results'\['test'\]\['mistakes'\]\[0\] lacks 'label'"),
        ({"n": "100"}, r"\['n'\] is '100', not an integer"),
        ({"f1": 1.0}, r"its 'results'\['test'\] has 'f1', which this version does not know"),
    ],
)
def test_damaged_figures_are_named(tmp_path, change, fault):
    figures = records.test_figures(50) | change
    records.write(tmp_path, records.record("few-shot", "dtd", "coop", {"test": figures}))
    with pytest.raises(InputError, match=fault):
        read_records([tmp_path])
