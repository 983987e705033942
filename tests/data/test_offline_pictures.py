"""What is drawn for the offline data sets: which classes, and what a shift does to a picture."""

import colorsys
from hashlib import sha256

import numpy as np
import pinned
import pytest
import torch
from PIL import Image

from cocoop import CLIP
from cocoop.data.drawn import glyphs, offline_pictures, shapes, shifts
from cocoop.data.drawn.offline import SHIFTS
from cocoop.data.drawn.signs import SIGNS
from tools.tiny_clip.choose_signs import COUNT, choose

FAMILIES = ("pictographs", "shapes")
# SHA-256 of picture 0 of every class of each split and of every shift. Where this changes on purpose, raise `_VERSION`
# in cocoop.data.drawn.offline, so that pictures on a user's disk are drawn again.
HASHES = {
    "pictographs": "719123988eb9348ff550fbc4700653acec9ad2ab8f3e6d2593b1a7e97ca943e9",
    "shapes": "c97e54d475bddfde684a70f0a1956f98641e0e2f4d9aae8c1dee442ec0423100",
}


def test_the_signs_are_those_that_look_least_alike():
    pinned.skip_unless_pinned()
    assert choose(glyphs.pictographs(), COUNT) == SIGNS


def test_the_signs_are_known_to_the_bundled_clip_by_these_names():
    known = glyphs.pictographs()
    assert {name: known.get(name) for name in SIGNS} == SIGNS
    lengths = {len(name.split()) for name in SIGNS}
    assert lengths >= {1, 2, 3, 4, 5}


def test_shapes_are_all_held_out_combinations_by_name():
    expected = [
        " ".join(word for word in (texture, colour, shape) if word != "plain")
        for texture in shapes.TEXTURES
        for colour in shapes.COLOURS
        for shape in shapes.SHAPES
        if shapes.is_held_out(texture, colour, shape)
    ]
    assert list(offline_pictures.names("shapes")) == sorted(expected)
    assert 0.09 < len(expected) / (5 * 12 * 28) < 0.12
    for name in offline_pictures.names("shapes"):
        assert offline_pictures.picture("shapes", "test", name, 3).names[0] == name


@pytest.mark.parametrize("family", FAMILIES)
def test_the_pictures_stay_what_they_are(family):
    pinned.skip_unless_pinned()
    digest = sha256()
    for name in offline_pictures.names(family):
        for split in ("train", "val", "test"):
            digest.update(offline_pictures.picture(family, split, name, 0).pixels)
        for shift in SHIFTS:
            digest.update(offline_pictures.shifted(family, shift, name, 0))
    assert digest.hexdigest() == HASHES[family]


@pytest.fixture(scope="module")
def pictures():
    return [
        offline_pictures.picture(family, "test", name, 5)
        for family in FAMILIES
        for name in offline_pictures.names(family)[::40]
    ]


def shifted(shift, picture):
    return shifts.SHIFT[shift](picture, np.random.default_rng(0))


def test_shifts_are_those_of_the_data_sets():
    assert tuple(shifts.SHIFT) == SHIFTS


def test_inverted_turns_lightness_in_one_half_and_keeps_hue(pictures):
    for picture in pictures:
        before, after = picture.pixels.reshape(-1, 3) / 255, shifted("inverted", picture).reshape(-1, 3) / 255
        hls = [np.array([colorsys.rgb_to_hls(*pixel) for pixel in pixels]) for pixels in (before, after)]
        turned = np.isclose(hls[0][:, 1], 1 - hls[1][:, 1])
        assert turned.mean() > 0.4
        assert np.array_equal(before[~turned], after[~turned])
        assert (before == after).all(axis=1).mean() > 0.4
        coloured = hls[0][:, 2] > 0.05
        apart = np.abs(hls[0][coloured, 0] - hls[1][coloured, 0])
        assert np.minimum(apart, 1 - apart).max(initial=0) < 1e-6


def test_texture_changes_the_background_only(pictures):
    for picture in pictures:
        after = shifted("texture", picture)
        assert np.array_equal(after[picture.cover == 1], picture.pixels[picture.cover == 1])
        behind = np.abs(after.astype(int) - picture.pixels)[picture.cover == 0]
        assert behind.max() <= shifts.TEXTURE_CONTRAST
        assert (behind > 0).mean() > 0.1


def test_blur_and_noise_change_how_rough_a_picture_is(pictures):
    def roughness(pixels):
        return np.abs(np.diff(pixels.astype(float), axis=0)).mean()

    for picture in pictures:
        assert roughness(shifted("blur", picture)) < roughness(picture.pixels) < roughness(shifted("noise", picture))


def test_sketch_draws_the_edge_of_a_square_and_pales_the_rest():
    pixels = np.full((32, 32, 3), (200, 20, 20), np.uint8)
    pixels[8:24, 8:24] = (20, 20, 200)
    after = shifted("sketch", offline_pictures.Picture(pixels, (), np.zeros((32, 32), np.float32)))
    assert np.array_equal(after[8, 12:20], pixels[8, 12:20])  # its edge is drawn in full
    for place in ((0, 0), (16, 16)):
        assert np.array_equal(after[place], np.rint(255 - 0.4 * (255.0 - pixels[place])))


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_the_bundled_clip_loses_some_of_its_accuracy_and_not_all(family, tiny: CLIP):
    names = offline_pictures.names(family)
    texts = tiny.encode_texts([f"a photo of a {name}." for name in names])

    def accuracy(draw):
        images = [tiny.preprocess(Image.fromarray(draw(name))) for name in names]
        nearest = (tiny.encode_images(torch.stack(images)) @ texts.T).argmax(dim=1)
        return float((nearest == torch.arange(len(names))).float().mean())

    plain = accuracy(lambda name: offline_pictures.picture(family, "test", name, 0).pixels)
    assert plain > 0.5
    for shift in SHIFTS:
        left = accuracy(lambda name, shift=shift: offline_pictures.shifted(family, shift, name, 0))
        assert 0.1 < left < plain - 0.08  # chance is below 0.01
