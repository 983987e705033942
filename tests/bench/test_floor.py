"""The floor's products, against a formula written out here and against what torch counts in the real encoder."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cocoop.bench import CONTEXT_LENGTH, SHAPES, Encoding, Floor, ImageFloor, random_clip, suffix_lengths
from cocoop.bench.floor import ROWS_AT_ONCE
from cocoop.errors import InputError


@pytest.fixture(scope="module")
def clip():
    return random_clip("tiny", "cpu")


def formula(shape, images, classes, tokens):
    """Multiply-adds by hand: in units of D^2 a row costs 3 for query, key, value, 1 for the output, 8 for the MLP."""
    rows, eot = images * (4 + tokens), images * classes
    first = 3 * images * 4 + 9 * rows
    inner = (shape.text_layers - 2) * 12 * rows
    last = 2 * rows + 10 * eot
    return (first + inner + last) * shape.text_width**2 + eot * shape.text_width * shape.joint_width


@pytest.mark.parametrize(("images", "classes"), [(1, 10), (3, 7), (1, 2000), (33, 100)])
def test_the_formula(clip, images, classes):
    tokens = sum(suffix_lengths(classes))
    floor = Floor(clip, images, classes, tokens, CONTEXT_LENGTH)
    assert floor.multiply_adds == formula(SHAPES["tiny"], images, classes, tokens)


def test_vit_b_16_and_imagenet_by_hand():
    """The figure that the formula gives for the largest case: 4,174 rows, 1,000 EOT rows."""
    assert formula(SHAPES["ViT-B/16"], 1, 1000, 4170) == 512**2 * (12 + 131 * 4174 + 10_000 + 1000)


def test_what_it_runs_is_what_it_counts(clip):
    floor = Floor(clip, 2, 50, sum(suffix_lengths(50)), CONTEXT_LENGTH)
    for run, passes in ((floor.forward, 1), (floor.forward_and_backward, 2)):
        with FlopCounterMode(display=False) as counted:
            run()
        assert counted.get_total_flops() == 2 * passes * floor.multiply_adds


def in_place(_, left, right, out_shape=None, **kwargs):
    """What torch's counter lacks: operations of `addmm_`, from the shapes of its factors."""
    return 2 * left[0] * left[1] * right[1]


@pytest.mark.parametrize("images", [1, 4])
def test_the_encoder_multiplies_hardly_more_and_never_less(clip, images):
    """Rows that fill up others cost a little. Attention, which is another operation, is not counted."""
    classes = 200
    encoding = Encoding(clip, classes, images)
    floor = Floor(clip, images, classes, sum(suffix_lengths(classes)), CONTEXT_LENGTH)
    for run, passes in ((encoding.forward, 1), (encoding.forward_and_backward, 2)):
        run()
        with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: in_place}) as counted:
            run()
        products = sum(
            count
            for name, count in counted.get_flop_counts()["Global"].items()
            if str(name) in ("aten.mm", "aten.addmm", "aten.addmm_")
        )
        at_least = 2 * passes * floor.multiply_adds
        assert at_least <= products <= 1.03 * at_least


def test_many_rows_go_in_parts_of_about_equal_size(clip):
    floor = Floor(clip, 8, 1000, 4170, CONTEXT_LENGTH)
    rows = [max(product.rows for product in part) for part in floor.parts]
    assert sum(rows) == 8 * 4174 and len(rows) == 5 and max(rows) - min(rows) <= 1 and max(rows) <= ROWS_AT_ONCE


def test_it_multiplies_with_the_towers_own_weights(clip):
    """Query, key and value of the last layer are rows of one matrix; key and value are its last two thirds."""
    (part,) = Floor(clip, 1, 5, 20, CONTEXT_LENGTH).parts
    *_, last = clip.text.layers
    key_and_value, query = (product.weight for product in part[-6:-4])
    assert torch.equal(torch.cat([query, key_and_value]), last.qkv.weight)
    assert part[-1].weight is clip.text.projection.weight


def image_formula(shape, images):
    """Multiply-adds by hand: in units of D^2 a row costs 4 for attention's linear maps and 8 for the MLP."""
    patches = (shape.image_size // shape.patch) ** 2
    rows = (shape.image_layers - 1) * (patches + 1) + 1
    width = shape.image_width
    return images * (patches * 3 * shape.patch**2 * width + rows * 12 * width**2 + width * shape.joint_width)


@pytest.mark.parametrize("images", [1, 5, 1025])
def test_the_formula_of_the_image_tower(clip, images):
    floor = ImageFloor(clip, images)
    assert floor.multiply_adds == image_formula(SHAPES["tiny"], images)
    assert len(floor.parts) == (3 if images == 1025 else 1)  # 17 rows an image


def test_vit_b_16s_image_by_hand():
    """Published: 17.5 thousand million with attention's own products and all of the last layer (2 % and 7 %)."""
    assert image_formula(SHAPES["ViT-B/16"], 1) == 196 * 768**2 + 12 * 768**2 * (11 * 197 + 1) + 768 * 512


@pytest.mark.parametrize("images", [1, 6])
def test_the_image_tower_multiplies_just_that(clip, images):
    """To the operation. Its attention, which is not a product of a weight, is not counted."""
    floor = ImageFloor(clip, images)
    with FlopCounterMode(display=False) as counted:
        floor.forward()
    assert counted.get_total_flops() == 2 * floor.multiply_adds
    pixels = torch.zeros(images, 3, 32, 32)
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: in_place}) as counted:
        clip.encode_images(pixels)
    flops = counted.get_flop_counts()["Global"]
    attention = sum(count for name, count in flops.items() if "attention" in str(name))
    assert sum(flops.values()) - attention == 2 * floor.multiply_adds


def test_a_resnet_has_no_such_floor(clip):
    resnet = SimpleNamespace(image_tower=object())
    with pytest.raises(InputError, match="image floor: expected a vision transformer; got a ResNet"):
        ImageFloor(resnet, 1)
