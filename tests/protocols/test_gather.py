"""Which data a benchmark reads, and how it splits what has no split."""

import json

import pytest
from own_photos import listing, write_photos
from small_data import make_trial

from cocoop import InputError
from cocoop.data import read_dataset
from cocoop.protocols import gather, narrowed, preset, write_miniatures


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("COCOOP_CACHE", str(tmp_path_factory.mktemp("cache")))


def plan(*datasets: str, protocol: str = "few-shot", targets: tuple[str, ...] = ()):
    return narrowed(preset(protocol, "offline"), datasets, targets, shots=(1,), seeds=(1,)).trials(protocol)


def test_a_split_that_is_drawn_is_kept_and_read_again(tmp_path):
    photos = write_photos(tmp_path / "photos", 8)
    splits = tmp_path / "out" / "splits"
    dataset = gather(plan(str(photos)), None, splits)[str(photos)]
    assert dataset.split_made and (len(dataset.train), len(dataset.val), len(dataset.test)) == (12, 6, 6)
    stored = json.loads((splits / "photos.json").read_text())
    assert [entry[0] for entry in stored["test"]] == [e.path.relative_to(photos).as_posix() for e in dataset.test]

    # Another split, by hand: it is the file that counts.
    stored["train"], stored["test"] = stored["test"], stored["train"]
    (splits / "photos.json").write_text(json.dumps(stored))
    again = gather(plan(str(photos)), None, splits)[str(photos)]
    assert (again.train, again.test) == (dataset.test, dataset.train)


def test_a_dry_run_keeps_nothing_and_draws_the_same(tmp_path):
    photos = write_photos(tmp_path / "photos", 8)
    before = listing(tmp_path)
    looked = gather(plan(str(photos)), None, tmp_path / "splits", keep=False)
    assert listing(tmp_path) == before
    assert looked == gather(plan(str(photos)), None, tmp_path / "splits")


def test_a_kept_split_of_other_images_is_refused(tmp_path):
    photos = write_photos(tmp_path / "photos", 8)
    gather(plan(str(photos)), None, tmp_path / "splits")
    (photos / "one" / "0.png").rename(photos / "one" / "new.png")
    with pytest.raises(InputError, match=r"photos.json: .* 24 labelled .* lacks 1 of them and has 1 others\. The data"):
        gather(plan(str(photos)), None, tmp_path / "splits")
    write_photos(photos, 8, ["one", "four"])  # a new class: the labels of all others move
    with pytest.raises(InputError, match=r"33 labelled images .* lacks 33 of them and has 24 others.* another --out"):
        gather(plan(str(photos)), None, tmp_path / "splits")


def test_data_with_a_split_of_their_own_keep_it(tmp_path):
    for part, count in (("train", 6), ("test", 3)):
        write_photos(tmp_path / "photos" / part, count)
    dataset = gather(plan(str(tmp_path / "photos")), None, tmp_path / "splits")[str(tmp_path / "photos")]
    assert (len(dataset.train), len(dataset.test)) == (18, 9)
    assert not (tmp_path / "splits").exists()


def test_each_data_set_is_read_once_and_all_that_are_named(tmp_path):
    photos = str(write_photos(tmp_path / "photos", 8))
    datasets = gather(plan("digits", protocol="cross-dataset", targets=(photos,)), None, tmp_path / "splits")
    assert list(datasets) == ["digits", photos]
    assert datasets["digits"].test == read_dataset("digits").test


def test_all_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(InputError, match=r"2 of 3 data sets cannot be read: dtd, eurosat\.$") as raised:
        gather(plan("dtd", "digits", "eurosat"), tmp_path, tmp_path / "splits")
    assert "\n" not in str(raised.value)


def test_nothing_to_learn_from(tmp_path):
    write_miniatures(["imagenet_a"], tmp_path)
    with pytest.raises(
        InputError, match=r"imagenet_a: expected training images to learn from; it has test images only"
    ):
        gather(plan("imagenet_a"), tmp_path, tmp_path / "splits")


def test_miniatures_are_written_where_missing(tmp_path):
    write_miniatures(["dtd", "digits"], tmp_path)
    before = listing(tmp_path)
    write_miniatures(["dtd"], tmp_path)
    assert listing(tmp_path) == before and (tmp_path / "dtd").is_dir()


def test_two_data_sets_of_one_name(tmp_path):
    places = [str(write_photos(tmp_path / folder / "photos", 8)) for folder in ("a", "b")]
    with pytest.raises(InputError, match="2 would share the place 'photos'"):
        gather(plan(places[0], protocol="cross-dataset", targets=(places[1],)), None, tmp_path / "splits")


def test_the_data_of_a_trial_each_once():
    assert make_trial("base-to-new", "coop").data == ["source"]
    assert make_trial("cross-dataset", "coop").data == ["source", "other"]
