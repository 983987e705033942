"""What base-to-new fits on held-out images: which these are, what the record says, and that none is a test image."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from own_photos import write_photos
from small_data import NAMES, make_trial, write_dataset
from torch.nn.functional import normalize

from cocoop import Example, InputError, PromptClassifier, ZeroShot
from cocoop.data import fingerprint, sample_few_shot
from cocoop.evaluation import (
    calibration_figures,
    conformal_sets,
    conformal_threshold,
    distance_scales,
    fit_temperature,
    predict_logits,
)
from cocoop.protocols import Benchmark, Runner, narrowed, preset
from cocoop.protocols.selection import Selection
from cocoop.results import read_run


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Twenty digits of each name: five to train, twelve to validate on, three to test.

    One of six to validate on has the label of the class beside its own, so that not all can be right.
    """
    whole = write_dataset(tmp_path_factory.mktemp("data"), "source")
    folder = write_photos(whole.image_root, 20, NAMES)
    val = [
        Example(folder / n / f"{i}.png", label if i % 6 else label ^ 1, NAMES[label if i % 6 else label ^ 1])
        for label, n in enumerate(NAMES)
        for i in range(8, 20)
    ]
    return replace(whole, val=val)


def calibrated(method, **changes):
    return replace(make_trial("base-to-new", method), calibration="dac", coverage=0.8, **changes)


@pytest.mark.parametrize("method", ["coop", "cocoop"])
def test_the_figures_are_those_of_the_classifier(tiny, dataset, tmp_path, method):
    trial = calibrated(method)
    run = read_run(Runner(tiny, {"source": dataset}, tmp_path).run(trial))
    base = dataset.select("base")
    picked = replace(dataset, train=sample_few_shot(dataset.train, [], 3, 5)[0]).select("base")
    classifier = PromptClassifier(method, tiny, shots=None, seed=5, epochs=2, batch_size=4, lr=0.1, augment=False)
    classifier.fit([e.path for e in picked.train], [e.label for e in picked.train], NAMES[:2])

    def logits_of(examples):
        features = classifier.encode([e.path for e in examples])
        return predict_logits(classifier.model_, features), [e.label for e in examples], features[:]

    logits, labels, features = logits_of(base.val)
    fit = run.record.reliability.fit
    assert (fit.images, fit.part, fit.coverage) == (24, "val", 0.8)
    assert fit.temperature == pytest.approx(fit_temperature(logits, labels).value, rel=1e-4)
    threshold = conformal_threshold(logits.softmax(dim=1).numpy(), np.array(labels), 0.8)
    assert fit.threshold == pytest.approx(threshold, abs=1e-6)
    mean = normalize(features.mean(dim=0, keepdim=True), dim=-1)
    classifier.set_classes(NAMES)
    with torch.no_grad():
        tuned = classifier.model_.text_features(mean)[0]
        by_hand = ZeroShot(tiny, NAMES).text_features(mean)[0]
    gamma = distance_scales(tuned, by_hand, 2)
    numbered = [*base.test, *(e._replace(label=e.label + 2) for e in dataset.select("new").test)]
    for test, names, examples, scale in (
        ("base", NAMES[:2], base.test, gamma[:2]),
        ("new", NAMES[2:], dataset.select("new").test, gamma[2:]),
        ("together", NAMES, numbered, gamma),
    ):
        classifier.set_classes(names)
        logits, labels, _ = logits_of(examples)
        fits = run.record.reliability.tests[test]
        temperatures = fit.temperature / scale[logits.argmax(dim=1)]
        for found, at in ((fits.plain, 1.0), (fits.temperature, fit.temperature), (fits.dac, temperatures)):
            expected = calibration_figures(logits, labels, names, at)
            assert found.accuracy == expected.accuracy
            for name in ("expected_calibration_error", "classwise_calibration_error", "negative_log_likelihood"):
                assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-3, abs=1e-3)
        probabilities = logits.softmax(dim=1).numpy()
        assert fits.sets == conformal_sets(probabilities, np.array(labels), fit.threshold)
        top = (logits.double() / temperatures[:, None]).softmax(dim=1).amax(dim=1)
        np.testing.assert_allclose(run.predictions[f"{test}/calibrated"], top.numpy(), atol=1e-4)
    assert run.record.calibration is None  # nothing of it is in what the run predicts


