"""What the model sees of a user's picture, of any mode, depth, transparency and orientation; and what is refused."""

from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from own_photos import digit_images
from PIL import Image
from pixel_cases import ALPHA, COLOURS, GREY, MODES, ON_WHITE, array, save

import cocoop
from cocoop import InputError
from cocoop.clip import Preprocess
from cocoop.data import open_image, read_dataset, read_paper_dataset, write_miniature
from cocoop.features import FeatureStore, encode_pictures
from cocoop.results.schema import Figures, Parameters
from cocoop.rgb import EXIF, as_rgb, chosen_exif


def pixels(image):
    assert image.mode == "RGB"
    return np.asarray(image).astype(float)


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")  # when one is converted as the original does
@pytest.mark.parametrize(("name", "file", "image", "expected", "off"), MODES, ids=[row[0] for row in MODES])
def test_what_the_model_sees(tmp_path, name, file, image, expected, off):
    """As a file, as bytes, as an open file, and as it was made."""
    save(image, tmp_path / file)
    expected = np.asarray(expected, float)
    expected = expected if expected.ndim == 3 else expected[..., None].repeat(3, axis=2)
    seen = pixels(open_image(tmp_path / file))
    assert np.abs(seen - expected).max() <= off
    assert np.array_equal(pixels(open_image(tmp_path / file, (tmp_path / file).read_bytes())), seen)
    assert np.array_equal(pixels(open_image(tmp_path / file, exif="ignore")), seen)
    with Image.open(tmp_path / file) as opened:
        assert np.array_equal(pixels(as_rgb(opened)), seen)
    assert np.array_equal(pixels(as_rgb(image)), seen)
    with Image.open(tmp_path / file) as opened:
        assert np.array_equal(pixels(open_image(tmp_path / file, exif="original")), np.asarray(opened.convert("RGB")))


@pytest.mark.parametrize("dtype", [">u2", np.uint16, np.int32, np.float32])
def test_a_scan_has_the_same_features_at_every_depth(golden, tmp_path, dtype):
    """The same top class follows. Floats keep what the picture's own minimum and maximum are: black and white here."""
    scan = np.asarray(digit_images("seven", 1)[0].resize((40, 40)))
    scan = np.where(scan == scan.min(), 0, np.where(scan == scan.max(), 255, scan))
    array(scan, np.uint8).save(tmp_path / "8.png")
    array(scan * 257.0, dtype).save(tmp_path / "deep.tif")
    at_8, deep, opened = encode_pictures(
        golden, [tmp_path / "8.png", tmp_path / "deep.tif", Image.open(tmp_path / "deep.tif")]
    )
    assert torch.equal(at_8, deep) and torch.equal(at_8, opened)


# Orientation

CORNERS = np.kron(np.array([[0, 80], [160, 240]], np.uint8), np.ones((16, 24), np.uint8))
"""As it should look: four grey fields, no two ways to turn it alike, each larger than a JPEG's blocks of 8."""

STORED = {
    1: CORNERS,
    2: CORNERS[:, ::-1],
    3: CORNERS[::-1, ::-1],
    4: CORNERS[::-1],
    5: CORNERS.T,
    6: np.rot90(CORNERS),  # against the clock: to be turned with it
    7: np.rot90(CORNERS.T, 2),
    8: np.rot90(CORNERS, -1),
}
"""Orientation -> how a camera stores it, by the definition of the tag: where the first row and column belong."""


def oriented(path, number, **options):
    exif = Image.Exif()
    exif[0x0112] = number
    Image.fromarray(np.ascontiguousarray(STORED.get(number, CORNERS))).save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize("number", [*STORED, 0, 9])
@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.webp"])
def test_photos_stand_upright_unless_told_otherwise(tmp_path, name, number):
    path = oriented(tmp_path / name, number, lossless=True)
    assert np.abs(pixels(open_image(path))[..., 0] - CORNERS).max() <= 2
    for exif in ("ignore", "original"):
        stored = pixels(open_image(path, exif=exif))[..., 0]
        assert np.abs(stored - STORED.get(number, CORNERS)).max() <= 2


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("number", STORED)
@pytest.mark.parametrize("exif", EXIF)
def test_tiff_files_are_turned_whatever_is_said(tmp_path, number, compression, exif):
    """By Pillow."""
    path = tmp_path / "x.tif"
    stored = Image.fromarray(np.ascontiguousarray(STORED[number]))
    stored.save(path, tiffinfo={0x0112: number}, compression=compression)
    for content in (None, path.read_bytes()):
        assert np.array_equal(pixels(open_image(path, content, exif))[..., 1], CORNERS)


