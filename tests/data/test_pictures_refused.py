"""What no picture can be made of is refused in one line, with its name and the reason; a pipe is not waited for."""

import os
import socket
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from cocoop import InputError
from cocoop.data import ImageError, check_images, open_image, read_dataset
from cocoop.features import encode_pictures, encode_stream


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([[0, np.nan]], r"got nan to nan \(mode F\)"),
        ([[0, np.inf]], r"got 0 to inf \(mode F\)"),
        ([[-np.inf, 0]], r"got -inf to 0 \(mode F\)"),
        ([[0.5, 0.5]], r"got 0\.5 to 0\.5 \(mode F\)"),
    ],
)
def test_values_without_a_scale_are_refused(tmp_path, values, reason):
    Image.fromarray(np.asarray(values, np.float32)).save(tmp_path / "x.tif")
    expected = (
        rf"x\.tif: expected finite values that differ, to be scaled to 0\.\.255; {reason}\. Save it with 8 bits\.$"
    )
    with pytest.raises(ImageError, match=expected):
        open_image(tmp_path / "x.tif")
    with pytest.raises(InputError, match=reason):
        check_images([tmp_path / "x.tif"])


def png(width, height):
    """A PNG file of so many pixels, without any."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)  # fmt: skip


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_a_picture_without_pixels_is_refused(golden, tmp_path, size):
    (tmp_path / "x.png").write_bytes(png(*size))
    with pytest.raises(ImageError, match=r"x\.png: expected ") as caught:
        open_image(tmp_path / "x.png")
    assert "\n" not in str(caught.value)
    expected = rf"^image 1 of 1: expected a picture with pixels; got {size[0]} x {size[1]} of them\. Leave it out\.$"
    with pytest.raises(InputError, match=expected):
        encode_pictures(golden, [Image.new("RGB", size)])


def test_an_open_image_without_a_scale_is_named(golden):
    images = [Image.fromarray(np.float32([[0, 1]])), Image.fromarray(np.float32([[0, np.nan]]))]
    with pytest.raises(InputError, match=r"^image 2 of 2: expected finite values that differ"):
        encode_pictures(golden, images)
    (good, bad), *_ = encode_stream(golden, zip("ab", images, strict=True), lambda image: image, threads=1)
    assert good.error is None and str(bad.error).startswith("b: expected finite values that differ")


def test_an_open_image_of_a_list_is_named_by_its_number(tmp_path):
    good = (Image.new("L", (2, 2)), "a")
    for image, said in (
        (Image.fromarray(np.float32([[0, np.nan]])), "expected finite values that differ"),
        (Image.new("La", (2, 2)), "expected an open image that Pillow can decode; got ValueError: "),
    ):
        with pytest.raises(InputError, match=f"^images, number 1: {said}"):
            read_dataset([good, (image, "b")], tmp_path)


def test_too_large_for_the_memory(tmp_path, monkeypatch):
    Image.new("L", (8, 8)).save(tmp_path / "x.png")

    def convert(*_):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", convert)
    with pytest.raises(ImageError, match="got a picture that is too large for the memory there is"):
        open_image(tmp_path / "x.png")


def test_the_decoders_say_nothing_by_themselves(tmp_path):
    """libtiff writes to the terminal past Python; Pillow warns."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "x.tif", compression="tiff_lzw")
    content = bytearray((tmp_path / "x.tif").read_bytes())
    content[100:400] = noise.tobytes()[:300]
    (tmp_path / "x.tif").write_bytes(content)
    Image.fromarray(noise).save(tmp_path / "y.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12")
    script = (
        "import sys; from PIL import Image; Image.MAX_IMAGE_PIXELS = 3000\n"
        "from cocoop.data import open_image\n"
        "open_image('y.png')\n"
        "try: open_image('x.tif')\n"
        "except Exception as error: print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith("x.tif: expected an image that Pillow can decode; got OSError: ")
    assert (ran.stdout.count("\n"), ran.stderr) == (1, "")


def make_pipe(path):
    os.mkfifo(path)


def make_link_to_a_pipe(path):
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to(path.with_name("pipe"))


def make_socket(path):
    os.chdir(path.parent)  # the name of a socket may be short only
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


def make_link_to_a_device(path):
    path.symlink_to("/dev/zero")


NO_FILES = [
    (make_pipe, "a named pipe"),
    (make_link_to_a_pipe, "a named pipe"),
    (make_socket, "a socket"),
    (make_link_to_a_device, "a device"),
    (os.mkdir, "a folder"),
]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize(("make", "kind"), NO_FILES, ids=[row[0].__name__ for row in NO_FILES])
def test_only_regular_files_are_opened(tmp_path, monkeypatch, make, kind):
    """In a process of its own: what waits for a pipe, Ctrl-C does not end. The ways are all that open a picture."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "x.png")
    script = (
        "from pathlib import Path\n"
        "from cocoop.data import check_images, fingerprint, open_image, read_bytes\n"
        "from cocoop.reports.page.gallery import thumbnail\n"
        "ways = [read_bytes, open_image, fingerprint, lambda x: check_images([x]),\n"
        "        lambda x: thumbnail(x, 'apply')]\n"
        "for way in ways:\n"
        "    try: way(Path('x.png'))\n"
        "    except Exception as error: print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    lines = ran.stdout.splitlines()
    assert (len(lines), ran.stderr) == (5, "")
    assert all(f"expected a regular file; got {kind}. Leave it out." in line for line in lines)
    assert lines[0] == f"x.png: expected a regular file; got {kind}. Leave it out."


def test_a_link_to_a_file_is_followed(tmp_path):
    Image.new("RGB", (3, 2), (1, 2, 3)).save(tmp_path / "x.png")
    (tmp_path / "y.png").symlink_to(tmp_path / "x.png")
    assert open_image(tmp_path / "y.png").getpixel((2, 1)) == (1, 2, 3)
    (tmp_path / "z.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(ImageError, match=r"z\.png: expected an image that Pillow can decode; got no such file"):
        open_image(tmp_path / "z.png")
