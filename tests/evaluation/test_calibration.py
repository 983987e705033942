"""`fit_temperature` against a search over a grid in float64, and its interval against the curvature found there."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cocoop import InputError
from cocoop.evaluation import calibration, calibration_figures, fit_temperature


def drawn(true_temperature: float, n: int = 400, classes: int = 7, seed: int = 0):
    """Logits [N, K], and labels that follow softmax(logits / T)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)) * 5
    odds = np.exp(logits / true_temperature)
    cumulated = (odds / odds.sum(axis=1, keepdims=True)).cumsum(axis=1)
    labels = (cumulated < rng.random((n, 1))).sum(axis=1)
    return logits, labels


def likelihood(logits, labels, temperature: float) -> float:
    """The mean negative log-likelihood, an image at a time, in float64."""
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        scaled = row / temperature
        top = scaled.max()
        total += top + math.log(sum(math.exp(value - top) for value in scaled)) - scaled[label]
    return total / len(labels)


@pytest.mark.parametrize("true_temperature", [0.3, 1.0, 4.0])
def test_no_temperature_of_a_grid_fits_better(true_temperature):
    logits, labels = drawn(true_temperature)
    temperature, (low, high) = fit_temperature(torch.from_numpy(logits), labels.tolist())
    grid = temperature * np.exp(np.linspace(-0.02, 0.02, 41))
    values = [likelihood(logits, labels, one) for one in grid]
    assert np.argmin(values) == 20, "the least value is that of the temperature itself, to a tenth of a percent"
    assert min(likelihood(logits, labels, one) for one in np.geomspace(0.01, 100, 60)) >= values[20]
    # The second difference of N times the likelihood in b = 1/T is Fisher's information.
    b, step = 1 / temperature, 1e-3 / temperature
    around = [likelihood(logits, labels, 1 / (b + shift)) for shift in (-step, 0, step)]
    information = len(labels) * (around[0] - 2 * around[1] + around[2]) / step**2
    width = 1.96 / (b * math.sqrt(information))
    assert (low, high) == pytest.approx((temperature * math.exp(-width), temperature * math.exp(width)), rel=1e-3)
    assert low < true_temperature < high  # with these seeds


def test_parts_and_float32_make_no_difference(monkeypatch):
    logits, labels = drawn(2.0)
    whole = fit_temperature(torch.from_numpy(logits), labels.tolist())
    monkeypatch.setattr(calibration, "_AT_ONCE", 7 * 60)
    assert fit_temperature(torch.from_numpy(logits), labels.tolist()).value == pytest.approx(whole.value, rel=1e-9)
    rounded = fit_temperature(torch.from_numpy(logits).float(), labels.tolist())
    assert rounded.value == pytest.approx(whole.value, rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(temperature=st.floats(0.2, 5), shift=st.floats(-50, 50), factor=st.floats(0.2, 5))
def test_it_follows_the_scale_of_the_logits_and_no_shift(temperature, shift, factor):
    logits, labels = drawn(temperature, n=60, seed=3)
    found = fit_temperature(torch.from_numpy(logits), labels.tolist()).value
    moved = fit_temperature(torch.from_numpy(logits * factor + shift), labels.tolist()).value
    assert moved == pytest.approx(found * factor, rel=1e-6)


def test_figures_by_hand():
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]]), [0, 1, 1]
    figures = calibration_figures(logits, labels, ["a", "b"], temperature=2.0)
    sure = 1 / (1 + math.exp(-1))
    assert figures.accuracy == pytest.approx(200 / 3)
    assert figures.expected_calibration_error == pytest.approx(100 * abs(2 / 3 - sure))
    assert figures.negative_log_likelihood == pytest.approx(-(2 * math.log(sure) + math.log(1 - sure)) / 3)


def test_ten_images_are_enough():
    logits, labels = (part[:10] for part in drawn(4.0))
    temperature, (low, high) = fit_temperature(torch.from_numpy(logits), labels.tolist())
    assert low < temperature < high


def test_what_is_refused():
    logits, labels = (part[:12] for part in drawn(1.0))
    with pytest.raises(InputError, match=r"expected 10 labelled images or more .*; got 9"):
        fit_temperature(torch.from_numpy(logits[:9]), labels[:9].tolist())
    with pytest.raises(InputError, match="images of two classes or more; got 12 of one"):
        fit_temperature(torch.from_numpy(logits), [3] * 12)
    right, wrong = logits.argmax(axis=1), logits.argmin(axis=1)
    with pytest.raises(InputError, match="some images that are not classified as labelled; got 12 that are"):
        fit_temperature(torch.from_numpy(logits), right.tolist())
    with pytest.raises(InputError, match="does better than guessing; on these 12 images it does not"):
        fit_temperature(torch.from_numpy(logits), wrong.tolist())


def test_all_right_is_no_temperature_however_the_sums_round():
    """The slope is 0 at the end then, or 2e-16, as with these."""
    for seed in range(50):
        rng = np.random.default_rng(seed)
        logits = torch.from_numpy(rng.normal(size=(24, 2)).astype(np.float32) * 4).log_softmax(dim=1)
        with pytest.raises(InputError, match="some images that are not classified as labelled; got 24 that are"):
            fit_temperature(logits.exp().double().log(), logits.argmax(dim=1).tolist())