def test_a_deep_picture_and_a_transparent_one_are_turned_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    array(STORED[6] * 257.0, np.uint16).save(tmp_path / "deep.png", exif=exif)
    opaque = Image.fromarray(np.ascontiguousarray(STORED[6]))
    Image.merge("LA", (opaque, Image.new("L", opaque.size, 255))).save(tmp_path / "clear.png", exif=exif)
    for name in ("deep.png", "clear.png"):
        assert np.array_equal(pixels(open_image(tmp_path / name))[..., 0], CORNERS)


def test_damaged_exif_data_do_not_matter(tmp_path):
    Image.fromarray(CORNERS).save(tmp_path / "x.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12")
    with pytest.warns(UserWarning, match="EXIF"):
        assert np.array_equal(pixels(open_image(tmp_path / "x.png"))[..., 0], CORNERS)


def test_the_public_transform_does_not_cut_values_either():
    """It leaves photos as they are stored, as OpenAI's does."""
    transform = Preprocess(3)
    image = array(np.kron(GREY[:, :2], np.ones((3, 3))) * 257.0, np.uint16)
    assert torch.equal(transform(image), transform(array(np.asarray(image) / 257, np.uint8)))
    with pytest.raises(InputError, match="expected a picture with pixels; got 0 x 5 of them"):
        transform(Image.new("RGB", (0, 5)))


# Who is seen how


def test_the_papers_data_are_opened_as_the_original_does(tmp_path):
    write_miniature("dtd", tmp_path)
    assert read_paper_dataset("dtd", tmp_path).exif == "original"
    pairs = [(Image.fromarray(np.dstack([COLOURS, ALPHA])), "a"), (array(GREY * 257.0, np.uint16), "b")]
    own = read_dataset(pairs, tmp_path)
    assert own.exif == "apply"
    kept = {example.class_name: pixels(open_image(example.path)) for example in own.train}
    assert np.abs(kept["a"] - ON_WHITE).max() <= 1 and np.array_equal(kept["b"][..., 1], GREY)


@pytest.mark.parametrize(
    ("given", "learned", "data", "expected"),
    [
        (None, "apply", "apply", "apply"),
        (None, "ignore", "apply", "ignore"),
        (None, "original", "apply", "apply"),
        (None, "apply", "original", "original"),
        (None, "ignore", "original", "original"),
        ("ignore", "apply", "apply", "ignore"),
        ("ignore", "apply", "original", "ignore"),
        ("original", "apply", "apply", "original"),
    ],
)
def test_a_run_is_followed_but_for_the_papers_data(given, learned, data, expected):
    assert chosen_exif(given, learned, data) == expected


def test_another_way_is_refused():
    with pytest.raises(InputError, match="exif: expected one of apply, ignore, original; got 'upright'"):
        chosen_exif("upright", "apply")
    with pytest.raises(InputError, match="exif: expected one of apply, ignore, original; got 'upright'"):
        cocoop.PromptClassifier(exif="upright").fit([Image.new("L", (8, 8))] * 2, ["a", "b"])


def test_records_know_the_same_ways():
    for declared in (Figures, Parameters):
        assert get_args(get_type_hints(declared)["exif"]) == EXIF


def test_a_store_tells_the_ways_apart(golden, tmp_path):
    path, store = oriented(tmp_path / "x.png", 6), FeatureStore(tmp_path / "f", golden)
    plain = {exif: encode_pictures(golden, [path], exif=exif) for exif in EXIF}
    assert not torch.allclose(plain["apply"], plain["ignore"]) and torch.equal(plain["ignore"], plain["original"])
    for _ in range(2):
        for exif in EXIF:
            assert torch.allclose(encode_pictures(golden, [path], store, exif)[:], plain[exif], atol=1e-6)
            opened = encode_pictures(golden, [Image.open(path)], store, exif)[:]
            assert torch.allclose(opened, plain[exif], atol=1e-6)
