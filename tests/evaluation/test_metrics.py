import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, recall_score

from cocoop.errors import InputError
from cocoop.evaluation.metrics import measure

# Sums of up to 40 terms of size 1 in float64, times 100: rounding of about 40 * 1e-16 * 100.
TOLERANCE = 1e-11


@st.composite
def predictions(draw):
    """Probabilities [N, K], labels [N] and class names; K small, so ties and absent classes occur."""
    n, k = draw(st.integers(1, 40)), draw(st.integers(1, 6))
    weights = draw(st.lists(st.lists(st.integers(0, 5), min_size=k, max_size=k), min_size=n, max_size=n))
    weights = np.array(weights, dtype=np.float64) + 0.01
    labels = draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n))
    return weights / weights.sum(axis=1, keepdims=True), np.array(labels), [f"class {i}" for i in range(k)]


def slow_calibration_error(probabilities, labels):
    """Guo et al. 2017, section 2 and eq. 3, bin by bin over the images."""
    total = 0.0
    for m in range(1, 16):
        members = [i for i, p in enumerate(probabilities) if (m - 1) / 15 < max(p) <= m / 15]
        if members:
            accuracy = sum(int(np.argmax(probabilities[i]) == labels[i]) for i in members) / len(members)
            confidence = sum(max(probabilities[i]) for i in members) / len(members)
            total += len(members) / len(labels) * abs(accuracy - confidence)
    return 100 * total


@given(predictions())
def test_equal_to_scikit_learn_and_a_slow_transcription(case):
    probabilities, labels, names = case
    predicted = [max(range(len(names)), key=lambda k: p[k]) for p in probabilities]  # ties: the first class
    metrics = measure(*case)
    close = pytest.approx
    assert metrics.n == len(labels)
    assert metrics.correct == accuracy_score(labels, predicted, normalize=False)
    assert metrics.accuracy == close(100 * accuracy_score(labels, predicted), abs=TOLERANCE)
    # The original's call (Dassl:dassl/evaluation/evaluator.py): only labels that occur are averaged over.
    macro_f1 = f1_score(labels, predicted, average="macro", labels=np.unique(labels))
    assert metrics.macro_f1 == close(100 * macro_f1, abs=TOLERANCE)
    per_class = {
        names[k]: 100 * np.mean([p == k for p, label in zip(predicted, labels, strict=True) if label == k])
        for k in sorted(set(labels.tolist()))
    }
    assert metrics.per_class_accuracy == close(per_class, abs=TOLERANCE)
    assert list(metrics.per_class_accuracy) == list(per_class)
    error = slow_calibration_error(probabilities, labels)
    assert metrics.expected_calibration_error == close(error, abs=TOLERANCE)


@given(predictions())
def test_mean_per_class_accuracy_is_macro_recall(case):
    probabilities, labels, _ = case
    predicted = probabilities.argmax(axis=1)
    expected = 100 * recall_score(labels, predicted, average="macro", labels=np.unique(labels))
    assert measure(*case).mean_per_class_accuracy == pytest.approx(expected, abs=TOLERANCE)


def test_a_case_worked_by_hand():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.3, 0.7, 0.0], [0.2, 0.3, 0.5]], dtype=np.float64)
    metrics = measure(probabilities, np.array([0, 1, 1, 1]), ["a", "b", "c"])
    assert (metrics.n, metrics.classes, metrics.correct, metrics.accuracy) == (4, 3, 2, 50.0)
    # a: TP 1, FP 1, FN 0 -> 2/3. b: TP 1, FP 0, FN 2 -> 1/2. c is in no label.
    assert metrics.macro_f1 == pytest.approx(100 * (2 / 3 + 1 / 2) / 2, abs=TOLERANCE)
    assert metrics.per_class_accuracy == pytest.approx({"a": 100.0, "b": 100 / 3}, abs=TOLERANCE)
    # Four bins of one image: |1 - .9|, |0 - .6|, |1 - .7|, |0 - .5|, each over 4.
    assert metrics.expected_calibration_error == pytest.approx(100 * 1.5 / 4, abs=TOLERANCE)


