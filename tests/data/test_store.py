import hashlib
import io
import os

import pytest
from PIL import Image

from cocoop.data import open_image
from cocoop.data.store import store_bytes, store_image
from cocoop.errors import InputError, RunError


def encoded(format: str, **options) -> bytes:
    file = io.BytesIO()
    Image.effect_mandelbrot((9, 7), (-2, -1, 1, 1), 10).convert("RGB").save(file, format=format, **options)
    return file.getvalue()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_bytes_are_kept_as_they_are_and_found_again(tmp_path, format):
    content = encoded(format)
    path = store_bytes(content, tmp_path / "new" / "folder")
    assert path.read_bytes() == content
    assert path.name == f"{hashlib.sha256(content).hexdigest()}.{format.lower()}"
    os.utime(path, ns=(5, 5))
    assert store_bytes(content, path.parent) == path and path.stat().st_mtime_ns == 5
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_lost_its_content_is_written_again(tmp_path):
    content = encoded("PNG")
    path = store_bytes(content, tmp_path)
    path.write_bytes(b"")
    assert store_bytes(content, tmp_path) == path and path.read_bytes() == content


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16", "F"])
def test_an_open_image_becomes_a_file_of_the_same_rgb_pixels(tmp_path, mode):
    image = Image.effect_mandelbrot((9, 7), (-2, -1, 1, 1), 10)
    image = image.convert("RGB").convert(mode) if mode in ("LA", "PA", "HSV") else image.convert(mode)
    path = store_image(image, tmp_path)
    assert open_image(path).tobytes() == image.convert("RGB").tobytes()
    assert store_image(image, tmp_path) == path and store_image(image.transpose(0), tmp_path) != path


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="expected an image that Pillow can decode"):
        store_bytes(b"no image", tmp_path)

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RunError, match="disk full"):
        store_bytes(encoded("PNG"), tmp_path)
    assert list(tmp_path.iterdir()) == []
