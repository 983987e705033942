"""The page of one run, against scikit-learn and by what it must say and must not hold."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import records
import report_pages as pages
from sklearn.metrics import precision_score, recall_score

from cocoop.evaluation import measure
from cocoop.reports import run_report
from cocoop.reports.page.diagnosis import class_rates, confusions
from cocoop.results import read_records, write_jsonl

OLD = Path(__file__).parents[1]


def write_run(root, names, n=10, mistakes=(), protocol="own-images", predictions=True, **more):
    """A scored run of some classes, the last of which has no images but is predicted; with its arrays."""
    generator, classes = np.random.default_rng(len(names)), len(names)
    label = generator.integers(classes - 1, size=n * classes)
    probabilities = generator.dirichlet(np.full(classes, 0.3), len(label))
    probabilities[np.arange(len(label)), label] += 0.3
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    predicted[:2] = classes - 1
    arrays = {"label": label, "predicted": predicted, "confidence": probabilities.max(axis=1)}
    metrics = measure(probabilities, label, names).as_dict()
    # The first two were made wrong.
    right = predicted == label
    metrics["per_class_accuracy"] = {
        names[k]: 100 * float(right[label == k].mean()) for k in range(classes) if (label == k).any()
    }
    figures = {**metrics, "mistakes": list(mistakes), "dataset": None, "test_hash": None, "exif": "apply"}
    beside = {"zero_shot": {"test": figures}} if protocol == "own-images" else {}
    content = records.record(protocol, "photos", "cocoop", {"test": figures}, classes=classes, **beside, **more)
    kept = {f"test/{name}": values for name, values in arrays.items()}
    folder = records.write(root, content, kept if predictions else None)
    write_jsonl(folder / "metrics.jsonl", [vars(epoch) for epoch in records.RUN.history])
    return folder, arrays


def page_of(folder):
    (record,) = read_records([folder])
    return run_report(record, "cocoop report <x>")


def table_rows(text, caption):
    """The rows of the table whose caption begins so, as texts."""
    table = next(part for part in re.findall(r"<table>.*?</table>", text, re.DOTALL) if f"<caption>{caption}" in part)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)[1:]]


def test_precision_and_recall_are_scikit_learns(tmp_path):
    names = [f"class_{k}" for k in range(7)]
    folder, arrays = write_run(tmp_path, names)
    (record,) = read_records([folder])
    rates = class_rates(confusions(record, "test", record.predictions()))
    assert sorted(of.name for of in rates) == ["class 6", *names[:6]]  # the folder has no config, so no name for it
    for of in rates:
        k = int(of.name[-1])
        assert (of.images, of.called) == ((arrays["label"] == k).sum(), (arrays["predicted"] == k).sum())
        asked = {"labels": [k], "average": None, "zero_division": np.nan}
        precision, recall = (
            100 * of_sklearn(arrays["label"], arrays["predicted"], **asked)[0]
            for of_sklearn in (precision_score, recall_score)
        )
        assert of.precision == pytest.approx(precision)
        assert of.recall is None if np.isnan(recall) else of.recall == pytest.approx(recall)
    recalls = [of.recall for of in rates if of.recall is not None]
    assert recalls == sorted(recalls) and rates[-1].recall is None
    rows = table_rows(page_of(folder), "7 classes, the lowest recall first")
    assert rows[0] == [
        rates[0].name.replace("_", " "),
        str(rates[0].images),
        f"{rates[0].recall:.2f}",
        f"{rates[0].recall:.2f}",  # zero-shot CLIP's, made the same
        f"{rates[0].precision:.2f}",
        str(rates[0].called),
    ]
    assert rows[-1][:3] == ["class 6", "0", "-"]


def test_the_page_has_every_part_escaped_and_loads_nothing(tmp_path):
    gone = [{"image": "gone/x.png", "label": pages.HOSTILE, "predicted": "b", "confidence": 0.9}]
    folder, _ = write_run(tmp_path, [pages.HOSTILE, "b", "猫", "d"], mistakes=gone, predictions=True)
    text = page_of(folder)
    page = pages.Page(text)
    anchors = [link["href"][1:] for link in page.named("a")]
    assert anchors == ["results", "training", "test-0", "settings", "environment", "next"]
    assert [section["id"] for section in page.named("section")] == anchors
    assert "<script" not in text and "&lt;script&gt;" in text and "cocoop report <x>" in page.words
    assert [svg["aria-label"] for svg in page.named("svg")] == [
        "Loss, over the epochs",
        "Accuracy, %, over the epochs",
        "Reliability",
        "Confusions",
    ]
    assert "the file is no longer there" in text and "A processor" in page.words
    (record,) = read_records([folder])
    assert f"{record.results['test'].expected_calibration_error:.2f} points between confidence" in text
    assert table_rows(text, "The most frequent confusions")
    assert f"<pre>cocoop report {folder}</pre>" in text
    assert "default-src 'none'" in text and not re.search(r"https?:|@import", text)
    addresses = re.findall(r"""(?:src|href|url|action)\s*[=(]\s*["']?([^"'\s>)]+)""", text)
    assert addresses and all(address.startswith(("data:", "#")) for address in addresses)


def test_a_thousand_classes_take_less_than_half_a_megabyte(tmp_path):
    names = [f"kind_of_thing number {k}" for k in range(1000)]
    folder, _ = write_run(tmp_path, names)
    text = page_of(folder)
    assert len(text.encode()) < 500_000
    assert len(table_rows(text, "1,000 classes")) == 1000
    assert text.count("<details>") == 2 and "<details open>" not in text


@pytest.mark.parametrize("old", ["format_1/own", "format_1/zero-shot", "format_2/coop", "format_2/zero-shot"])
def test_runs_of_older_formats(tmp_path, old):
    folder = shutil.copytree(OLD / old, tmp_path / "run")
    text = page_of(folder)
    pages.Page(text)
    assert ("Nothing was learned." in text) is ("zero-shot" in old)
    assert ("Loss, over the epochs" in text) is ("zero-shot" not in old)
    scored = bool(json.loads((folder / "record.json").read_text()).get("results"))
    assert ("No images were scored with this run" in text) is not scored


def test_what_a_run_folder_lacks_is_named(tmp_path):
    folder, _ = write_run(tmp_path, ["a", "b", "c"], predictions=False)
    (folder / "metrics.jsonl").unlink()
    text = page_of(folder)
    assert "No predictions were kept with this run" in text
    assert "The run folder has no epochs in metrics.jsonl." in text
    assert [row[1] for row in table_rows(text, "2 classes, the lowest recall first")] == ["-", "-"]


def test_a_class_without_images_has_its_name_where_the_folder_has_a_config(tmp_path):
    folder, _ = write_run(tmp_path, ["a", "b", "c_d"])
    shutil.copy(OLD / "format_2" / "coop" / "config.json", folder)
    config = json.loads((folder / "config.json").read_text())
    for names, called in ((["a", "b", "c_d"], "c d"), (["others", "b", "c_d"], "class 2")):
        (folder / "config.json").write_text(json.dumps(config | {"class_names": names, "classes": names}))
        assert table_rows(page_of(folder), "3 classes")[-1][0] == called


def test_the_accuracy_of_validation_images_is_a_second_curve(tmp_path):
    folder, _ = write_run(tmp_path, ["a", "b", "c"])
    assert "validation, epoch" not in page_of(folder)
    watched = [replace(epoch, validation_accuracy=40.5) for epoch in records.RUN.history]
    write_jsonl(folder / "metrics.jsonl", [vars(epoch) for epoch in watched])
    text = page_of(folder)
    assert text.count("<title>validation, epoch ") == 2 and "<title>validation, epoch 1: 40.50 %</title>" in text
    assert ">training images</text>" in text and ">validation</text>" in text


def test_every_test_has_its_part(tmp_path):
    folder = records.write(tmp_path, records.record("base-to-new", "dtd", "coop", {"base": 50, "new": 60}))
    text = page_of(folder)
    assert "Class by class, base classes" in text and "Class by class, new classes" in text
    assert "right on 50.00 % of 100 images, base classes and 60.00 % of 100 images, new classes." in text
