"""Requests of the API of `cocoop serve`, and what is in its answers."""

import io
import struct
import zlib

from PIL import Image


def send(client, *paths, to="/predict", **fields):
    files = [("image", (path.name, path.read_bytes())) for path in paths]
    return client.post(to, files=files, data=fields)


def png(width=8, height=8, color="red", kind="PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), color).save(file, kind)
    return file.getvalue()


def png_of_size(width, height) -> bytes:
    """A picture that says it is of this size, in a few bytes."""
    content = png()
    header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def error_of(answer, status):
    """The error, which is all there is, on one line."""
    assert answer.status_code == status, answer.text
    assert "\n" not in answer.text and list(answer.json()) == ["error"]
    assert answer.headers["content-type"] == "application/json"
    return answer.json()["error"]
