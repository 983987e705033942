"""A user's folder of images, one sub-folder per class."""

from os import PathLike
from pathlib import Path

from cocoop.class_names import check_class_names
from cocoop.data.examples import Example
from cocoop.errors import InputError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"})
"""File endings read as images, lower case; the endings of files are compared without regard to case."""

_LAYOUT = "one sub-folder of images per class, e.g. {root}/cat/1.jpg and {root}/dog/2.jpg"
_SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


def read_folder(root: str | PathLike[str]) -> list[Example]:
    """List the images of `root`: one sub-folder per class, labels 0..K-1 in plain string order of the names.

    Images are taken at any depth below their class folder, in string order of their path relative to it, so
    the list is the same on every system. Hidden files and folders (a leading dot), files of other types and
    files directly in `root` are left out. `class_name` is the folder's name, underscores kept.

    `InputError`: no such folder; a file; no images in sub-folders; one class only; a class without an image;
    sub-folders that are splits (train, test) and not classes; class names that a prompt cannot tell apart.
    """
    root = Path(root)
    if not root.exists():
        raise InputError(f"{root}: expected a folder of images; there is no such folder. Check the path.")
    if not root.is_dir():
        raise InputError(f"{root}: expected a folder of images; got a file. Give {_LAYOUT.format(root='FOLDER')}.")
    folders = sorted((f for f in root.iterdir() if f.is_dir() and not _hidden(f.name)), key=lambda f: f.name)
    images = {folder.name: _images(folder) for folder in folders}
    _check_layout(root, images)
    check_class_names(list(images))
    return [Example(path, label, name) for label, name in enumerate(images) for path in images[name]]


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _images(folder: Path) -> list[Path]:
    def is_image(path: Path) -> bool:
        visible = not any(map(_hidden, path.relative_to(folder).parts))
        return visible and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()

    # As one string: pathlib's own order differs between systems (case) and is not that of plain strings.
    return sorted(filter(is_image, folder.rglob("*")), key=lambda path: path.relative_to(folder).as_posix())


def _check_layout(root: Path, images: dict[str, list[Path]]) -> None:
    layout = _LAYOUT.format(root=root)
    if not any(images.values()):
        endings = " ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"{root}: expected {layout}; got no image in any sub-folder (endings read: {endings}).")
    empty = [name for name, paths in images.items() if not paths]
    if empty:
        raise InputError(
            f"{root}: expected images in every class folder; got none in {', '.join(empty)}. "
            "Add images or remove the folder."
        )
    if len(images) == 1:
        raise InputError(
            f"{root}: expected at least two classes; got only {next(iter(images))!r}. Expected layout: {layout}."
        )
    if _SPLIT_NAMES.issuperset(name.lower() for name in images):
        raise InputError(
            f"{root}: expected {layout}; got the splits {', '.join(images)}. "
            f"Give one of them, e.g. {root / next(iter(images))}."
        )
