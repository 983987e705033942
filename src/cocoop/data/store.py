"""Pictures that are no files become files, so that all that follows deals with files only."""

import hashlib
import io
import os
from pathlib import Path
from uuid import uuid4

from PIL import Image

from cocoop.errors import InputError, RunError


def store_bytes(content: bytes, folder: Path) -> Path:
    """Keep an encoded image, byte for byte, as `<folder>/<SHA-256 of the bytes>.<format>`; return the path.

    A file that is there already is reused. A new one appears at once, whole.

    Raises:
        InputError: Pillow knows no such format. RunError: the disk refuses.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            ending = (image.format or "image").lower()
    except Exception as error:  # Pillow raises nearly anything on damaged bytes
        raise InputError(f"expected an image that Pillow can decode; got {type(error).__name__}: {error}.") from error
    return _store(content, folder / f"{hashlib.sha256(content).hexdigest()}.{ending}")


def store_image(image: Image.Image, folder: Path) -> Path:
    """Keep an open image as an RGB PNG file, pixel for pixel what `open_image` makes of it; see `store_bytes`."""
    encoded = io.BytesIO()
    image.convert("RGB").save(encoded, format="PNG")
    return store_bytes(encoded.getvalue(), folder)


def _store(content: bytes, path: Path) -> Path:
    try:
        # The size, too: a machine that lost its power may have kept the name of a file without its content.
        if path.is_file() and path.stat().st_size == len(content):
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"{path.parent}: expected a folder to write images into; got {error}.") from error
    return path
