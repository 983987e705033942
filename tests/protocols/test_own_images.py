"""`fit_and_score` against one image at a time, and what it leaves out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from own_photos import write_photos

from cocoop import METHODS, CoCoOp, InputError, PromptClassifier, ZeroShot
from cocoop.data import Dataset, Example, few_shot_indices, open_image, read_dataset, split_hash
from cocoop.protocols import fit_and_score, not_trained_on

NAMES = ["seven", "four", "three", "one"]
"""In the order of the labels: not the order of the alphabet, which a folder's would be."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    root = write_photos(tmp_path_factory.mktemp("photos"), 8, NAMES)
    examples = [Example(root / name / f"{n}.png", label, name) for label, name in enumerate(NAMES) for n in range(8)]
    return Dataset("mine", examples, [], [], NAMES, "the digit {}.", root)


def make(clip, method="cocoop", **parameters) -> PromptClassifier:
    quick = {"epochs": 2, "batch_size": 4, "lr": 0.1} if METHODS[method].recipe else {}
    return PromptClassifier(method, clip, **{"shots": 3} | quick | parameters)


def predictions(model, examples: list[Example]) -> list[int]:
    """An image at a time, with nothing but the model and its CLIP."""
    clip = model.clip
    features = [clip.encode_images(clip.preprocess(open_image(example.path))[None]) for example in examples]
    return [int(model(image)[0].argmax()) for image in features]


def check(run, model, scored: list[Example], zero_shot) -> None:
    results, beside = run.record.results["test"], run.record.zero_shot["test"]
    assert list(run.record.results) == list(run.record.zero_shot) == ["test"]
    for figures, by_hand in ((results, predictions(model, scored)), (beside, predictions(zero_shot, scored))):
        hits = [number == example.label for number, example in zip(by_hand, scored, strict=True)]
        assert (figures.n, figures.correct) == (len(scored), sum(hits))
        assert figures.accuracy == pytest.approx(100 * sum(hits) / len(hits))
        for name, accuracy in figures.per_class_accuracy.items():
            of_class = [hit for hit, example in zip(hits, scored, strict=True) if example.class_name == name]
            assert accuracy == pytest.approx(100 * sum(of_class) / len(of_class))
        wrong = {str(example.path) for hit, example in zip(hits, scored, strict=True) if not hit}
        assert {mistake.image for mistake in figures.mistakes} <= wrong
        assert len(figures.mistakes) == min(12, len(wrong))
    assert run.predictions["test/label"].tolist() == [example.label for example in scored]
    assert run.predictions["test/predicted"].tolist() == predictions(model, scored)


def test_what_was_not_learned_from_is_scored(tiny, dataset):
    classifier = make(tiny)
    run = fit_and_score(classifier, dataset).run
    assert classifier.picked_ == few_shot_indices([example.label for example in dataset.train], 3, 1)
    held_out = [example for number, example in enumerate(dataset.train) if number not in classifier.picked_]
    assert len(held_out) == 4 * (8 - 3)
    assert isinstance(classifier.model_, CoCoOp) and classifier.model_.class_names == NAMES
    check(run, classifier.model_, held_out, ZeroShot(tiny, NAMES, ["the digit {}."]))
    assert (run.record.protocol, run.record.dataset, run.record.shots) == ("own-images", "mine", 3)
    picked = [dataset.train[index] for index in classifier.picked_]
    assert run.record.split_hash == split_hash(picked, dataset.image_root)
    assert run.record.results["test"].dataset == run.record.zero_shot["test"].dataset == "mine"


def test_a_test_split_is_what_is_scored(tiny, dataset):
    train = [example for example in dataset.train if int(example.path.stem) < 4]
    test = [example for example in dataset.train if int(example.path.stem) > 5]
    classifier = make(tiny, "coop")
    run = fit_and_score(classifier, replace(dataset, train=train, test=test)).run
    check(run, classifier.model_, test, ZeroShot(tiny, NAMES, ["the digit {}."]))
    assert run.record.training_images == 12


def test_zero_shot_learns_nothing_and_is_scored_on_all(tiny, dataset):
    classifier = make(tiny, "zero-shot", settings={"templates": ["the digit {}."]})
    run = fit_and_score(classifier, dataset).run
    assert run.record.results == run.record.zero_shot
    assert run.record.results["test"].n == len(dataset.train)
    assert (run.record.shots, run.record.training_images, run.record.split_hash) == (0, 0, None)


def test_copies_of_training_images_are_not_held_out(tiny, tmp_path):
    root = write_photos(tmp_path, 3)
    for number in range(3):
        (root / "one" / f"copy-{number}.png").write_bytes((root / "one" / f"{number}.png").read_bytes())
    dataset = read_dataset(root)
    classifier = make(tiny, "coop", shots=1, epochs=1)
    run = fit_and_score(classifier, dataset).run
    picked = {dataset.train[index].path.read_bytes() for index in classifier.picked_}
    expected = [example for example in dataset.train if example.path.read_bytes() not in picked]
    assert not_trained_on(classifier, dataset.train) == expected
    assert run.record.results["test"].n == len(expected) < len(dataset.train) - len(classifier.picked_)


