"""The pictures of the bundled CLIP: the same on every run, and apart between training and testing."""

import numpy as np
import pytest

from cocoop.data.pictures.shapes import COLOURS, SHAPES, TEXTURES, is_held_out
from tools.tiny_clip.pictures import FAMILIES, class_names, render


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
