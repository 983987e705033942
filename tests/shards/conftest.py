"""Pictures of 24 pixels in every form that shards have, some of them damaged or twice there."""

from __future__ import annotations

from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from shard_cases import Pictures, png, write_tar


@pytest.fixture(scope="session")
def pictures_once(tmp_path_factory) -> Pictures:
    root = tmp_path_factory.mktemp("shards")
    contents = [png(3 if number == 23 else number) for number in range(50)]
    contents[7] = contents[7][:40]
    for number, content in enumerate(contents):
        path = root / "photos" / f"{number // 25}" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for tar in range(5):
        numbers = range(10 * tar, 10 * tar + 10)
        write_tar(root / f"tars/s-{tar}.tar", [f"{n:02}.png" for n in numbers], [contents[n] for n in numbers])
    cells: dict[str, Any] = {"picture": [{"bytes": content, "path": f"{n}"} for n, content in enumerate(contents)]}
    pyarrow.parquet.write_table(pyarrow.table(cells), root / "table.parquet", row_group_size=8)
    return Pictures(root, contents)


@pytest.fixture
def pictures(pictures_once, monkeypatch) -> Pictures:
    """The same, from whose folder paths are relative."""
    monkeypatch.chdir(pictures_once.root)
    return pictures_once
