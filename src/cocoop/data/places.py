"""Where the image files of a user's list lie: which folder its paths start from."""

from collections.abc import Sequence
from contextlib import suppress
from os.path import isfile  # unlike Path.is_file, it answers for every text
from pathlib import Path

from cocoop.errors import InputError


def find_images(listing: Path, given: Sequence[str], lines: Sequence[str]) -> tuple[list[Path], tuple[str, ...]]:
    r"""The files that the paths in `listing` name, and a note if they do not start from its folder.

    A path is absolute, or relative to the listing's folder; else all start from one folder near it: one of its
    sub-folders, the folder above, or images/ there. `images\1.jpg` is images/1.jpg where no file has the former name.

    Args:
        listing: the file that lists them, absolute.
        given: the paths as they are written.
        lines: the place of each in the file, for messages.

    Raises:
        InputError: files are missing wherever the paths start, or they start from more than one folder.
    """
    paths = [_place(listing.parent, path) for path in given]
    missing = [number for number, path in enumerate(paths) if not isfile(path)]
    if not missing:
        return paths, ()
    starts = [folder for folder in _near(listing) if all(isfile(_place(folder, path)) for path in given)]
    if len(starts) == 1:
        note = f"the paths in {listing.name} start from {starts[0]}"
        return [_place(starts[0], path) for path in given], (note,)
    where = f"{listing}, {lines[missing[0]]}: expected an image file; there is no {paths[missing[0]]} "
    if starts:
        raise InputError(
            f"{where}but all are there from {' and from '.join(map(str, starts))}. Move the file into the one meant."
        )
    raise InputError(
        f"{where}({len(missing):,} of {len(given):,} are missing). Paths are relative to {listing.parent}, or "
        "absolute. No sub-folder of it has all of them, nor has the folder above or its images/."
    )


def _near(listing: Path) -> list[Path]:
    here = listing.parent
    below: list[Path] = []
    with suppress(OSError):  # a folder that cannot be listed
        below = sorted(path for path in here.iterdir() if path.is_dir())
    return [*below, here.parent, here.parent / "images"]


def _place(folder: Path, path: str) -> Path:
    place = folder / path
    return folder / path.replace("\\", "/") if "\\" in path and not isfile(place) else place