def test_bins_are_closed_above():
    # 0.4 = 6/15 is an edge. 0.4 is in (5/15, 6/15] with 0.35, not in (6/15, 7/15] with 0.45.
    def ece(first, second, hits):
        rows = [[top, *[(1 - top) / 4] * 4] for top in (first, second)]
        return measure(np.array(rows), np.array([0 if hit else 1 for hit in hits]), list("abcde"))

    together = ece(0.4, 0.35, (True, False)).expected_calibration_error
    apart = ece(0.4, 0.45, (True, False)).expected_calibration_error
    assert together == pytest.approx(100 * abs(0.6 - 0.35) / 2, abs=TOLERANCE)
    assert apart == pytest.approx(100 * (0.6 + 0.45) / 2, abs=TOLERANCE)


def test_a_sure_and_right_classifier_is_perfect_even_if_rounded_beyond_1():
    probabilities = np.array([[1.0 + 1e-7, 0.0], [0.0, 1.0]], dtype=np.float64)
    metrics = measure(probabilities, np.array([0, 1]), ["a", "b"])
    assert (metrics.accuracy, metrics.macro_f1, metrics.mean_per_class_accuracy) == (100.0, 100.0, 100.0)
    assert metrics.expected_calibration_error == pytest.approx(0, abs=1e-5)  # 100 * 1e-7 / 2


def test_float32_is_measured_in_float64():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(5), 200).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 5, 200)
    names = list("abcde")
    assert measure(probabilities, labels, names) == measure(probabilities.astype(np.float64), labels, names)


def test_classes_that_share_a_name_are_told_apart():
    # ImageNet's class names in the original hold "sunglasses" and "missile" twice.
    metrics = measure(np.eye(3), np.array([0, 1, 1]), ["sunglasses", "cat", "sunglasses"])
    assert metrics.per_class_accuracy == {"sunglasses (label 0)": 100.0, "cat": 50.0}


def test_as_dict_is_plain_json():
    metrics = measure(np.eye(3, dtype=np.float32), np.array([0, 1, 2], dtype=np.uint8), ["a", "b", "c"])
    as_dict = metrics.as_dict()
    assert json.loads(json.dumps(as_dict)) == as_dict
    assert as_dict["per_class_accuracy"] == {"a": 100.0, "b": 100.0, "c": 100.0}
    assert type(as_dict["accuracy"]) is float and type(as_dict["correct"]) is int


GOOD = np.array([[0.5, 0.5], [0.1, 0.9]])


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.zeros((0, 2)), np.zeros(0, dtype=int), r"N of 1 or more; got \[0\]"),
        (GOOD, np.array([[0], [1]]), r"shape \[N\].*got \[2, 1\]"),
        (GOOD, np.array([0, 1, 1]), r"\[3, 2\] for 3 labels and 2 class names; got \[2, 2\]"),
        (GOOD[:, :1], np.array([0, 1]), r"got \[2, 1\]"),
        (GOOD[0], np.array([0, 1]), r"got \[2\]"),
        (GOOD, np.array([0.0, 1.0]), r"expected integers 0\.\.1; got dtype float64"),
        (GOOD, np.array([0, 2]), r"0\.\.1 for 2 class names; got 0\.\.2"),
        (GOOD, np.array([-1, 1]), r"got -1\.\.1"),
        (np.array([[1, 0], [0, 1]]), np.array([0, 1]), "expected floats in 0..1; got dtype int"),
        (np.array([[0.5, 0.5], [np.nan, 1.0]]), np.array([0, 1]), r"expected finite; row 1 of 2"),
        (np.array([[0.5, 0.5], [np.inf, 1.0]]), np.array([0, 1]), r"expected finite; row 1 of 2"),
        (np.array([[1.5, -0.5], [0.5, 0.5]]), np.array([0, 1]), r"expected 0 or more; row 0 of 2"),
        (GOOD * 1.002, np.array([0, 1]), r"sum to 1 within 0.001; row 0 of 2 \(2 such rows\)"),
    ],
)
def test_refuses(probabilities, labels, message):
    with pytest.raises(InputError, match=message):
        measure(probabilities, labels, ["a", "b"])


def test_rows_within_the_tolerance_pass():
    assert measure(GOOD * 1.0009, np.array([0, 1]), ["a", "b"]).correct == 2