@pytest.mark.parametrize(("method", "test"), [("coop", True), ("coop", False), ("zero-shot", False)])
def test_a_picture_in_two_classes_is_said(tiny, tmp_path, method, test):
    root = write_photos(tmp_path, 3)
    (root / "three/again.png").write_bytes((root / "one/2.png").read_bytes())
    dataset = read_dataset(root)
    if test:
        dataset = replace(dataset, train=dataset.train[:-1], test=dataset.train[-1:])
    classifier = make(tiny, method)
    [said] = [note for note in fit_and_score(classifier, dataset).notes if "two classes" in note]
    assert said == (
        f"the same picture is in two classes (1 of them): {root / 'one/2.png'} (one) and "
        f"{root / 'three/again.png'} (three)"
    )


def test_nothing_held_out(tiny, dataset):
    run = fit_and_score(make(tiny, "coop", shots=8, epochs=1), dataset).run
    assert run.record.results == run.record.zero_shot == run.predictions == {}


def test_no_training_images(tiny, dataset):
    with pytest.raises(InputError, match="mine: expected images to learn from; it has test images only"):
        fit_and_score(make(tiny), replace(dataset, train=[], test=dataset.train))


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_damaged_image_is_found_before_training_even_if_only_scored(tiny, tmp_path, split):
    dataset = read_dataset(write_photos(tmp_path, 3))
    classifier = make(tiny, shots=1)
    picked = few_shot_indices([example.label for example in dataset.train], 1, classifier.seed)
    others = [example for number, example in enumerate(dataset.train) if number not in picked]
    for example in others:
        example.path.write_bytes(b"no image")
    if split == "test":
        dataset = replace(dataset, train=[dataset.train[number] for number in picked], test=others)
    with pytest.raises(InputError, match=rf"all {9 if split == 'train' else 6} to decode; 6 do not: .*one/"):
        fit_and_score(classifier, dataset)
    assert not hasattr(classifier, "model_")


def test_images_from_python(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("COCOOP_CACHE", str(tmp_path))
    from own_photos import labelled

    images, labels = labelled(4)
    classifier = make(tiny, shots=2)
    run = fit_and_score(classifier, read_dataset(zip(images, labels, strict=True))).run
    assert run.record.training_images == 6 and run.record.results["test"].n == 6
    # The same pixels, as files or as they were.
    in_memory = make(tiny, shots=2).fit(images, labels)
    assert np.array_equal(run.tensors["ctx"], in_memory.model_.ctx.detach().numpy())
    assert {Path(mistake.image).parents[1] for mistake in run.record.results["test"].mistakes} <= {
        tmp_path / "pictures"
    }


def test_notes_say_what_the_figures_do_not(tiny, dataset):
    few = [e for e in dataset.train if e.class_name != "three" and not (e.class_name == "four" and e.path.stem > "1")]
    test = [example for example in dataset.train if example.path.stem in "05"]
    classifier = make(tiny, epochs=1)
    with pytest.warns(UserWarning, match="the only epoch is the warm-up"):
        notes = fit_and_score(classifier, replace(dataset, train=few, test=test)).notes
    picked = {few[index].path for index in classifier.picked_}
    both = sum(example.path in picked for example in test)
    assert notes[:3] == [
        "no image to learn from of three",
        "fewer than 3 images to learn from of four",
        f"{both} of the 8 test images were learned from, too; `evaluate` leaves them out",
    ]


def test_a_run_that_did_harm_says_what_to_try(tiny, dataset):
    run, notes = fit_and_score(make(tiny, "coop", lr=30.0, epochs=3), dataset)
    assert run.record.results["test"].accuracy < run.record.zero_shot["test"].accuracy
    assert notes[0].startswith("learning did worse than the hand-written prompt")
    assert "  a lower lr than 30, fewer epochs than 3, or more shots" in notes
    assert not any("augment" in note for note in notes)


OF_TINY = "the bundled CLIP 'tiny' is for trials; for photographs add --clip openai/clip-vit-base-patch16"


class Kept(ZeroShot):
    """Learns, as far as anyone can tell, before any step: the warm-up is nothing to warn of."""

    def prepare(self, image_features, labels):
        pass


def test_nothing_is_said_of_steps_that_a_method_does_not_take(tiny, dataset, monkeypatch):
    monkeypatch.setitem(METHODS, "kept", Kept)
    run, notes = fit_and_score(make(tiny, "kept", settings={"templates": ["a {}."]}), dataset)
    assert run.record.training_images == 12 and notes == [OF_TINY]


def test_zero_shot_has_nothing_to_note_of_a_training(tiny, dataset):
    assert fit_and_score(make(tiny, "zero-shot"), dataset).notes == [OF_TINY]
