"""`compare` against counting by hand, and `verify` against both kinds of inference run here."""

import json
import math
import time

import numpy as np
import pytest
import torch
from golden_clip import FACTS, VALUES

from cocoop import CoCoOp, InputError
from cocoop.evaluation import measure, verify
from cocoop.evaluation.agreement import compare
from cocoop.methods import Shortlist, TangentPrompts

NAMES = FACTS["class_names"]
IMAGES = VALUES["image_features"]
LABELS = [0, 1, 2, 3, 4, 5]


def test_four_images_by_hand():
    full = np.array([[0.6, 0.3, 0.1], [0.5, 0.1, 0.4], [0.2, 0.7, 0.1], [0.4, 0.4, 0.2]])
    # Kept: classes 0 and 1; 1 and 2, which misses the top; 1 and 2; 0 and 1, where both are equal.
    shortlisted = np.array([[0.75, 0.25, 0.0], [0.0, 0.25, 0.75], [0.0, 0.875, 0.125], [0.5, 0.5, 0.0]])
    assert compare(shortlisted, full) == pytest.approx(
        {
            "same_top_class": 75.0,
            "largest_difference": 0.25,
            "mean_difference": (0.15 + 0.25 + 0.175 + 0.1) / 4,
        }
    )


def test_equal_probabilities_are_full_agreement():
    full = np.array([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
    assert list(compare(full, full).values()) == [100.0, 0.0, 0.0]


@pytest.fixture
def misled(golden):
    """A CoCoOp whose pi is larger than its context, so that the ranking, without pi, is often wrong."""
    torch.manual_seed(3)
    model = CoCoOp(golden, NAMES, context=None, context_length=3)
    with torch.no_grad():
        model.ctx.mul_(10)
        model.meta_net.linear2.weight.mul_(30)
        model.meta_net.linear2.bias.mul_(30)
    return model


def test_a_shortlist_that_misses_the_top_class_is_reported(misled):
    with torch.no_grad():
        full = misled(IMAGES).double()
        features = misled._prompts.encode(misled.ctx[None])[0]
    ranked = (IMAGES @ features.T).argsort(dim=1, descending=True)
    for size in (1, 2, 4):
        kept = ranked[:, :size].tolist()
        same = 0
        differences = []
        for row, classes in zip(full.tolist(), kept, strict=True):
            top = max(range(len(NAMES)), key=lambda k, row=row: row[k])
            best = max(classes, key=lambda k, row=row: row[k])
            same += best == top
            share_full = 1 / sum(math.exp(value - row[top]) for value in row)
            share_kept = 1 / sum(math.exp(row[k] - row[best]) for k in classes)
            differences.append(abs(share_full - share_kept))
        agreement = verify(Shortlist(misled, size), IMAGES, LABELS)
        assert agreement.same_top_class == pytest.approx(100 * same / 6)
        assert agreement.largest_difference == pytest.approx(max(differences), abs=1e-4)
        assert agreement.mean_difference == pytest.approx(sum(differences) / 6, abs=1e-4)
        if size == 1:
            assert same < 6, "the case should be one in which the ranking is wrong"


def test_both_sets_of_figures_and_times(misled):
    started = time.perf_counter()
    agreement = verify(Shortlist(misled, 3), IMAGES, LABELS)
    passed = time.perf_counter() - started
    for metrics, model in ((agreement.approximate, Shortlist(misled, 3)), (agreement.exact, misled)):
        probabilities = model.probabilities(IMAGES).double().numpy()
        assert metrics == measure(probabilities, np.array(LABELS), NAMES)
    assert agreement.approximate != agreement.exact
    assert agreement.approximate_seconds > 0 and agreement.exact_seconds > 0
    assert agreement.approximate_seconds + agreement.exact_seconds <= passed
    assert json.loads(json.dumps(agreement.as_dict()))["exact"]["n"] == 6


def test_both_at_a_temperature(misled):
    agreement = verify(TangentPrompts(misled, IMAGES), IMAGES, LABELS, temperature=3.0)
    for metrics, model in ((agreement.approximate, TangentPrompts(misled, IMAGES)), (agreement.exact, misled)):
        probabilities = (model.probabilities(IMAGES).double().log() / 3).softmax(dim=1).numpy()
        by_hand = measure(probabilities, np.array(LABELS), NAMES)
        assert metrics.accuracy == by_hand.accuracy
        assert metrics.expected_calibration_error == pytest.approx(by_hand.expected_calibration_error, rel=1e-5)


def test_a_shortlist_of_all_classes_agrees_exactly(misled):
    agreement = verify(Shortlist(misled, len(NAMES)), IMAGES, LABELS)
    assert agreement.same_top_class == 100
    assert (agreement.largest_difference, agreement.mean_difference) == (0, 0)
    assert agreement.approximate == agreement.exact


def test_tangent_prompts(misled):
    tangent = TangentPrompts(misled, IMAGES)
    agreement = verify(tangent, IMAGES, LABELS)
    assert agreement.same_top_class == 100 and agreement.exact.n == 6
    probabilities = tangent.probabilities(IMAGES).double().numpy()
    assert agreement.approximate == measure(probabilities, np.array(LABELS), NAMES)


def test_errors(misled):
    with pytest.raises(InputError, match=r"labels: expected 0\.\.8"):
        verify(Shortlist(misled, 3), IMAGES, [9] * 6)
