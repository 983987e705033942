"""Calibration errors, conformal sets and distances, against scikit-learn, counting by hand and simulation."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from cocoop import InputError
from cocoop.evaluation import (
    Scored,
    calibration_figures,
    classwise_calibration_error,
    conformal_sets,
    conformal_threshold,
    distance_scales,
    fit_held_out,
    fit_temperature,
    measure_reliability,
)
from cocoop.evaluation import metrics as metrics_module

BINS = 15


@st.composite
def scored(draw, least=2, most=60):
    """Probabilities [N, K] and labels that follow them, more or less."""
    images, classes = draw(st.integers(least, most)), draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = rng.normal(size=(images, classes)) * draw(st.floats(0.2, 6))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.where(rng.random(images) < 0.6, probabilities.argmax(axis=1), rng.integers(0, classes, images))
    return Scored(probabilities, labels, [f"class {k}" for k in range(classes)])


def error_of(right, confidence) -> float:
    """The calibration error by scikit-learn's curve, whose bins are open below and closed above, too."""
    shares, means = calibration_curve(right, confidence, n_bins=BINS, strategy="uniform")
    counts = [np.sum((confidence > low / BINS) & (confidence <= (low + 1) / BINS)) for low in range(BINS)]
    filled = [count for count in counts if count]
    return 100 * sum(c * abs(s - m) for c, s, m in zip(filled, shares, means, strict=True)) / len(confidence)


@settings(deadline=None, max_examples=25)
@given(scored())
def test_calibration_errors_are_those_of_scikit_learns_curve(case):
    probabilities, labels, names = case
    figures = case.figures()
    right = probabilities.argmax(axis=1) == labels
    assert figures.accuracy == pytest.approx(100 * right.mean())
    assert figures.expected_calibration_error == pytest.approx(error_of(right, probabilities.max(axis=1)))
    by_class = [error_of(labels == k, probabilities[:, k]) for k in range(len(names))]
    assert figures.classwise_calibration_error == pytest.approx(np.mean(by_class))
    own = [-math.log(row[label]) for row, label in zip(probabilities, labels, strict=True)]
    assert figures.negative_log_likelihood == pytest.approx(np.mean(own))


def test_images_in_parts_make_no_difference(monkeypatch):
    rng = np.random.default_rng(1)
    probabilities, labels = rng.dirichlet([0.3] * 7, size=100), rng.integers(0, 7, 100)
    whole = classwise_calibration_error(probabilities, labels)
    monkeypatch.setattr(metrics_module, "_AT_ONCE", 7 * 9)
    assert classwise_calibration_error(probabilities, labels) == pytest.approx(whole, rel=1e-12)


@settings(deadline=None, max_examples=15)
@given(scored(), st.floats(0.3, 4))
def test_the_logarithm_of_a_probability_is_as_good_as_its_logit(case, temperature):
    shifted = torch.from_numpy(np.log(case.probabilities)) + 3.7
    expected = calibration_figures(shifted, case.labels.tolist(), case.class_names, temperature)
    found = calibration_figures(case.logits, case.labels.tolist(), case.class_names, temperature)
    for name, value in vars(expected).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-9, abs=1e-9)


def test_a_probability_that_is_rounded_to_0_is_not_impossible():
    case = Scored(np.array([[1, 0], [1, 0]], dtype=np.float32), np.array([0, 1]), ["a", "b"])
    assert 0 < case.figures().negative_log_likelihood < 60 and case.logits.isfinite().all()


@settings(deadline=None, max_examples=30)
@given(scored(1, 40), st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_the_threshold_leaves_out_as_few_held_out_images_as_it_may(case, coverage):
    probabilities, labels, names = case
    threshold = conformal_threshold(probabilities, labels, coverage)
    held = sum(probabilities[i, labels[i]] >= threshold for i in range(len(labels)))
    needed = math.ceil(round((len(labels) + 1) * coverage, 6))
    sets = conformal_sets(probabilities, labels, threshold)
    if needed > len(labels):
        assert threshold == 0 and (sets.covered, sets.size) == (100, len(names))
    else:
        assert held >= needed > sum(probabilities[i, labels[i]] > threshold for i in range(len(labels)))
    by_hand = [[k for k in range(len(names)) if row[k] >= threshold] for row in probabilities]
    assert sets.size == pytest.approx(np.mean([len(of) for of in by_hand]))
    assert sets.covered == pytest.approx(100 * np.mean([labels[i] in of for i, of in enumerate(by_hand)]))


@pytest.mark.parametrize(("images", "coverage"), [(19, 0.9), (30, 0.8), (60, 0.95)])
def test_sets_cover_as_often_as_stated(images, coverage):
    """Over the draws of held-out images and of one more, without ties: ceil((n + 1) c) / (n + 1) on average."""
    rng = np.random.default_rng(7)
    draws, hits = 1500, 0
    for _ in range(draws):
        logits = rng.normal(size=(images + 1, 4)) * 2
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        # Labels follow other odds than the model says: the guarantee needs no good model.
        odds = probabilities**0.5
        labels = (odds.cumsum(axis=1) / odds.sum(axis=1, keepdims=True) < rng.random((images + 1, 1))).sum(axis=1)
        threshold = conformal_threshold(probabilities[:-1], labels[:-1], coverage)
        hits += probabilities[-1, labels[-1]] >= threshold
    expected = math.ceil((images + 1) * coverage - 1e-9) / (images + 1)
    assert expected >= coverage
    assert abs(hits / draws - expected) < 4 * math.sqrt(expected * (1 - expected) / draws)


def test_a_coverage_that_cannot_be():
    for coverage in (0.0, 1.0, 1.5, -0.1, math.nan):
        with pytest.raises(InputError, match="coverage: expected a probability above 0 and below 1"):
            conformal_threshold(np.ones((3, 1)), np.zeros(3, dtype=int), coverage)
    with pytest.raises(InputError, match="expected held-out images; got none"):
        conformal_threshold(np.ones((0, 2)), np.zeros(0, dtype=int), 0.9)


def unit(rng, count, width=8):
    features = rng.normal(size=(count, width))
    return torch.from_numpy(features / np.linalg.norm(features, axis=1, keepdims=True))


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 9), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_scales_of_new_classes_by_the_formula(base, new, seed):
    rng = np.random.default_rng(seed)
    tuned, by_hand = unit(rng, base + new), unit(rng, base + new)
    gamma = distance_scales(tuned, by_hand, base)
    assert gamma[:base].tolist() == [1.0] * base

    def s(features, i):
        distances = sorted(float(np.linalg.norm(features[i] - features[j])) for j in range(base))
        return math.exp(-np.mean(distances[:5]))

    for i in range(base, base + new):
        assert float(gamma[i]) == pytest.approx(s(tuned.numpy(), i) / s(by_hand.numpy(), i), rel=1e-9)
    torch.testing.assert_close(distance_scales(tuned, tuned, base), torch.ones(base + new).double())


