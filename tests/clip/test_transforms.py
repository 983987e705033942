"""OpenAI's test transform and the training transform, against their definitions."""

import math
import random
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cocoop import InputError
from cocoop.clip import Preprocess, augment
from cocoop.clip.image.transforms import OPENAI_MEAN, OPENAI_STD, _random_box

PLAIN = Preprocess(8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def columns(width, height):
    """An image whose red channel is the column number, green the row number."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([x, y, np.zeros_like(x)], axis=2).astype(np.uint8))


# The shorter side is 8 already, so the picture is only cropped. The margin is halved with Python's round, half to
# even: 1 -> 0, 3 -> 2, 5 -> 2, 7 -> 4. (torchvision's CenterCrop, which OpenAI's transform uses, does this.)
@pytest.mark.parametrize(("margin", "first"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 2), (6, 3), (7, 4)])
def test_centre_crop_offsets(margin, first):
    wide = (PLAIN(columns(8 + margin, 8)) * 255).round()
    assert wide[0, 0].tolist() == list(range(first, first + 8))
    tall = (PLAIN(columns(8, 8 + margin)) * 255).round()
    assert tall[1, :, 0].tolist() == list(range(first, first + 8))


def test_shorter_side_becomes_the_size_and_the_longer_is_cut_off_below():
    # 300 x 200 -> int(8 * 300 / 200) = 12 wide; cropped to the middle 8.
    image = columns(300, 200).convert("RGB")
    expected = image.resize((12, 8), Image.Resampling.BICUBIC).crop((2, 0, 10, 8))
    assert np.array_equal((PLAIN(image) * 255).round().permute(1, 2, 0).numpy(), np.array(expected))


FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize(("width", "height"), [(31, 17), (17, 31), (8, 8), (9, 8), (3, 5), (1, 40)])
def test_resize_modes_and_interpolations_by_hand(width, height, interpolation):
    noise = np.random.RandomState(0).randint(0, 256, (height, width, 3), dtype=np.uint8)
    image, resample = Image.fromarray(noise), FILTERS[interpolation]

    def of(mode):
        transform = Preprocess(8, PLAIN.mean, PLAIN.std, resize_mode=mode, interpolation=interpolation)
        return (transform(image) * 255).round().permute(1, 2, 0).numpy()

    assert np.array_equal(of("squash"), np.array(image.resize((8, 8), resample)))
    scale = 8 / min(width, height)
    large = image.resize((math.floor(width * scale + 1e-9), math.floor(height * scale + 1e-9)), resample)
    left, top = round((large.width - 8) / 2), round((large.height - 8) / 2)
    assert np.array_equal(of("shortest"), np.array(large.crop((left, top, left + 8, top + 8))))


@pytest.mark.parametrize(
    ("width", "height"), [(1, 401), (401, 1), (1, 101), (2, 777), (3, 1000), (1000, 7), (13, 2000), (16, 3199)]
)
def test_a_long_strip_is_cropped_as_if_the_whole_of_it_were_resized(width, height, monkeypatch):
    noise = np.random.RandomState(0).randint(0, 256, (height, width, 3), dtype=np.uint8)
    image, sizes = Image.fromarray(noise), []
    scale = Fraction(8, min(width, height))
    large = image.resize((math.floor(width * scale), math.floor(height * scale)), Image.Resampling.BICUBIC)
    left, top = round((large.width - 8) / 2), round((large.height - 8) / 2)
    whole = np.array(large.crop((left, top, left + 8, top + 8)), dtype=int)

    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda image, size, how: sizes.append(size) or resize(image, size, how))
    cropped = (PLAIN(image) * 255).round().permute(1, 2, 0).numpy()
    # Where the length is no whole number of pixels after resizing, it is rounded: by 1/800 of a pixel at its ends.
    assert np.abs(cropped - whole).max() <= (1 if 8 * max(width, height) % min(width, height) else 0)
    assert max(*sizes[0]) <= 8 * 102


@pytest.mark.parametrize(
    ("argument", "value", "choices"),
    [
        ("resize_mode", "longest", "shortest, squash"),
        ("resize_mode", None, "shortest, squash"),
        ("interpolation", "nearest", "bicubic, bilinear"),
        ("interpolation", 3, "bicubic, bilinear"),
    ],
)
def test_other_ways_to_resize_are_refused(argument, value, choices):
    with pytest.raises(InputError, match=f"{argument}: expected one of {choices}; got {value!r}"):
        Preprocess(8, **{argument: value})


def test_a_view_is_interpolated_as_the_test_transform():
    noise = np.random.RandomState(0).randint(0, 256, (40, 50, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    bilinear = Preprocess(8, PLAIN.mean, PLAIN.std, interpolation="bilinear")
    for seed in range(10):
        generator = random.Random(seed)
        view = image.crop(_random_box(50, 40, generator)).resize((8, 8), Image.Resampling.BILINEAR)
        expected = np.array(view)[:, ::-1] if generator.random() < 0.5 else np.array(view)
        augmented = (augment(image, bilinear, random.Random(seed)) * 255).round().permute(1, 2, 0).numpy()
        assert np.array_equal(augmented, expected)


def test_normalisation_by_hand():
    pixels = Preprocess(4)(Image.new("RGB", (9, 4), (255, 0, 51)))
    assert pixels.shape == (3, 4, 4)
    assert pixels.dtype == torch.float32
    for channel, value in enumerate((1.0, 0.0, 0.2)):
        expected = (value - OPENAI_MEAN[channel]) / OPENAI_STD[channel]
        assert pixels[channel].numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "I;16", "LA"])
def test_every_mode_becomes_three_channels(mode):
    assert Preprocess(16)(Image.new(mode, (20, 30))).shape == (3, 16, 16)


@settings(deadline=None, max_examples=200)
@given(width=st.integers(1, 300), height=st.integers(1, 300), seed=st.integers(0, 2**32))
def test_random_boxes_lie_inside_with_allowed_area_and_aspect(width, height, seed):
    left, top, right, bottom = _random_box(width, height, random.Random(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    if min(width, height) >= 100:  # below, rounding to whole pixels moves both figures
        assert 0.075 <= (right - left) * (bottom - top) / (width * height) <= 1
        assert 0.72 <= (right - left) / (bottom - top) <= 1.38


def test_random_area_is_uniform():
    generator = random.Random(0)
    boxes = [_random_box(1000, 1000, generator) for _ in range(4000)]
    areas = np.array([(r - x) * (b - t) / 1e6 for x, t, r, b in boxes])
    # In a square picture, area A fits for a share min(1, -ln A / ln(4/3)) of the aspects and is drawn again otherwise:
    # the density is flat up to 3/4, its integral 0.67 + 0.119, its quartiles 0.277 and 0.474. Standard error 0.006.
    assert np.quantile(areas, [0.25, 0.5]) == pytest.approx([0.277, 0.474], abs=0.02)


def test_augmented_view_depends_on_the_generator_alone_and_flips_half_of_the_time():
    image = columns(64, 48)
    views = [augment(image, PLAIN, random.Random(seed)) for seed in range(400)]
    assert all(torch.equal(augment(image, PLAIN, random.Random(seed)), views[seed]) for seed in (0, 7))
    assert views[0].shape == (3, 8, 8)
    flipped = sum(bool(view[0, 0, 0] > view[0, 0, -1]) for view in views)
    assert 160 < flipped < 240  # 200 +- 4 standard deviations of 10


def test_crop_first_then_resize():
    """Interpolation must not see pixels outside the crop: a crop of one colour stays one colour."""
    image = Image.new("RGB", (40, 40), (0, 0, 0))
    image.paste((200, 100, 50), (0, 0, 20, 40))
    for seed in range(200):
        _, _, right, _ = _random_box(40, 40, random.Random(seed))
        if right <= 20:
            pixels = (augment(image, PLAIN, random.Random(seed)) * 255).round()
            assert pixels.flatten(1).unique(dim=1).squeeze().tolist() == [200, 100, 50]
