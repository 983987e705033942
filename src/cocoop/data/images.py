"""Image files: their bytes, and the RGB image they decode to. All image files are opened here."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import IO

from PIL import Image

from cocoop.data.formats import IMAGE_FORMATS, NEEDS, register_heic
from cocoop.errors import InputError, reason

_KNOWN = f"{', '.join(IMAGE_FORMATS[:-1])} or {IMAGE_FORMATS[-1]}"
_SHOWN = 5


class ImageError(InputError):
    """An image file that cannot be read, or does not decode."""


def read_bytes(path: str | PathLike[str]) -> bytes:
    """Return an image file's bytes. `ImageError` where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _unusable(path, error) from error


def undecoded(file: str | PathLike[str] | IO[bytes]) -> Image.Image:
    """An image file in one of `IMAGE_FORMATS`, whatever its ending says, opened by Pillow and not decoded yet.

    Raises what Pillow raises: `UnidentifiedImageError` for another format, `OSError`, and nearly anything for damage.
    """
    if "HEIF" in IMAGE_FORMATS:
        register_heic()
    return Image.open(file, formats=IMAGE_FORMATS)


def open_image(path: str | PathLike[str], content: bytes | None = None) -> Image.Image:
    """Decode the image file `path` fully and return it as a Pillow image of mode RGB, 8 bits per channel.

    Same pixels as the original (`Image.open(path).convert("RGB")`, Dassl:dassl/utils/tools.py @ c61a1b57,
    `read_image`): palettes are looked up, transparency is dropped (not blended), grey is repeated, CMYK and
    16-bit are converted by Pillow's rules, of several frames the first is taken. The EXIF orientation is NOT
    applied, as in the original: a photo taken sideways stays sideways. `content` is the file's bytes, where they have
    been read already.

    `ImageError` names the file and the reason where it is missing, truncated, not in one of `IMAGE_FORMATS`, or a
    decompression bomb (more than twice `PIL.Image.MAX_IMAGE_PIXELS` pixels).
    """
    try:
        with undecoded(path if content is None else BytesIO(content)) as image:
            return image.convert("RGB")
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


def _unusable(path: str | PathLike[str], error: Exception) -> ImageError:
    needs = NEEDS.get(Path(path).suffix.lower())
    return ImageError(
        f"{path}: expected an image that Pillow can decode; got {_reason(error)}. "
        f"{f'{needs}; or r' if needs else 'R'}eplace or remove the file, or save it again as {_KNOWN}."
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "a folder, not a file"
    return reason(error)
