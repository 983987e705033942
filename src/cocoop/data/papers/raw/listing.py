"""List folders by names alone: no file is opened or asked for its status, so that a million files are quick."""

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cocoop.data.examples import Example
from cocoop.errors import InputError

_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")


def class_folders(root: Path) -> list[str]:
    """Names of the sub-folders of `root`, hidden ones left out, in plain string order (upper case first).

    `InputError`: no such folder, or none in it.
    """
    expected = f"{root}: expected one sub-folder of images per class"
    try:
        with os.scandir(root) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except OSError as error:
        raise InputError(f"{expected}; got {_reason(error)}.") from error
    if not names:
        raise InputError(f"{expected}; got no sub-folder.")
    return names


def list_examples(root: Path, folders: Sequence[str], names: Sequence[str]) -> list[Example]:
    """The images directly in `root/<folder>` for every folder, in plain string order; labels 0.. as the folders come.

    Hidden files and files of other types are left out. `InputError`: no such folder, or no image in one.
    """
    pairs = enumerate(zip(folders, names, strict=True))
    with _without_collector():
        return [Example(path, label, name) for label, (folder, name) in pairs for path in _images(root / folder)]


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keep Python from searching the growing list for garbage, which for ImageNet takes longer than the listing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _images(folder: Path) -> list[Path]:
    try:
        # `iterdir` makes a path in a third of the time of `folder / name`, which counts for ImageNet.
        named = sorted([(path.name, path) for path in folder.iterdir()])
    except OSError as error:
        raise InputError(f"{folder}: expected a folder of images; got {_reason(error)}.") from error
    images = [path for name, path in named if name.lower().endswith(_ENDINGS) and not name.startswith(".")]
    if not images:
        raise InputError(f"{folder}: expected images; got {len(named)} other files.")
    return images


def _reason(error: OSError) -> str:
    return "no such folder" if isinstance(error, FileNotFoundError) else str(error)
