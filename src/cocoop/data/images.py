"""Image files: their bytes, and the RGB image they decode to. All image files are opened here."""

import ctypes
import os
import stat
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from os import PathLike
from pathlib import Path

from PIL import Image, UnidentifiedImageError, _imaging

from cocoop.data.formats import IMAGE_FORMATS, NEEDS, register_heic
from cocoop.errors import InputError, reason
from cocoop.rgb import Exif, as_rgb

_KNOWN = f"{', '.join(IMAGE_FORMATS[:-1])} or {IMAGE_FORMATS[-1]}"
_SHOWN = 5

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}

# A picture that does not decode is an `ImageError` with its name and the reason. What the decoders say beside it has no
# name, and is no fault where the picture decodes. Behind all other filters: a user's own rules come first.
warnings.filterwarnings("ignore", module=r"PIL\.", append=True)
with suppress(OSError, AttributeError):  # another Pillow may have no libtiff
    _libtiff = ctypes.CDLL(_imaging.__file__)  # Pillow's, which prints to the terminal by itself
    _libtiff.TIFFSetErrorHandler(None)
    _libtiff.TIFFSetWarningHandler(None)


class ImageError(InputError):
    """An image file that cannot be read, or does not decode."""


def read_bytes(path: str | PathLike[str]) -> bytes:
    """Return an image file's bytes. `ImageError` where it cannot be read."""
    try:
        _check_regular(path)
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # an `InputError` is a ValueError; so is NUL in a name
        raise _unusable(path, error) from error


def undecoded(content: bytes) -> Image.Image:
    """The bytes of an image file in one of `IMAGE_FORMATS`, opened by Pillow and not decoded yet.

    Raises what Pillow raises: `UnidentifiedImageError` for another format, `OSError`, and nearly anything for damage.
    """
    if "HEIF" in IMAGE_FORMATS:
        register_heic()
    return Image.open(BytesIO(content), formats=IMAGE_FORMATS)


def open_image(path: str | PathLike[str], content: bytes | None = None, exif: Exif = "apply") -> Image.Image:
    """Decode the image file `path` fully and return it as a Pillow image of mode RGB, 8 bits per channel: `as_rgb`.

    Of several frames the first is taken. `content` is the file's bytes, where they have been read already.

    `ImageError` names the file and the reason where it is missing, no regular file, truncated, not in one of
    `IMAGE_FORMATS`, without pixels or with values that cannot be scaled, too large for the memory, or a decompression
    bomb (more than twice `PIL.Image.MAX_IMAGE_PIXELS` pixels).
    """
    # From bytes in either case: Pillow maps a file of raw pixels by itself, and mixes up those of a turned TIFF (13.0).
    content = read_bytes(path) if content is None else content
    try:
        with undecoded(content) as image:
            return as_rgb(image, exif)
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes: struct.error, KeyError..
        raise _unusable(path, error) from error


def check_images(paths: Sequence[Path], progress: Callable[[Iterable[Path]], Iterable[Path]] = iter) -> None:
    """Decode every image of `paths`, to name all damaged files at once.

    `progress` wraps the iteration (e.g. `tqdm.tqdm`). All files are tried; then one `InputError` says how many do not
    decode and names the first five with their reasons.
    """
    with ThreadPoolExecutor() as pool:  # Pillow lets threads decode side by side
        outcomes = zip(progress(paths), pool.map(_fault, paths), strict=True)
        failures = [f"{path} ({fault})" for path, fault in outcomes if fault is not None]
    if failures:
        more = f" and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
        raise InputError(
            f"images: expected all {len(paths)} to decode; {len(failures)} do not: "
            f"{'; '.join(failures[:_SHOWN])}{more}. Replace or remove them, or save them again as {_KNOWN}."
        )


def _fault(path: Path) -> str | None:
    try:
        open_image(path)
    except ImageError as error:
        return _reason(error.__cause__ or error)
    return None


def _check_regular(path: str | PathLike[str]) -> None:
    """Raise `InputError` for a pipe, which would be waited for even against Ctrl-C, and all else that is no file."""
    kind = stat.S_IFMT(os.stat(path).st_mode)
    if kind != stat.S_IFREG:
        raise InputError(f"expected a regular file; got {_KINDS.get(kind, 'something else')}. Leave it out.")


def _unusable(path: str | PathLike[str], error: Exception) -> ImageError:
    if isinstance(error, InputError):
        return ImageError(f"{path}: {error}")
    needs = NEEDS.get(Path(path).suffix.lower())
    return ImageError(
        f"{path}: expected an image that Pillow can decode; got {_reason(error)}. "
        f"{f'{needs}; or r' if needs else 'R'}eplace or remove the file, or save it again as {_KNOWN}."
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MemoryError):
        return "a picture that is too large for the memory there is"
    if isinstance(error, UnidentifiedImageError):  # its own text names an object in memory, not the file
        return "UnidentifiedImageError: content in no format that it knows"
    return reason(error)
