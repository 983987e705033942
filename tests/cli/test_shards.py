"""`--shards` of `cocoop predict` and `cocoop embed`: what is printed, refused, resumed; parts of a job array."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from shard_cases import outputs, png, write_tar

ZERO_SHOT = ("predict", "--clip", "tiny", "--classes", "star,heart", "--device", "cpu", "--threads", 1)
EMBED = ("embed", "--clip", "tiny", "--device", "cpu", "--threads", 1)


@pytest.fixture
def tars(tmp_path) -> list[str]:
    """Five archives of three pictures; in the last one the first is damaged."""
    for tar in range(5):
        contents = [png(3 * tar + number) for number in range(3)]
        contents[0] = contents[0][:50] if tar == 4 else contents[0]
        write_tar(tmp_path / f"tars/s-{tar}.tar", [f"{number}.png" for number in range(3)], contents)
    return [f"tars/s-{tar}.tar" for tar in range(5)]


def test_predictions_and_again(cocoop, tars):
    ran = cocoop(*ZERO_SHOT, "tars/*.tar", "--shards", "out")
    assert (ran.code, ran.out) == (1, "5 of 5 shards (0 before), 15 rows, 1 of them errors: out\n")
    assert ran.err.splitlines() == [
        "note: 5 shards by this process on cpu, 1 thread of torch and as many that decode",
        "cocoop: 1 of 15 pictures could not be read; their rows say why.",
    ]
    again = cocoop(*ZERO_SHOT, "tars/*.tar", "--shards", "out")
    assert (again.code, again.out) == (1, "5 of 5 shards (5 before), 15 rows, 1 of them errors: out\n")
    plain = cocoop(*ZERO_SHOT[:-2], *tars, "--out", "rows.parquet")
    assert plain.code == 1
    columns = ["image", "class", "error"]
    rows = pq.read_table(sorted(map(str, Path("out").glob("*.parquet"))), columns=columns).to_pylist()
    assert rows == pq.read_table("rows.parquet", columns=columns).to_pylist()


def test_parts_of_a_job_array_cover_every_shard_once(cocoop, tars):
    told = [json.loads(cocoop(*EMBED, *tars, "--shards", "out", "--shard", f"{i}/3", "--json").out) for i in range(3)]
    assert [(one["shards"], one["before"], one["done"], one["rows"]) for one in told] == [
        (2, 0, 2, 6),
        (2, 0, 2, 6),
        (1, 0, 1, 3),
    ]
    assert cocoop(*EMBED, *tars, "--shards", "whole").code == 1
    assert outputs(Path("out")) == outputs(Path("whole"))


def test_a_shard_that_is_set_aside_is_named(cocoop, tars):
    content = Path(tars[1]).read_bytes()
    Path(tars[1]).write_bytes(content[:700])
    ran = cocoop(*EMBED, *tars[:3], "--shards", "out", "--json")
    told = json.loads(ran.out)
    assert ran.code == 1 and [(one["shard"], one["stem"]) for one in told["set_aside"]] == [(tars[1], "s-1")]
    assert "cocoop: 1 of 3 shards were set aside: s-1 (tars/s-1.tar: expected a whole tar archive" in ran.err
    Path(tars[1]).write_bytes(content)
    ran = cocoop(*EMBED, *tars[:3], "--shards", "out")
    assert (ran.code, ran.out) == (0, "3 of 3 shards (2 before), 9 rows, 0 of them errors: out\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*EMBED[:-2], "tars/s-0.tar"], "embed: expected --out FILE or --shards DIR"),
        ([*EMBED, "tars/s-0.tar", "--shards", "x", "--out", "x.npy"], "--out: expected nothing beside --shards"),
        ([*EMBED, "tars/s-0.tar", "--out", "x.npy"], "--threads: expected --shards beside it"),
        ([*ZERO_SHOT, "tars/s-0.tar", "--shards", "x", "--resume"], "--resume: expected nothing beside --shards"),
        ([*ZERO_SHOT, "tars/s-0.tar", "--shards", "x", "--shard", "3/3"], "--shard: expected I/N, I from 0 to N-1"),
        ([*ZERO_SHOT, "tars/s-0.tar", "--shards", "x", "--shard", "1"], "--shard: expected I/N"),
        ([*ZERO_SHOT, "tars/s-0.tar", "--shards", "x", "--jobs", "2:1"], "--jobs: expected a number of 1 or more"),
        ([*ZERO_SHOT, "tars/s-0.tar", "--shards", "x", "--jobs", "all"], "--jobs: expected a number of 1 or more"),
        ([*ZERO_SHOT, "tars/s-0.tar", "--shards", "x", "--jobs", "1:2"], "--jobs: expected one number for processes"),
        ([*ZERO_SHOT, "tars/s-0.tar", "--shards", "x", "--runner", "dask"], "--runner: expected one of processes, ray"),
        ([*ZERO_SHOT, "none.tar", "--shards", "x"], "none.tar: expected shards; got no such file"),
        ([*ZERO_SHOT, "tars/s-0.tar", "--shards", "tars/s-0.tar"], "tars/s-0.tar: expected a folder for the outputs"),
        ([*EMBED, "tars/s-0.tar", "--shards", "x", "--dtype", "int4"], "dtype: expected one of"),
    ],
)
def test_what_cannot_work(cocoop, tars, arguments, message):
    ran = cocoop(*arguments)
    assert (ran.code, ran.out) == (2, "") and message in ran.err.splitlines()[-1], ran.err