def test_without_the_options_probabilities_are_measured_as_they_are(tiny, dataset, tmp_path):
    run = read_run(Runner(tiny, {"source": dataset}, tmp_path).run(make_trial("base-to-new", "zero-shot")))
    assert run.record.reliability.fit is None and list(run.record.reliability.tests) == ["base", "new", "together"]
    for test, fits in run.record.reliability.tests.items():
        assert (fits.temperature, fits.dac, fits.sets) == (None, None, None)
        if test != "together":
            assert fits.plain.expected_calibration_error == run.record.results[test].expected_calibration_error
        assert fits.plain.classwise_calibration_error > 0 and f"{test}/calibrated" not in run.predictions


def test_no_image_that_is_scored_or_learned_from_nor_a_copy_is_held_out(dataset, tmp_path):
    trial = calibrated("coop")
    told = {e.path: fingerprint(e.path) for e in [*dataset.train, *dataset.val, *dataset.test]}
    copied = [e._replace(path=tmp_path / f"{n}.png") for n, e in enumerate([*dataset.test, *dataset.train])]
    for copy, example in zip(copied, [*dataset.test, *dataset.train], strict=True):
        copy.path.write_bytes(example.path.read_bytes())
    picked = {fingerprint(e.path) for e in Selection({"source": dataset}).training_set(trial).train}
    scored = {told[e.path] for e in dataset.test}
    for changed, part in (
        (replace(dataset, val=[*dataset.val, *copied]), "val"),
        (replace(dataset, val=dataset.test), "train"),  # as of ImageNet
        (replace(dataset, val=[]), "train"),
    ):
        held_out = Selection({"source": changed}).held_out(trial)
        assert held_out.part == part and held_out.examples
        assert not {fingerprint(e.path) for e in held_out.examples} & (scored | picked)
        assert {e.label for e in held_out.examples} == {0, 1}
    with pytest.raises(InputError, match="source: expected images of the base classes that are neither learned from"):
        Selection({"source": replace(dataset, val=dataset.test)}).held_out(replace(trial, shots=5))


def test_what_is_fitted_is_part_of_the_trial_and_not_of_what_is_learned(dataset, tmp_path, tiny):
    plain, trial = make_trial("base-to-new", "zero-shot"), calibrated("zero-shot")
    assert plain.training == trial.training and plain.folder == trial.folder
    Runner(tiny, {"source": dataset}, tmp_path).run(trial)
    benchmark = Benchmark([trial], tmp_path, "tiny", {"source": dataset})
    assert benchmark.open_trials() == []
    with pytest.raises(InputError, match="expected a run with calibration None; got 'dac'"):
        replace(benchmark, trials=[plain]).open_trials()


def test_options_that_cannot_be():
    offline = preset("base-to-new", "offline")
    trials = narrowed(offline, calibration="temperature", coverage=0.9).trials("base-to-new")
    assert {(trial.calibration, trial.coverage) for trial in trials} == {("temperature", 0.9)}
    with pytest.raises(InputError, match="calibration: expected one of temperature, dac; got 'platt'"):
        narrowed(offline, calibration="platt")
    with pytest.raises(InputError, match="conformal: expected a probability above 0 and below 1"):
        narrowed(offline, coverage=90)
    with pytest.raises(InputError, match=r"calibration: expected base-to-new, .* got few-shot"):
        narrowed(preset("few-shot", "offline"), coverage=0.9).trials("few-shot")
    with pytest.raises(InputError, match="conformal: expected no search beside it"):
        narrowed(offline, methods=("tip-adapter",), search=True, coverage=0.9)
    with pytest.raises(InputError, match="search: expected a method that has settings to choose; tip-adapter, tip-ad"):
        narrowed(offline, search=True)


def test_a_search_is_on_held_out_images(tiny, dataset, tmp_path):
    trial = make_trial("few-shot", "tip-adapter", shots=2)
    trial = replace(trial, settings={"search": True})
    record = read_run(Runner(tiny, {"source": dataset}, tmp_path).run(trial)).record
    assert record.search.images == record.validation_images == len(dataset.val)
    assert {*record.validated_on} == {fingerprint(e.path) for e in dataset.val}
    assert record.settings["alpha"] == record.search.settings["alpha"]
    few_shot = narrowed(preset("few-shot", "offline"), methods=("tip-adapter", "coop"), search=True)
    settings = {(t.method, t.settings.get("search", False)) for t in few_shot.trials("few-shot")}
    assert ("tip-adapter", True) in settings and ("coop", False) in settings
