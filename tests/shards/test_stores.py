"""Object stores through fsspec: its memory as a store, which fails when it is told to."""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from shard_cases import EMBED, PREDICT, outputs, work

from cocoop import RunError
from cocoop.data import LeftOut
from cocoop.shards import Job, output_folder, places, shards_of


class Failing(MemoryFileSystem):
    """Fails at `rate` of its calls, before or after they did what they should; some uploads are cut off."""

    protocol = "failing"
    store, pseudo_dirs, cachable = {}, [""], False
    rate, stream, calls, never = 0.0, random.Random(0), Counter(), ()

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).replace("failing://", "memory://", 1))

    def _tried(self, name, path, call):
        Failing.calls[name] += 1
        if any(part in path for part in Failing.never) or Failing.stream.random() < Failing.rate / 2:
            raise ConnectionError(f"{name} of {path} failed")
        result = call()
        if Failing.stream.random() < Failing.rate / 2:
            raise TimeoutError("done, but nobody said so")
        return result

    def pipe_file(self, path, value, mode="overwrite", **others):
        def upload():
            cut = value[:10] if Failing.stream.random() < Failing.rate else value
            return super(Failing, self).pipe_file(path, cut, mode, **others)

        self._tried("upload", path, upload)

    def get_file(self, path, local, **others):
        return self._tried("download", path, lambda: super(Failing, self).get_file(path, local, **others))

    def cat_file(self, path, start=None, end=None, **others):
        return self._tried("read", path, lambda: super(Failing, self).cat_file(path, start, end, **others))

    def ls(self, path, detail=True, **others):
        return self._tried("list", path, lambda: super(Failing, self).ls(path, detail, **others))

    def rm_file(self, path):
        return self._tried("remove", path, lambda: super(Failing, self).rm_file(path))


@pytest.fixture
def store(pictures, monkeypatch):
    """The tars at failing://tars/, in a store that does not fail yet; waits are counted, not waited."""
    fsspec.register_implementation("failing", Failing, clobber=True)
    monkeypatch.setattr(Failing, "store", {})
    monkeypatch.setattr(Failing, "pseudo_dirs", [""])
    monkeypatch.setattr(Failing, "rate", 0.0)
    monkeypatch.setattr(Failing, "never", ())
    monkeypatch.setattr(Failing, "stream", random.Random(0))
    monkeypatch.setattr(Failing, "calls", Counter())
    Failing.waits = []
    monkeypatch.setattr(places.time, "sleep", Failing.waits.append)
    for path in Path("tars").iterdir():
        Failing().pipe_file(f"/tars/{path.name}", path.read_bytes())
    return Failing


def stored(folder: str) -> dict[str, bytes]:
    return {
        path.rpartition("/")[2]: file.getvalue()
        for path, file in Failing.store.items()
        if path.startswith(folder) and path.endswith(".parquet")
    }


def test_from_a_store_into_a_store_as_from_a_disk_onto_a_disk(pictures, store, tmp_path):
    shards = shards_of(["failing://tars/s-*.tar"], output_folder("failing://out"), None, LeftOut())
    assert [shard.name for shard in shards] == [f"failing:///tars/s-{number}.tar" for number in range(5)]
    tally = work(Job(EMBED, "failing://out"), shards)
    assert (tally.done, tally.rows, tally.errors, tally.failed) == (5, 50, 1, [])
    tally = work(Job(EMBED, "failing://out"), shards)
    assert (tally.before, tally.rows, tally.errors) == (5, 50, 1)
    work(Job(EMBED, str(tmp_path)), shards)
    assert stored("/out/") == outputs(tmp_path) and store.waits == []


def test_lists_and_tables_into_a_store(pictures, store):
    folder = output_folder("failing://out")
    shards = shards_of(["photos", "table.parquet:picture"], folder, 25, LeftOut())
    tally = work(Job(PREDICT, "failing://out"), shards)
    assert (tally.done, tally.rows, tally.errors) == (len(shards), 100, 2) and len(shards) == 4
    assert shards_of(["photos", "table.parquet:picture"], folder, 25, LeftOut()) == shards


def test_a_store_that_fails_now_and_then_is_asked_again(pictures, store, tmp_path):
    shards = shards_of(["failing://tars/s-*.tar"], output_folder("failing://out"), None, LeftOut())
    store.rate = 0.3
    tally = work(Job(EMBED, "failing://out"), shards)
    assert (tally.done, tally.failed) == (5, []) and store.waits
    assert all(0 < wait <= places._WAIT * 2 ** (places.TRIES - 2) for wait in store.waits)
    store.rate = 0
    work(Job(EMBED, str(tmp_path)), shards)
    assert stored("/out/") == outputs(tmp_path)


@pytest.mark.parametrize(("rate", "never"), [(0.95, ()), (0.0, ("out/s-3.parquet", "tars/s-1"))])
def test_a_store_that_goes_on_failing_has_its_shards_set_aside_and_never_a_half_file(
    pictures, store, rate, never, tmp_path
):
    shards = shards_of(["failing://tars/s-*.tar"], output_folder("failing://out"), None, LeftOut())
    job = Job(EMBED, "failing://out")
    store.rate, store.never = rate, never
    if rate:
        with pytest.raises(RunError, match="the last time of 5"):  # where it is not even listed
            work(job, shards)
        for shard in shards:
            with pytest.raises(RunError, match=r"failing://.*: expected a store that answers; .* of 5\."):
                job(shard)
    else:
        tally = work(job, shards)
        assert [failure.task.stem for failure in tally.failed] == ["s-1", "s-3"] and tally.done == 3
        assert "download of /tars/s-1.tar failed" in tally.failed[0].reason
        notes = {path: json.loads(file.getvalue()) for path, file in store.store.items() if "set-aside" in path}
        assert [*notes] == ["/out/set-aside/s-1.json", "/out/set-aside/s-3.json"]
        assert store.calls["download"] >= 3 * places.TRIES
    for content in stored("/out/").values():
        assert pq.read_table(io.BytesIO(content)).num_rows == 10
    store.rate, store.never = 0.0, ()
    tally = work(job, shards)
    assert (tally.done, tally.rows, tally.failed) == (5, 50, [])
    assert not [path for path in store.store if "set-aside" in path]


def test_a_denied_store_is_not_asked_again(pictures, store, monkeypatch):
    def denied(self, path, value, **others):
        Failing.calls["denied"] += 1
        raise PermissionError("no rights")

    monkeypatch.setattr(Failing, "pipe_file", denied)
    with pytest.raises(RunError, match=r"failing://out/a.parquet: .*PermissionError: no rights, the last time of 1"):
        output_folder("failing://out").write("a.parquet", b"content")
    assert store.calls["denied"] == 1
