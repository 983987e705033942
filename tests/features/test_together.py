"""Images that several ranks encode have the bits of one process's features, whoever encodes them."""

from functools import partial

import numpy as np
import pytest
import torch
from own_photos import write_photos
from thread_ranks import in_ranks

from cocoop import CLIP
from cocoop.data import ImageError
from cocoop.features import AugmentedFeatures, FeatureStore, SharedViews, read_pictures, read_together
from cocoop.ranks import ALONE


@pytest.fixture(scope="module")
def clip():
    return CLIP.load("tiny", device="cpu")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return sorted(write_photos(tmp_path_factory.mktemp("shared") / "photos").glob("*/*"))


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("stored", [False, True])
def test_pictures_have_the_bits_of_one_process(clip, pictures, tmp_path, size, stored):
    whole = read_pictures(clip, pictures, fill=True)
    left_out = [whole.contents[4:5].tobytes()]
    kept = [number for number in range(len(pictures)) if number != 4]
    for ours in in_ranks(
        size,
        lambda ranks: read_together(
            ranks, clip, pictures, FeatureStore(tmp_path, clip) if stored else None, left_out, fill=True
        ),
    ):
        assert np.array_equal(ours.contents, whole.contents) and ours.kept == kept
        assert torch.equal(ours.features, whole.features[kept])


def test_fewer_pictures_than_ranks(clip, pictures):
    whole = read_pictures(clip, pictures[:2], fill=True)
    for ours in in_ranks(4, lambda ranks: read_together(ranks, clip, pictures[:2])):
        assert torch.equal(ours.features, whole.features) and ours.kept == [0, 1]


def test_views_have_the_bits_of_one_process(clip, pictures):
    def views(ranks):
        mine = AugmentedFeatures(clip, pictures[ranks.part(len(pictures))], seed=3, epochs=3, views=2)
        source = mine if ranks is ALONE else SharedViews(ranks, mine)
        epochs = [torch.cat([*source.batches(epoch, [5, 0, 17, 3, 8], 2)]) for epoch in range(3)]
        return source.contents, len(source), epochs

    contents, count, epochs = views(ALONE)
    for theirs, their_count, ours in in_ranks(3, views):
        assert np.array_equal(theirs, contents) and their_count == count
        assert all(torch.equal(one, other) for one, other in zip(ours, epochs, strict=True))
    assert torch.equal(epochs[0], epochs[2]) and not torch.equal(epochs[0], epochs[1])


def test_an_image_that_one_rank_cannot_read_is_named_on_all(clip, pictures, tmp_path):
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"nothing")
    refused = in_ranks(2, partial(read_together, clip=clip, pictures=[*pictures, damaged]))
    assert all(isinstance(one, ImageError) and "damaged.png" in str(one) for one in refused)
