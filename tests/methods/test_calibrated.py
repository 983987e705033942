"""`Calibrated`: the model's logits at another temperature, in float64, and never another top class."""

import pytest
import torch
from golden_clip import FACTS, VALUES
from hypothesis import given, settings
from hypothesis import strategies as st

from cocoop import CoCoOp, CoOp, InputError
from cocoop.methods import Calibrated, Shortlist, at_temperature, described, inference_of

NAMES = FACTS["class_names"]
IMAGES = VALUES["image_features"]


@pytest.mark.parametrize("make", [CoOp, CoCoOp])
def test_the_logits_are_divided(golden, make):
    model = make(golden, NAMES)
    with torch.no_grad():
        expected = (model(IMAGES).double() / 2.5).softmax(dim=1)
    got = Calibrated(model, 2.5).probabilities(IMAGES)
    assert got.dtype == torch.float64 and torch.equal(got, expected)
    assert torch.allclose(Calibrated(model, 1.0).probabilities(IMAGES), model.probabilities(IMAGES).double(), atol=1e-6)


def test_a_shortlist(golden):
    model = CoCoOp(golden, NAMES)
    got = at_temperature(inference_of(model, shortlist=2), 3.0).probabilities(IMAGES)
    short = Shortlist(model, 2).logits(IMAGES)
    assert torch.equal(got > 0, short.isfinite()) and torch.allclose(got.sum(dim=1), torch.ones(len(IMAGES)).double())
    assert torch.equal(got, (short.double() / 3.0).softmax(dim=1))


def test_what_is_chosen(golden):
    model = CoOp(golden, NAMES)
    assert at_temperature(inference_of(model), None) is model
    with pytest.raises(InputError, match="shortlist: expected a conditional prompt"):
        inference_of(model, shortlist=2)


def test_it_is_said_that_what_was_checked_is_calibrated_then(golden):
    """By a temperature below 1 a probability may differ by more than the check of tangent prompts says."""
    exact = inference_of(CoCoOp(golden, NAMES))
    assert described(exact) == "exact inference"
    assert described(at_temperature(exact, 0.5)) == "exact inference; then calibrated, temperature 0.50"
    assert described(at_temperature(CoOp(golden, NAMES), 0.5)) is None


class Given:
    """Stands in for an approximation: the features are its logits."""

    clip, conditional, class_names = None, False, ("a", "b", "c")

    def logits(self, image_features):
        return image_features


near = st.integers(0, 20).map(lambda n: 20 + n * 2**-19)  # neighbours in float32


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(near, near, near), min_size=1, max_size=5), temperature=st.floats(1e-3, 1e3))
def test_the_top_class_is_the_same(rows, temperature):
    logits = torch.tensor(rows, dtype=torch.float32)
    calibrated = Calibrated(Given(), temperature).probabilities(logits)
    assert torch.equal(calibrated.argmax(dim=1), logits.argmax(dim=1))
