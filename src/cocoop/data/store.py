"""Pictures that are no files become files, so that all that follows deals with files only."""

import hashlib
import io
from pathlib import Path

from PIL import Image

from cocoop.atomic import write_whole
from cocoop.data.images import undecoded
from cocoop.errors import InputError, RunError, plainly, reason
from cocoop.rgb import as_rgb


def store_bytes(content: bytes, folder: Path) -> Path:
    """Keep an encoded image, byte for byte, as `<folder>/<SHA-256 of the bytes>.<format>`; return the path.

    A file that is there already is reused. A new one appears at once, whole.

    Raises:
        InputError: not in one of `IMAGE_FORMATS`. RunError: the disk refuses.
    """
    try:
        with undecoded(content) as image:
            ending = (image.format or "image").lower()
    except Exception as error:  # Pillow raises nearly anything on damaged bytes
        raise InputError(f"expected an image that Pillow can decode; got {type(error).__name__}: {error}.") from error
    return _store(content, folder / f"{hashlib.sha256(content).hexdigest()}.{ending}")


def store_image(image: Image.Image, folder: Path) -> Path:
    """Keep an open image as an RGB PNG file, pixel for pixel what `as_rgb` makes of it; errors as `store_bytes`."""
    encoded = io.BytesIO()
    try:
        as_rgb(image).save(encoded, format="PNG")
    except InputError:
        raise
    except Exception as error:  # its file may be damaged
        raise InputError(
            f"expected an open image that Pillow can decode; got {reason(error)}. Leave it out."
        ) from error
    return store_bytes(encoded.getvalue(), folder)


def _store(content: bytes, path: Path) -> Path:
    try:
        # The size, too: a machine that lost its power may have kept the name of a file without its content.
        stored = path.is_file() and path.stat().st_size == len(content)
    except OSError as error:
        raise RunError(
            f"{path}: expected a place for an image; got {plainly(error)}. Check the folder's rights."
        ) from error
    if not stored:
        write_whole(path, content, "an image", flush=False)
    return path