def test_scales_are_exact_with_many_classes_that_are_alike():
    """Beyond 25 rows torch would compute distances by products, in which those of near features lose their digits."""
    rng = np.random.default_rng(0)
    near = torch.nn.functional.normalize(unit(rng, 1) + 1e-6 * unit(rng, 40), dim=1)
    far, base = unit(rng, 40), 30
    differences = (near[:, None] - near[None, :base]).norm(dim=2).sort(dim=1).values[:, :5].mean(dim=1)
    by_hand = torch.exp(-(far[:, None] - far[None, :base]).norm(dim=2).sort(dim=1).values[:, :5].mean(dim=1))
    torch.testing.assert_close(
        distance_scales(near, far, base)[base:], (torch.exp(-differences) / by_hand)[base:], rtol=1e-12, atol=0
    )


def test_what_is_fitted_and_what_follows():
    rng = np.random.default_rng(3)

    def drawn(images, classes, sharpness):
        logits = rng.normal(size=(images, classes)) * 4
        odds = np.exp(logits / sharpness)
        labels = (odds.cumsum(axis=1) / odds.sum(axis=1, keepdims=True) < rng.random((images, 1))).sum(axis=1)
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return Scored(probabilities, labels, [str(k) for k in range(classes)])

    held_out, new = drawn(300, 4, 2.0), drawn(200, 3, 5.0)
    fit = fit_held_out(held_out, "val", temperature=True, coverage=0.8)
    assert fit.temperature == pytest.approx(fit_temperature(held_out.logits, held_out.labels.tolist()).value)
    assert fit.threshold == conformal_threshold(held_out.probabilities, held_out.labels, 0.8)  # of the plain ones
    assert (fit.images, fit.part, fit.coverage) == (300, "val", 0.8)
    gamma = torch.tensor([0.5, 0.8, 1.1])
    reliability, confidences = measure_reliability({"new": new}, fit, {"new": gamma})
    fits = reliability.tests["new"]
    scaled = new.logits.numpy() / fit.temperature
    scaled *= gamma.numpy()[scaled.argmax(axis=1)][:, None]
    by_hand = np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)
    expected = Scored(by_hand, new.labels, new.class_names).figures()
    for name, value in vars(expected).items():
        assert getattr(fits.dac, name) == pytest.approx(value, rel=1e-6)
    assert fits.plain == new.figures() and fits.plain.accuracy == fits.temperature.accuracy == fits.dac.accuracy
    np.testing.assert_allclose(confidences["new/calibrated"], by_hand.max(axis=1), rtol=1e-6)
    assert fits.sets == conformal_sets(new.probabilities, new.labels, fit.threshold)
    assert reliability.fit is fit
    scaled = (new.logits / fit.temperature).softmax(dim=1).amax(dim=1)  # without distances
    unscaled, last = measure_reliability({"new": new}, fit)
    assert unscaled.tests["new"] == replace(fits, dac=None)
    np.testing.assert_allclose(last["new/calibrated"], scaled, rtol=1e-6)
    alone, nothing = measure_reliability({"new": new})
    assert (alone.fit, alone.tests["new"].temperature, alone.tests["new"].sets, nothing) == (None, None, None, {})


def test_no_temperature_where_none_fits():
    right = Scored(np.array([[0.9, 0.1], [0.2, 0.8]] * 10), np.array([0, 1] * 10), ["a", "b"])
    few = Scored(right.probabilities[:4], np.array([0, 1, 1, 1]), ["a", "b"])
    for case in (right, few):
        fit = fit_held_out(case, "train", temperature=True, coverage=None)
        assert (fit.images, fit.part, fit.temperature) == (len(case.labels), "train", None)
        assert (fit.interval, fit.threshold) == ((), None)
