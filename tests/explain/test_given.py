"""Which images are labelled, and which of them a run may be explained on."""

import pytest
from own_photos import write_photos

from cocoop import InputError, PromptClassifier, read_dataset
from cocoop.explain import dataset_given, is_labelled


@pytest.fixture(scope="module")
def learned(tiny, tmp_path_factory):
    root = write_photos(tmp_path_factory.mktemp("given") / "photos", 3)
    photos = sorted(root.glob("*/*"))
    classifier = PromptClassifier("zs-lp", tiny, shots=2, epochs=2)
    return root, classifier.fit(photos, [photo.parent.name for photo in photos])


def test_images_that_it_learned_from_are_left_out_or_named(learned):
    root, classifier = learned
    dataset = read_dataset(root)
    given = dataset_given(classifier, dataset, include_training=False)
    assert len(given.pictures) == 3 and given.labels == [0, 1, 2]
    assert "did not learn from" in given.of and "left out 6 images" in given.notes[-1]
    everything = dataset_given(classifier, dataset, include_training=True)
    assert len(everything.pictures) == 9 and "6 of which the run learned from" in everything.of


def test_other_classes_have_no_accuracy(learned, tmp_path):
    _, classifier = learned
    given = dataset_given(classifier, read_dataset(write_photos(tmp_path / "p", 1, ["two", "four"])), False)
    assert given.labels is None and len(given.pictures) == 2
    assert given.notes[-1].startswith("there is no accuracy, because the labels do not fit. labels: expected classes")


def test_all_learned_from_is_an_error(learned, tmp_path):
    root, classifier = learned
    picked = [sorted(root.glob("*/*"))[i] for i in classifier.picked_]
    with pytest.raises(InputError, match="not trained on; all 6 were"):
        dataset_given(classifier, read_dataset([(path, path.parent.name) for path in picked]), False)


def test_what_is_labelled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = write_photos(tmp_path / "photos", 1)
    (tmp_path / "list.csv").write_text("path,label\n")
    (tmp_path / "empty").mkdir()
    labelled = ["photos", "list.csv", "digits", "imagenet", "hf:owner/name"]
    assert [is_labelled([source]) for source in labelled] == [True] * len(labelled)
    others = ["photos/one", "photos/one/0.png", "photos/*/*.png", "empty", "nowhere", "-", "list.csv:path", "no.csv"]
    assert [is_labelled([source]) for source in others] == [False] * len(others)
    assert not is_labelled([]) and not is_labelled(["photos", "photos"])
    (root / "loose.png").write_bytes((root / "one" / "0.png").read_bytes())
    assert not is_labelled(["photos"])
