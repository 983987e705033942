import ast
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cocoop
from cocoop.data import IMAGE_FORMATS, IMAGE_SUFFIXES, check_images, open_image
from cocoop.data.formats import register_heic
from cocoop.errors import InputError

if "HEIF" in IMAGE_FORMATS:
    register_heic()


def saved(tmp_path, image, name="image.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def palette_image():
    image = Image.new("P", (1, 1), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    return image


@pytest.mark.parametrize(
    ("image", "name", "expected"),
    [
        (Image.new("RGB", (1, 1), (1, 2, 3)), "x.png", (1, 2, 3)),
        (Image.new("L", (1, 1), 77), "x.png", (77, 77, 77)),
        (Image.new("1", (1, 1), 1), "x.png", (255, 255, 255)),
        (Image.new("LA", (1, 1), (77, 0)), "x.png", (77, 77, 77)),
        # Transparency is dropped, not blended: the colour stays although nothing of it is visible.
        (Image.new("RGBA", (1, 1), (10, 20, 30, 0)), "x.png", (10, 20, 30)),
        (palette_image(), "x.png", (200, 100, 50)),
        (palette_image(), "x.gif", (200, 100, 50)),
        # Full cyan ink takes away all red light, and only red.
        (Image.new("CMYK", (1, 1), (255, 0, 0, 0)), "x.tif", (0, 255, 255)),
    ],
    ids=["rgb", "grey", "bilevel", "grey+alpha", "rgba", "palette", "gif", "cmyk"],
)
def test_every_mode_becomes_rgb_as_in_the_original(tmp_path, image, name, expected):
    """A user's own pictures are in test_pixels_intake.py."""
    opened = open_image(saved(tmp_path, image, name), exif="original")
    assert opened.mode == "RGB"
    assert opened.getpixel((0, 0)) == expected


def test_the_image_outlives_its_file(tmp_path):
    path = saved(tmp_path, Image.new("RGB", (2, 2), (9, 9, 9)))
    opened = open_image(path)
    path.unlink()
    assert opened.getpixel((1, 1)) == (9, 9, 9)


def noise(side=64):
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow warns, then raises
@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.webp", "x.gif", "x.tif", "x.bmp"])
@pytest.mark.parametrize("kept", [0, 10, 0.5])
def test_a_cut_file_is_refused_with_its_name(tmp_path, name, kept):
    path = saved(tmp_path, noise(), name)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    with pytest.raises(InputError, match=name) as caught:
        open_image(path)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path, monkeypatch):
    (tmp_path / "x.jpg").write_text("not an image")
    with pytest.raises(InputError, match="UnidentifiedImageError"):
        open_image(tmp_path / "x.jpg")
    with pytest.raises(InputError, match="no such file"):
        open_image(tmp_path / "y.jpg")
    with pytest.raises(InputError, match=r": expected a regular file; got a folder\. Leave it out\.$"):
        open_image(tmp_path)


def test_the_formats_are_those_of_the_endings():
    assert {Image.registered_extensions()[suffix] for suffix in IMAGE_SUFFIXES} == set(IMAGE_FORMATS)


@pytest.mark.parametrize("format", [*IMAGE_FORMATS, "MPO"])
def test_a_file_is_opened_whatever_its_ending(tmp_path, format):
    options = {"save_all": True, "append_images": [noise(8)]} if format == "MPO" else {}
    path = saved(tmp_path, Image.new("RGB", (16, 8), (200, 100, 50)), "x.jpg", format=format, **options)
    with Image.open(path) as image:
        assert image.format == format
    opened = open_image(path)
    assert opened.size == (16, 8)
    assert np.abs(np.subtract(opened.getpixel((3, 3)), (200, 100, 50))).max() <= 3  # JPEG, WebP


@pytest.mark.parametrize("format", ["EPS", "TGA", "ICO"])
def test_other_formats_are_refused_though_pillow_knows_them(tmp_path, format):
    """For EPS it would start Ghostscript."""
    path = saved(tmp_path, noise(16), "x.png", format=format)
    with pytest.raises(InputError, match=r"UnidentifiedImageError.* as JPEG, PNG, BMP, WEBP, GIF, TIFF, PPM, "):
        open_image(path)


def test_image_files_are_opened_in_one_place():
    def opens(path):
        called = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        return any(ast.unparse(function) == "Image.open" for function in called)

    assert [path.name for path in Path(cocoop.__file__).parent.rglob("*.py") if opens(path)] == ["images.py"]


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    path = saved(tmp_path, Image.new("L", (100, 100)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="DecompressionBombError"):
        open_image(path)


def test_check_images_passes_good_ones_and_tells_progress(tmp_path):
    paths = [saved(tmp_path, noise(4), f"{i}.png") for i in range(3)]
    seen = []

    def progress(iterable):
        for path in iterable:
            seen.append(path)
            yield path

    check_images(paths, progress=progress)
    check_images(paths)
    assert seen == paths


def test_check_images_tells_of_all_bad_ones_at_once(tmp_path):
    good = saved(tmp_path, noise(4), "good.png")
    bad = [tmp_path / f"bad{i}.png" for i in range(7)]
    for path in bad:
        path.write_bytes(b"")
    with pytest.raises(InputError, match="all 9 to decode; 8 do not") as caught:
        check_images([good, tmp_path / "gone.png", *bad])
    message = str(caught.value)
    assert "gone.png (no such file)" in message
    assert "bad3.png" in message and "bad4.png" not in message and "and 3 more" in message
