"""`calibrate`: which images a temperature is fitted on, which are scored, and what stays of it."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from own_photos import CLASSES, write_photos

from cocoop import InputError, PromptClassifier
from cocoop.data import fingerprint, halves, read_dataset
from cocoop.evaluation import fit_temperature, predict_logits
from cocoop.protocols import calibrate
from cocoop.protocols.calibration import parts_of


@pytest.fixture(scope="module")
def fitted(tiny, tmp_path_factory):
    """Learned from two of twelve images of each class, so that some of the others are taken for another class."""
    dataset = read_dataset(write_photos(tmp_path_factory.mktemp("photos"), 16))
    classifier = PromptClassifier("cocoop", tiny, shots=2, epochs=2, lr=0.5, batch_size=2)
    paths = [example.path for example in dataset.train]
    return classifier.fit(paths, [example.class_name for example in dataset.train]), dataset


@pytest.fixture
def learned(fitted):
    classifier, dataset = fitted
    return copy.copy(classifier), dataset


def split(dataset, val, test):
    """The images of each class by number: the first to train, then `val` and `test` of them."""
    parts = {"train": [], "val": [], "test": []}
    for example in dataset.train:
        number = int(example.path.stem)
        parts["test" if number >= 16 - test else "val" if number >= 16 - test - val else "train"].append(example)
    return replace(dataset, **parts)


def temperature_of(classifier, examples):
    logits = predict_logits(classifier.model_, classifier.encode([example.path for example in examples]))
    return fit_temperature(logits, [example.label for example in examples]).value


def unseen(classifier, examples):
    return [example for example in examples if fingerprint(example.path) not in classifier.trained_on]


def test_the_val_split_is_fitted_on_and_the_test_split_scored(learned):
    classifier, dataset = learned
    parts = split(dataset, val=6, test=4)
    fit, others = unseen(classifier, parts.val), unseen(classifier, parts.test)
    labelled = [e.path for e in others], [e.class_name for e in others]
    before = classifier.evaluate(*labelled)
    found = calibrate(classifier, parts)
    assert (found.part, found.dataset, found.classes) == ("val", dataset.name, 3)
    assert (found.images, found.others) == (len(fit), len(others))
    assert found.temperature == pytest.approx(temperature_of(classifier, fit), rel=1e-6)
    after = classifier.evaluate(*labelled)
    assert found.after.expected_calibration_error == pytest.approx(after.expected_calibration_error)
    assert found.before.accuracy == found.after.accuracy == after.accuracy
    assert found.before.expected_calibration_error == pytest.approx(before.expected_calibration_error, abs=1e-4)


def test_without_a_val_split_what_training_left_is_fitted_on(learned):
    classifier, dataset = learned
    parts = split(dataset, val=0, test=4)
    found = calibrate(classifier, parts)
    left = unseen(classifier, parts.train)
    assert (found.part, found.images) == ("train", len(left))
    assert found.temperature == pytest.approx(temperature_of(classifier, left), rel=1e-6)


def test_a_val_split_of_too_few_is_passed_over_and_the_test_split_stays_out(learned):
    classifier, dataset = learned
    parts = split(dataset, val=1, test=4)
    found, left = calibrate(classifier, parts), unseen(classifier, parts.train)
    assert (found.part, found.images, found.others) == ("train", len(left), len(unseen(classifier, parts.test)))


def test_no_picture_is_both_fitted_on_and_scored(learned, tmp_path):
    """A copy elsewhere, under another name, is the same picture."""
    classifier, dataset = learned
    rest = unseen(classifier, dataset.train)
    copies = [e._replace(path=tmp_path / f"{n}.png") for n, e in enumerate(rest)]
    for copied, example in zip(copies, rest, strict=True):
        copied.path.write_bytes(example.path.read_bytes())
    for doubled in (
        replace(dataset, train=[*dataset.train, *copies]),
        replace(dataset, train=dataset.train[:6], val=rest, test=copies[::2]),
    ):
        held_out = parts_of(classifier, doubled)
        fitted_on, scored = ({fingerprint(e.path) for e in part} for part in (held_out.fit, held_out.others))
        assert fitted_on and not fitted_on & scored
        assert {fingerprint(e.path) for e in rest} == fitted_on | scored


def test_without_a_split_one_half_of_each_class_is(learned):
    classifier, dataset = learned
    found = calibrate(classifier, dataset)
    rest = unseen(classifier, dataset.train)
    first, second = halves(rest, 1)
    assert len(rest) == 48 - 6 and sorted([*first, *second]) == sorted(rest)
    for label in range(3):
        assert sum(e.label == label for e in first) == sum(e.label == label for e in second) == 7
    assert (found.part, found.images, found.others) == ("half", 21, 21)
    assert found.temperature == pytest.approx(temperature_of(classifier, first), rel=1e-6)
    assert calibrate(classifier, dataset) == found


def test_it_reaches_all_that_gives_probabilities_and_stays(learned, tmp_path):
    classifier, dataset = learned
    paths = [example.path for example in dataset.train]
    labels = [example.class_name for example in dataset.train]
    plain = classifier.predict_proba(paths)
    assert classifier.calibration_ is None
    found = classifier.calibrate(paths, labels).calibration_
    assert (found.images, found.dataset, found.part) == (42, None, None)  # without the six it learned from
    logits = predict_logits(classifier.model_, classifier.encode(paths)).double().numpy()
    powers = np.exp((logits - logits.max(axis=1, keepdims=True)) / found.temperature)
    expected = powers / powers.sum(axis=1, keepdims=True)
    assert abs(found.temperature - 1) > 0.05 and np.abs(expected - plain).max() > 0.01
    np.testing.assert_allclose(classifier.predict_proba(paths), expected, atol=1e-9)
    assert (expected.argmax(axis=1) == plain.argmax(axis=1)).all()
    np.testing.assert_allclose(classifier.predict_proba(paths, shortlist=3), expected, atol=1e-5)
    tangent = classifier.predict_proba(paths, inference="tangent")
    np.testing.assert_allclose(tangent, expected, atol=0.05)
    assert (tangent.argmax(axis=1) == expected.argmax(axis=1)).all()
    verified = classifier.verify(paths, labels, shortlist=3)
    assert verified.exact == classifier.evaluate(paths, labels) and verified.largest_difference < 1e-5
    loaded = PromptClassifier.load(classifier.save(tmp_path / "run"), device="cpu")
    for other in (pickle.loads(pickle.dumps(classifier)), loaded):
        assert other.calibration_ == found
        np.testing.assert_allclose(other.predict_proba(paths[:3]), expected[:3], atol=1e-6)
    loaded.set_classes(CLASSES[::-1])
    np.testing.assert_allclose(loaded.predict_proba(paths), expected[:, ::-1], atol=1e-6)


def test_another_fit_is_not_calibrated(tiny, tmp_path):
    dataset = read_dataset(write_photos(tmp_path, 8))
    paths, labels = [e.path for e in dataset.train], [e.class_name for e in dataset.train]
    classifier = PromptClassifier("coop", tiny, shots=1, epochs=2).fit(paths, labels)
    classifier.calibrate(paths, labels)
    assert classifier.fit(paths, labels).calibration_ is None


def test_too_few(learned):
    classifier, dataset = learned
    few = replace(dataset, train=[e for e in dataset.train if int(e.path.stem) < 5])
    with pytest.raises(InputError, match="calibration: expected 10 labelled images or more"):
        calibrate(classifier, few)
    first, second = ([e for e in dataset.train if e.label == label] for label in (0, 1))
    one = replace(dataset, train=[], val=first, test=second)
    with pytest.raises(InputError, match="images of two classes or more"):
        calibrate(classifier, one)
    assert classifier.calibration_ is None
