"""Pictures come out the same bit by bit only with the same versions of what draws them."""

from importlib.metadata import version
from pathlib import Path

import pytest

DRAWS = ("numpy", "pillow", "matplotlib")
PINNED = dict(
    line.split("==")
    for line in (Path(__file__).parents[1] / "constraints.txt").read_text().splitlines()
    if "==" in line
)


def skip_unless_pinned() -> None:
    """Skips a test of literal hashes where other versions are installed than those of constraints.txt."""
    other = {name: version(name) for name in DRAWS if version(name) != PINNED[name]}
    if other:
        pytest.skip(f"the hashes are those of pictures drawn with the versions of constraints.txt; here is {other}")
