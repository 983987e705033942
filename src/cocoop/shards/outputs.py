"""What is there in a folder of outputs: which shards are done, and whether by the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from cocoop.errors import InputError, plainly
from cocoop.features import head_of, pyarrow_parquet
from cocoop.shards.places import OutputFolder
from cocoop.shards.shard import Shard
from cocoop.shards.work import head_of_output
from cocoop.workers import Failure

_AT_ONCE = 16  # footers; a store answers each in some hundredths of a second


class Done(NamedTuple):
    """A shard whose output is there, and how many rows and errors that has."""

    shard: Shard
    rows: int
    errors: int


def done_of(shards: Sequence[Shard], folder: OutputFolder, made_of: dict[str, Any]) -> list[Done]:
    """Those of the shards whose output is there, which their footers say.

    Raises:
        InputError: an output of another run, CLIP, class list, option or shard, or what is none; names it.
    """
    names = set(folder.names())
    there = [shard for shard in shards if f"{shard.stem}.parquet" in names]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(partial(_done, folder, made_of), there))


def _done(folder: OutputFolder, made_of: dict[str, Any], shard: Shard) -> Done:
    name = f"{shard.stem}.parquet"
    try:
        with folder.open(name) as file:
            footer = pyarrow_parquet().read_metadata(file)
        head, missing = head_of(footer), _missing(footer, "error")
    except (OSError, ValueError) as error:  # pyarrow's are of these
        raise InputError(
            f"{folder.place(name)}: expected the output of a shard; got {plainly(error)}. Remove it."
        ) from error
    _check_same(folder.place(name), head, json.loads(json.dumps(head_of_output(made_of, shard))))
    return Done(shard, footer.num_rows, footer.num_rows - missing)


def _missing(footer: Any, column: str) -> int:
    """How many rows have nothing in a column, as the statistics of the row groups say. `ValueError` without these."""
    number = footer.schema.names.index(column)
    groups = [footer.row_group(group).column(number).statistics for group in range(footer.num_row_groups)]
    if not all(group is not None and group.has_null_count for group in groups):
        raise ValueError("no statistics of its errors, as where another program has written it anew")
    return sum(group.null_count for group in groups)


def _check_same(place: str, there: Any, here: dict[str, Any]) -> None:
    there = there if isinstance(there, dict) else {}
    for name in ["shard", *here, *there]:
        if there.get(name) != here.get(name) and name != "clip":  # which may lie elsewhere now; it has a fingerprint
            raise InputError(
                f"{place}: expected the output of this command, with {name} {_short(here.get(name))}; got one with "
                f"{_short(there.get(name))}. Give the same run, CLIP, classes and options as then, or another --shards."
            )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 200 else f"{text[:200]}..."


def set_aside(failures: Sequence[Failure[Shard]], folder: OutputFolder) -> None:
    """Keep why shards were set aside, a file for each; it goes when the shard is done."""
    for shard, reason in failures:
        content = json.dumps({"shard": shard.name, "error": reason}).encode() + b"\n"
        folder.write(f"set-aside/{shard.stem}.json", content)
