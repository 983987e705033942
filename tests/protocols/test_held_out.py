"""Images held out of a user's own: never learned from, never scored, and the same for the same seed."""

import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from own_photos import write_photos

from cocoop import InputError, PromptClassifier
from cocoop.data import few_shot_indices, fingerprint, read_dataset
from cocoop.protocols import fit_and_score, not_trained_on
from cocoop.protocols.held_out import held_out


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Eight images of each of three digits, and of a fourth only three."""
    root = write_photos(tmp_path_factory.mktemp("photos"), 8)
    return read_dataset(write_photos(root, 3, ["four"]))


def make(clip, **parameters):
    return PromptClassifier("coop", clip, **{"shots": 2, "epochs": 3, "batch_size": 4, "lr": 0.1} | parameters)


@pytest.mark.parametrize(("shots", "of_eight", "of_three"), [(1, 1, 1), (2, 2, 1), (3, 3, 0), (5, 3, 0), (None, 1, 1)])
def test_how_many_of_each_class(photos, shots, of_eight, of_three):
    labels = [example.label for example in photos.train]
    held = held_out(photos, shots, 7)
    counts = Counter(example.class_name for example in held.examples)
    assert counts == Counter({"one": of_eight, "seven": of_eight, "three": of_eight, "four": of_three})
    assert [photos.train[n] for n in sorted(held.positions)] == sorted(held.examples, key=photos.train.index)
    picked = range(len(labels)) if shots is None else few_shot_indices(labels, shots, 7)
    assert shots is None or not held.positions & set(picked)
    assert held.given == [n for n in range(len(labels)) if shots is not None or n not in held.positions]
    assert held == held_out(photos, shots, 7) != held_out(photos, shots, 8)


def test_a_tenth_of_all_and_never_the_only_image(tmp_path):
    dataset = read_dataset(write_photos(write_photos(tmp_path, 25, ["one"]), 1, ["three"]))
    assert Counter(example.class_name for example in held_out(dataset, None, 1).examples) == {"one": 2}
    with pytest.raises(InputError, match=r"validation: expected images that are not learned from; .* none left"):
        held_out(dataset, 25, 1)


@pytest.mark.parametrize("shots", [2, None])
def test_three_parts_that_share_no_image(tiny, photos, shots):
    classifier = make(tiny, shots=shots, keep="best")
    run = fit_and_score(classifier, photos, validate=True).run
    held = held_out(photos, shots, 1)
    learned = [photos.train[n] for n in run.record.picked]
    used = {*learned, *held.examples}
    rest = [example for example in photos.train if example not in used]
    assert len(used) == len(learned) + len(held.examples)
    assert run.record.trained_on == [fingerprint(example.path) for example in learned]
    assert run.record.validated_on == [fingerprint(example.path) for example in held.examples]
    assert run.record.validation_images == len(held.examples)
    assert (run.record.results["test"].n if run.record.results else 0) == len(rest) == (0 if shots is None else 12)
    assert not_trained_on(classifier, photos.train) == rest
    accuracies = [epoch.validation_accuracy for epoch in run.history]
    assert run.record.kept_epoch == accuracies.index(max(accuracies))
    kept = classifier.evaluate(
        [e.path for e in held.examples], [e.label for e in held.examples], photos.class_names
    ).accuracy
    assert kept == pytest.approx(max(accuracies))
    if shots is not None:  # the same pick, and the same bits, as without
        plain = make(tiny)
        assert fit_and_score(plain, photos).run.record.picked == run.record.picked
        last = make(tiny)
        fit_and_score(last, photos, validate=True)
        assert (plain.model_.ctx == last.model_.ctx).all()


def test_copies_are_in_one_part_alone(tiny, tmp_path):
    """A val split with copies of what is learned from, and a test split with copies of what is validated on."""
    root = write_photos(tmp_path / "photos", 6)
    train = read_dataset(root).train
    learned = [train[n] for n in few_shot_indices([example.label for example in train], 2, 1)]
    others = [example for example in train if example not in learned]
    again = [e._replace(path=shutil.copy(e.path, tmp_path / f"{n}.png")) for n, e in enumerate([learned[0], others[0]])]
    dataset = replace(read_dataset(root), train=learned, val=[others[0], again[0]], test=[again[1], *others[4:6]])
    classifier = make(tiny)
    with pytest.warns(UserWarning, match="1 of the 2 validation images are learned from, and are left out"):
        run, notes = fit_and_score(classifier, dataset, validate=True)
    assert run.record.validated_on == [fingerprint(others[0].path)]
    assert run.record.results["test"].n == 2
    assert "1 of the 3 test images are validation images, and left out" in notes


@pytest.mark.parametrize("wrong", [{"seed": 3.5}, {"shots": "x"}, {"patience": 0}, {"batch_size": 0}])
def test_parameters_are_checked_before_images_are_held_out(tiny, photos, wrong):
    """Where the shots leave none to hold out, too."""
    with pytest.raises(InputError, match=f"^{next(iter(wrong))}: expected an integer"):
        fit_and_score(make(tiny, **{"shots": 8} | wrong), photos, validate=True)


def test_a_seed_of_numpy(photos):
    assert held_out(photos, 2, np.int64(7)) == held_out(photos, 2, 7)


def test_a_val_split_that_is_the_test_split_is_not_validated_on(photos):
    """As ImageNet's: its images are scored."""
    train, test = photos.train[::2], photos.train[1::2]
    held = held_out(replace(photos, train=train, val=test, test=list(test)), 1, 7)
    assert held.examples and {*held.examples} <= {*train} and not {*held.examples} & {*test}
    assert held_out(replace(photos, train=train, val=test[1:], test=test[:1]), 1, 7).examples == test[1:]
