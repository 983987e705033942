"""Base and new classes at once, against counting over all pairs and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import accuracy_score, roc_auc_score

from cocoop import InputError
from cocoop.evaluation import measure_together


@st.composite
def classified(draw):
    """Probabilities over a few base and new classes, many of them equal, and labels of both halves."""
    base, new = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    images = draw(st.integers(2, 12))
    counts = draw(arrays.arrays(np.int64, (images, base + new), elements=st.integers(0, 3))) + 1
    halves = [0, 1, *draw(st.lists(st.integers(0, 1), min_size=images - 2, max_size=images - 2))]
    labels = [draw(st.integers(base, base + new - 1) if half else st.integers(0, base - 1)) for half in halves]
    return counts / counts.sum(axis=1, keepdims=True), np.array(labels), base


@settings(deadline=None)
@given(classified())
def test_every_figure_is_that_of_a_count_over_all_images_and_pairs(case):
    probabilities, labels, base = case
    figures = measure_together(probabilities, labels, base)
    top = [int(row.argmax()) for row in probabilities]
    assert figures.accuracy == pytest.approx(100 * accuracy_score(labels, top))
    of_base, of_new = np.flatnonzero(labels < base), np.flatnonzero(labels >= base)
    assert (figures.base_images, figures.new_images) == (len(of_base), len(of_new))
    assert figures.base_called_new == pytest.approx(100 * np.mean([top[i] >= base for i in of_base]))
    assert figures.new_called_base == pytest.approx(100 * np.mean([top[i] < base for i in of_new]))
    scores = [max(row[:base]) for row in probabilities]
    assert figures.auroc == pytest.approx(100 * roc_auc_score(labels < base, scores))
    pairs = [
        scores[b] > scores[n]
        and int(probabilities[b, :base].argmax()) == labels[b]
        and base + int(probabilities[n, base:].argmax()) == labels[n]
        for b in of_base
        for n in of_new
    ]
    assert figures.open_world_auc == pytest.approx(100 * np.mean(pairs))


def test_by_hand():
    """Two base images, one right and surer than both new ones; of those one is right among the new classes."""
    probabilities = np.array([[0.9, 0.0, 0.1], [0.2, 0.3, 0.5], [0.4, 0.2, 0.4], [0.1, 0.1, 0.8]])
    figures = measure_together(probabilities, np.array([0, 0, 2, 2]), 2)
    assert figures.accuracy == 50.0 and figures.base_called_new == 50.0 and figures.new_called_base == 50.0
    assert figures.auroc == 75.0  # 0.9 above 0.4 and 0.1; 0.3 above 0.1 only
    assert figures.open_world_auc == 50.0  # the right base image above both, which are right among one class


@pytest.mark.parametrize(
    ("labels", "base", "message"),
    [
        ([0, 1, 1], 2, "3 images of 2 base classes and 0 of 1 new ones"),
        ([2, 2, 2], 2, "0 images of 2 base classes and 3 of 1"),
        ([0, 1, 2], 3, "of both halves"),
        ([0, 1, 2], 0, "of both halves"),
        ([0, 1, 3], 2, r"labels: expected 0..2"),
    ],
)
def test_a_half_without_images_or_classes(labels, base, message):
    with pytest.raises(InputError, match=message):
        measure_together(np.full((3, 3), 1 / 3), np.array(labels), base)
