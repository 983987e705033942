"""What `cocoop train` does without options, and what it says where learning did harm."""

import json

import pytest
from own_photos import DIGITS, write_photos

from cocoop.results import read_run

TRAIN = ("train", "photos", "--shots", 4, "--device", "cpu")
WORSE = "learning did worse than the hand-written prompt on these images"


@pytest.fixture
def run(cocoop, tmp_path):
    """Trains on 4 images of each of ten digits, and scores on 20 others of each."""

    def trained(*options):
        write_photos(tmp_path / "photos", 24, DIGITS)
        ran = cocoop(*TRAIN, "--out", "run", *options)
        assert ran.code == 0, ran.err
        record = read_run("run").record
        return ran, record.learning, record.results["test"].accuracy, record.zero_shot["test"].accuracy

    return trained


def test_the_bundled_clip_on_signs_is_better_than_without_learning(run):
    """With random crops, which are other signs, it ended 20 points below zero-shot."""
    ran, learning, learned, zero_shot = run()
    assert learning.augment is False and learning.epochs == 10
    assert learned > zero_shot > 80
    assert WORSE not in ran.err


def test_where_learning_did_harm_it_says_what_to_try(run):
    ran, learning, learned, zero_shot = run("--augment", "--json")
    assert learning.augment is True and learned < zero_shot
    assert f"note: {WORSE}" in ran.err and "--no-augment" in ran.err and "a lower lr than 0.002" in ran.err
    assert "fewer epochs than 10" in ran.err and "more shots" in ran.err
    told = json.loads(ran.out)
    assert told["results"]["test"]["accuracy"] == learned and any(WORSE in text for text in told["notes"])


def test_only_what_was_done_is_advised_against(run):
    ran, _, learned, zero_shot = run("--no-augment", "--lr", 100, "--epochs", 2)
    assert learned < zero_shot and WORSE in ran.err and WORSE not in ran.out
    assert "--no-augment" not in ran.err and "a lower lr than 100" in ran.err


def test_nothing_to_learn_does_no_harm(run):
    ran, _, learned, zero_shot = run("--method", "zero-shot", "--set", "templates=a cat, not {}")
    assert learned < zero_shot and WORSE not in ran.err


def test_views_of_images_that_are_learned_as_they_are(cocoop, tmp_path):
    write_photos(tmp_path / "photos")
    ran = cocoop(*TRAIN, "--out", "run", "--views", 3)
    assert ran.code == 2 and ran.err.count("\n") == 1, ran.err
    assert "views: expected nothing, because the files of the CLIP tiny say" in ran.err and "--augment" in ran.err
