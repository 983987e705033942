"""What pictures of one run show, against counts by hand and against the metrics of the record."""

import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import records
from sklearn.metrics import confusion_matrix

from cocoop.errors import InputError
from cocoop.evaluation import measure
from cocoop.reports.groups import group_records
from cocoop.reports.page.details import diagnoses
from cocoop.reports.page.diagnosis import confusions, gains, reliability


def scored(seed=0, classes=6, n=400):
    """A record and its predictions as an evaluation leaves them; class 2 has no image."""
    generator = np.random.default_rng(seed)
    label = generator.choice([k for k in range(classes) if k != 2], n)
    logits = generator.normal(size=(n, classes)) + 1.5 * np.eye(classes)[label]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    metrics = measure(probabilities, label, [f"class_{k}" for k in range(classes)])
    record = records.read(Path("run"), records.record("few-shot", "dtd", "coop", {"test": metrics.as_dict()}))
    return record, {
        "test/label": label.astype(np.int32),
        "test/predicted": probabilities.argmax(axis=1).astype(np.int32),
        "test/confidence": probabilities.max(axis=1).astype(np.float32),
    }


def test_reliability_gives_the_calibration_error_of_the_record():
    record, predictions = scored()
    curve = reliability(record, "test", predictions)
    filled = curve.counts > 0
    gaps = np.abs(curve.accuracy - curve.confidence)[filled] * curve.counts[filled]
    # Confidence is kept in float32.
    error = 100 * gaps.sum() / curve.counts.sum()
    assert error == pytest.approx(record.results["test"].expected_calibration_error, abs=1e-4)
    assert np.isnan(curve.confidence[~filled]).all()


def test_bins_are_open_below_and_closed_above():
    record, _ = scored()
    predictions = {
        "test/label": np.array([0, 1]),
        "test/predicted": np.array([0, 0]),
        "test/confidence": np.array([0.0, 1.0]),
    }
    curve = reliability(record, "test", predictions)
    assert curve.counts.tolist() == [1, *[0] * 13, 1]
    assert (curve.accuracy[0], curve.accuracy[-1]) == (1, 0)


def test_confusions_are_scikit_learns_with_names_by_number():
    record, predictions = scored()
    matrix = confusions(record, "test", predictions)
    shares = np.zeros((6, 6))
    shares[matrix.rows, matrix.columns] = matrix.shares
    numbers = np.union1d(predictions["test/label"], predictions["test/predicted"])
    expected = confusion_matrix(
        predictions["test/label"], predictions["test/predicted"], labels=numbers, normalize="true"
    )
    np.testing.assert_allclose(shares, expected)
    # Class 2 has no image, so the record has no name for it; it was predicted all the same.
    assert matrix.names == ["class_0", "class_1", "class 2", "class_3", "class_4", "class_5"]
    assert matrix.counts.sum() == 400 and matrix.counts[2] == 0
    # Shares of right answers are the record's accuracies per class.
    per_class = record.results["test"].per_class_accuracy
    assert {n: 100 * shares[i, i] for i, n in enumerate(matrix.names) if n in per_class} == pytest.approx(per_class)


def test_the_worst_confusions_by_hand():
    record, _ = scored()
    per_class = record.results["test"].per_class_accuracy
    per_class.clear(), per_class.update({"a": 50.0, "b": 0.0})
    predictions = {
        "test/label": np.array([0, 0, 0, 0, 1]),
        "test/predicted": np.array([0, 0, 0, 1, 0]),
        "test/confidence": np.ones(5),
    }
    assert confusions(record, "test", predictions).worst(5) == [("b", "a", 1, 100.0), ("a", "b", 1, 25.0)]


def test_many_classes_take_memory_by_their_images():
    """A table of all pairs of 5,000 classes takes 200 MB, a record and predictions of 10,000 images one or two."""
    classes, n = 5_000, 10_000
    generator = np.random.default_rng(1)
    label = np.arange(n) % classes
    predicted = np.where(generator.random(n) < 0.3, label, generator.integers(classes // 50, size=n))
    accuracy = {f"class {k}": 0.0 for k in range(classes)}
    figures = records.test_figures(30, n=n, per_class_accuracy=accuracy)
    record = records.read(Path("run"), records.record("few-shot", "many", "coop", {"test": figures}))
    names = ("label", "predicted", "confidence")
    predictions = {f"test/{name}": of for name, of in zip(names, (label, predicted, np.ones(n)), strict=True)}
    tracemalloc.start()
    matrix = confusions(record, "test", predictions)
    worst = matrix.worst(40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6
    pairs = Counter((int(i), int(j)) for i, j in zip(label, predicted, strict=True) if i != j)
    by_hand = sorted(pairs, key=lambda pair: (-pairs[pair], pair))[:40]
    assert worst == [(f"class {i}", f"class {j}", pairs[i, j], 100 * pairs[i, j] / 2) for i, j in by_hand]


def test_gains_are_sorted_and_only_of_classes_in_both():
    before, after = (
        records.read(Path("run"), records.record("few-shot", "dtd", "coop", {"test": test})).results["test"]
        for test in (
            records.test_figures(50, per_class_accuracy={"a": 50.0, "b": 50.0, "c": 50.0}),
            records.test_figures(50, per_class_accuracy={"a": 40.0, "b": 90.0, "d": 1.0}),
        )
    )
    assert gains(after, before) == [("b", 40.0), ("a", -10.0)]


PARTS = ("label", "predicted", "confidence")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda p: p.pop("test/label"), "no 'test/label'"),
        (lambda p: p.update({"test/label": p["test/label"][:5]}), r"the shapes \[5\], \[400\], \[400\]"),
        (lambda p: p.update({f"test/{of}": p[f"test/{of}"][:, None] for of in PARTS}), r"the shapes \[400, 1\], "),
        (lambda p: p.update({"test/label": np.zeros(400, int)}), "1 classes with images where the record has 5"),
    ],
)
def test_predictions_that_do_not_fit(change, fault):
    record, predictions = scored()
    change(predictions)
    with pytest.raises(InputError, match=rf"run/predictions\.safetensors: .*{fault}"):
        confusions(record, "test", predictions)


def test_the_run_that_stands_for_a_data_set():
    def run(protocol, method, results, shots=16, seed=1):
        content = records.record(protocol, "dtd", method, results, shots, seed)
        return records.read(Path(f"{method}-{shots}-{seed}"), content)

    few = [
        run("few-shot", "zero-shot", {"test": 99}),
        run("few-shot", "coop", {"test": 90}, shots=1),
        run("few-shot", "coop", {"test": 60}, seed=2),
        run("few-shot", "coop", {"test": 50}, seed=1),
        run("few-shot", "cocoop", {"test": 54}, seed=1),
    ]
    # The best mean (55, not 54) at the most shots; its first seed; beside zero-shot CLIP.
    (diagnosis,) = diagnoses(group_records(few))
    assert (str(diagnosis.run.folder), diagnosis.baseline.method) == ("coop-16-1", "zero-shot")
    # Base to new: by the harmonic mean (48 against 50), not by the mean (50 against 51).
    new = [
        run("base-to-new", "coop", {"base": 80, "new": 34.3}),
        run("base-to-new", "cocoop", {"base": 50, "new": 50}),
    ]
    assert [(d.run.method, d.test, d.baseline) for d in diagnoses(group_records(new))] == [
        ("cocoop", "base", None),
        ("cocoop", "new", None),
    ]
    (alone,) = diagnoses(group_records(few[:1]))
    assert (alone.run.method, alone.baseline) == ("zero-shot", None)
