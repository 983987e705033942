"""What scoring holds in memory: the probabilities once, and the text features of one batch within the budget."""

import tracemalloc

import numpy as np
import pytest
import torch
from peak_bytes import PeakBytes

from cocoop import CLIP, CoCoOp, CoOp
from cocoop.bench import class_names
from cocoop.evaluation import class_probabilities, evaluate, measure, predict_probabilities
from cocoop.methods import Shortlist, images_at_once


class Given:
    """Stands in for a method: the features are its probabilities."""

    conditional = False

    def __init__(self, classes):
        self.class_names = [f"class {k}" for k in range(classes)]

    def probabilities(self, image_features):
        return image_features * 1


@pytest.fixture(scope="module")
def drawn():
    """20 MB of probabilities and labels."""
    probabilities = torch.rand(20_000, 256, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    return probabilities, np.arange(20_000) % 256


def test_the_probabilities_are_held_once(drawn):
    probabilities, labels = drawn
    with PeakBytes() as bytes_used:
        metrics = evaluate(Given(256), probabilities, labels)
    assert metrics == measure(probabilities.double().numpy(), labels, Given(256).class_names)
    assert bytes_used.peak <= 2.1 * probabilities.nbytes  # the probabilities given, and those computed


def test_the_figures_take_some_numbers_per_image_and_no_copy(drawn):
    probabilities, labels = drawn
    tracemalloc.start()
    measure(probabilities.numpy(), labels, Given(256).class_names)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.25 * probabilities.nbytes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_probabilities_in_batches_are_those_of_all(drawn, dtype):
    probabilities = drawn[0].to(dtype)
    assert torch.equal(predict_probabilities(Given(256), probabilities), probabilities)


def test_class_probabilities_sum_to_1_in_float64(drawn):
    probabilities, _ = drawn
    found = class_probabilities(Given(256), probabilities[:100])
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(found, probabilities[:100], rtol=1e-6)


@pytest.fixture(scope="module")
def model():
    clip = CLIP.load("tiny", device="cpu", memory_budget="30MB")
    return CoCoOp(clip, class_names(100))


def test_scoring_stays_within_the_budget(model):
    features = torch.nn.functional.normalize(torch.randn(300, model.clip.embed_dim), dim=-1)
    with PeakBytes() as bytes_used:
        predict_probabilities(model, features)
    assert bytes_used.peak <= model.clip.text.memory_budget
    assert 1 < images_at_once(model) < 81


def test_a_budget_bounds_what_each_image_has_of_its_own(model, tiny):
    """Other prompts are computed anew for every batch, so that smaller ones would cost more and hold no less."""
    assert images_at_once(Shortlist(model, 100)) == images_at_once(model)
    assert images_at_once(CoOp(model.clip, model.class_names)) == 655
    assert images_at_once(CoCoOp(tiny, model.class_names)) == 81
