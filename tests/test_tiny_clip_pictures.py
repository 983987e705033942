"""The pictures of the bundled CLIP: the same on every run, and apart between training and testing."""

from hashlib import sha256

import numpy as np
import pinned
import pytest

from cocoop.data.drawn import offline_pictures
from cocoop.data.drawn.shapes import COLOURS, SHAPES, TEXTURES, is_held_out
from tools.tiny_clip.pictures import FAMILIES, class_names, render

# SHA-256 of the bytes and names of the first 200 pictures with seed 1 of the splits train, validation and test, one
# after the other. Taken at 7e9a5fb, from the code that drew the training pictures of the bundled weights.
HASHES = {
    "written digits": "1ecbdd8858e2b610e350a5c2039fa02ab388192082b271f2ae61f92e38901684",
    "printed digits": "85a073f7797642588e4c8df0f6b58e6c6126f5102a35c93fe31ed21c79ecc418",
    "written letters": "cec3957b178688058daf1d3d2a4c9cd034b512a20be4f41f28f5ade55a8c48b5",
    "printed letters": "d5522953985b91b700ae758d7d119d3ce88e4ca23f77cd1ada06e0a951b0673d",
    "pictographs": "5c88cffb6112205a20200b6e822e02e1a21e35a7776f5d99885dd2197bc49724",
    "shapes": "897391942baac76d523856d1dd4c811ae35a42cef306f4bf8b5ac394d5a4e6b9",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_training_pictures_of_the_bundled_weights_can_be_drawn_again(family):
    pinned.skip_unless_pinned()
    digest = sha256()
    for split in ("train", "validation", "test"):
        for index in range(200):
            picture = render(family, split, 1, index)
            digest.update(picture.pixels.tobytes() + "|".join(picture.names).encode())
    assert digest.hexdigest() == HASHES[family]


@pytest.mark.parametrize("family", ["pictographs", "shapes"])
def test_training_pictures_are_no_benchmark_pictures(family):
    """A sample of what tools/tiny_clip/check_apart.py compares in full."""
    trained = {render(family, "train", 1, index).pixels.tobytes() for index in range(1000)}
    tested = {
        offline_pictures.picture(family, split, name, 0).pixels.tobytes()
        for split in ("train", "val", "test")
        for name in offline_pictures.names(family)
    }
    assert len(trained) == 1000
    assert len(tested) == 3 * len(offline_pictures.names(family))
    assert not trained & tested


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_is_a_function_of_its_four_arguments(family):
    one = render(family, "train", 1, 5)
    assert one.pixels.shape == (32, 32, 3)
    assert one.pixels.dtype == np.uint8
    assert one.pixels.std() > 0
    again = render(family, "train", 1, 5)
    assert np.array_equal(one.pixels, again.pixels)
    assert one.names == again.names
    for other in (("test", 1, 5), ("train", 2, 5), ("train", 1, 5 + len(class_names(family)))):
        assert not np.array_equal(render(family, *other).pixels, one.pixels)


def test_held_out_combinations_are_in_no_training_picture():
    def combinations(split):
        names = {name for index in range(1500) for name in render("shapes", split, 1, index).names}
        triples = [name.split(" on ")[0].removeprefix("small ").removeprefix("large ").split(" ", 2) for name in names]
        known = (TEXTURES, COLOURS, SHAPES)  # "striped lightning bolt" names no colour
        return [t for t in triples if len(t) == 3 and all(w in words for w, words in zip(t, known, strict=True))]

    assert not any(is_held_out(*triple) for triple in combinations("train"))
    assert any(is_held_out(*triple) for triple in combinations("test"))
