"""What the tests of the raw readers share: data sets of a few files, written by hand."""

from pathlib import Path

from cocoop.data import Dataset, Example


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    """Write the files (path below `root` -> content) and return `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def images(*paths: str) -> dict[str, str | bytes]:
    """Files that are there and hold nothing: readers do not open images."""
    return dict.fromkeys(paths, b"")


def listed(examples: list[Example], root: Path) -> list[tuple[str, int, str]]:
    """(path relative to `root`, label, name) of every example."""
    return [(example.path.relative_to(root).as_posix(), example.label, example.class_name) for example in examples]


def parts(dataset: Dataset, root: Path) -> dict[str, list[tuple[str, int, str]]]:
    """The three splits, by name, as `listed` gives them."""
    return {part: listed(getattr(dataset, part), root) for part in ("train", "val", "test")}
