"""An input shard gives one output: which shards there are, what the outputs hold, resumed, refused, set aside."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shard_cases import CLASSES, EMBED, PREDICT, outputs, work, write_tar

from cocoop import CLIP, InputError, Predictor
from cocoop.data import LeftOut
from cocoop.features import encode_pictures
from cocoop.serving import named_pictures
from cocoop.shards import Job, output_folder, pictures_of, shards_of

TARS = [f"tars/s-{number}.tar" for number in range(5)]


def listed(sources: list[str], out: Path, size: int | None = None) -> list:
    folder = output_folder(str(out))
    folder.prepare()
    return shards_of(sources, folder, size, LeftOut())


@pytest.mark.parametrize(
    ("sources", "size", "stems"),
    [
        (["tars/*.tar"], None, [f"s-{number}" for number in range(5)]),
        (["table.parquet:picture"], None, ["table"]),
        (["table.parquet:picture"], 16, ["table-00000", "table-00001", "table-00002", "table-00003"]),
        (["photos", "photos/0/*.png"], 30, ["pictures-000000", "pictures-000001", "pictures-000002"]),
        (["photos", "tars/s-1.tar"], None, ["s-1", "pictures-000000"]),
    ],
)
def test_shards_hold_the_pictures_of_their_sources_in_order(pictures, tmp_path, sources, size, stems):
    shards = listed(sources, tmp_path, size)
    assert [shard.stem for shard in shards] == stems
    got = [named for shard in shards for named in pictures_of(shard)]
    plain = sorted(sources, key=lambda source: source.startswith("photos"))  # lists come last
    expected = list(named_pictures([*TARS] if "*.tar" in plain[0] else plain, LeftOut()))
    assert [named.key for named in got] == [named.key for named in expected]
    read = [Path(p).read_bytes() if isinstance(p, str) else p for _, p in got]
    assert read == [Path(p).read_bytes() if isinstance(p, str) else p for _, p in expected]


def test_predictions_are_those_of_the_predictor_and_embeddings_those_of_the_tower(pictures, tmp_path):
    shards = listed(["tars/*.tar"], tmp_path)
    tally = work(Job(PREDICT, str(tmp_path / "predicted")), shards)
    assert (tally.done, tally.before, tally.rows, tally.errors, tally.failed) == (5, 0, 50, 1, [])
    table = pq.read_table(sorted((tmp_path / "predicted").glob("*.parquet")))
    predictor = Predictor.zero_shot("tiny", CLASSES, device="cpu", top=2)
    expected = predictor({"image": pictures.contents})
    assert table["image"].to_pylist() == [f"tars/s-{n // 10}.tar/{n:02}.png" for n in range(50)]
    assert table["class"].to_pylist() == expected["class"]
    good = [n for n in range(50) if n != 7]
    probabilities = table["probability"].to_pylist()
    # Other batches than those of the predictor: float32 features differ by 2e-7, times a logit scale of 100.
    assert [probabilities[n] for n in good] == pytest.approx([expected["probability"][n] for n in good], abs=1e-4)
    assert probabilities[7] is None and "tars/s-0.tar/07.png: expected an image" in table["error"][7].as_py()

    work(Job(EMBED, str(tmp_path / "embedded")), shards)
    table = pq.read_table(sorted((tmp_path / "embedded").glob("*.parquet")))
    assert table["image"].to_pylist() == [f"tars/s-{n // 10}.tar/{n:02}.png" for n in range(50)]
    vectors = table["embedding"].to_pylist()
    paths = [f"photos/{n // 25}/{n:02}.png" for n in good]
    features = encode_pictures(CLIP.load("tiny", device="cpu"), paths).numpy()
    assert vectors[7] is None and np.array_equal(np.float32([vectors[n] for n in good]), features)
    contents = table["content"].to_pylist()
    assert [contents[n] for n in good] == [sha256(pictures.contents[n]).digest() for n in good]
    assert contents[7] is None and contents[3] == contents[23]


def test_pictures_of_one_content_are_encoded_once(pictures, tmp_path, monkeypatch):
    write_tar(tmp_path / "same.tar", [f"{n}.png" for n in range(100)], [pictures.contents[n % 4] for n in range(100)])
    encoded = []
    encode = CLIP.encode_images
    monkeypatch.setattr(CLIP, "encode_images", lambda self, pixels: encoded.append(pixels) or encode(self, pixels))
    tally = work(Job(EMBED, str(tmp_path / "out")), listed([str(tmp_path / "same.tar")], tmp_path / "out"))
    assert tally.rows == 100 and len(encoded) == 1
    vectors = pq.read_table(tmp_path / "out/same.parquet")["embedding"].to_pylist()
    assert vectors == vectors[:4] * 25 and vectors[0] != vectors[1]
    assert sum(not (encoded[0][n] == encoded[0][m]).all() for n in range(4) for m in range(n)) == 6


def test_every_output_has_a_line_and_no_time_in_it(pictures, tmp_path):
    shards = listed(TARS, tmp_path)
    for name in ("one", "two"):
        work(Job(PREDICT, str(tmp_path / name)), shards)
    one, two = outputs(tmp_path / "one"), outputs(tmp_path / "two")
    assert one == two and sorted(one) == [f"s-{number}.parquet" for number in range(5)]
    lines = [json.loads((tmp_path / f"one/manifest/s-{number}.json").read_text()) for number in range(5)]
    assert [(line["output"], line["shard"], line["rows"], line["errors"]) for line in lines] == [
        (f"s-{number}.parquet", tar, 10, int(number == 0)) for number, tar in enumerate(TARS)
    ]
    assert all(line["seconds"] > 0 and len(line["code"]) == 64 for line in lines)
    assert lines[0]["made_of"]["clip_fingerprint"] == CLIP.load("tiny", device="cpu").fingerprint


def test_what_is_there_is_done(pictures, tmp_path):
    shards, job = listed(TARS, tmp_path), Job(PREDICT, str(tmp_path / "out"))
    assert work(job, shards[:2]).done == 2
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    tally = work(job, shards)
    assert (tally.before, tally.done, tally.rows, tally.errors) == (2, 5, 50, 1)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    tally = work(job, shards)
    assert (tally.before, tally.done, tally.rows, tally.errors) == (5, 5, 50, 1)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (replace(PREDICT, classes=("star", "heart")), "with classes "),
        (replace(PREDICT, answers={**PREDICT.answers, "top": 3}), "with top 3; got one with 2"),
        (replace(PREDICT, embeddings=True), "with embeddings true; got one with false"),
        (EMBED, 'with of "embed"; got one with "predict"'),
    ],
)
def test_outputs_of_something_else_are_refused_by_name(pictures, tmp_path, other, told):
    shards = listed(TARS[:1], tmp_path)
    work(Job(PREDICT, str(tmp_path / "out")), shards)
    with pytest.raises(InputError, match=rf"s-0\.parquet: expected the output of this command, {told}"):
        work(Job(other, str(tmp_path / "out")), shards)


def test_outputs_of_another_run_or_shard_and_files_that_are_none_are_refused(pictures, tmp_path):
    (tmp_path / "other").mkdir()
    shutil.copy("tars/s-1.tar", tmp_path / "other/s-0.tar")
    job = Job(PREDICT, str(tmp_path / "out"))
    work(job, listed(TARS[:1], tmp_path))
    with pytest.raises(InputError, match=r'with shard .*other/s-0\.tar.*; got one with .*"tars/s-0\.tar"'):
        work(job, listed([str(tmp_path / "other/s-0.tar")], tmp_path))
    (tmp_path / "out/s-1.parquet").write_bytes(outputs(tmp_path / "out")["s-0.parquet"][:-5])
    with pytest.raises(InputError, match=r"s-1\.parquet: expected the output of a shard; got .*Remove it"):
        work(job, listed(TARS[1:2], tmp_path))


@pytest.mark.parametrize("head", [b"{", b"[]"])
def test_a_file_that_only_looks_like_an_output_is_refused(pictures, tmp_path, head):
    """Another program's Parquet file, with metadata under our name that is damaged, and without our columns."""
    job, shards = Job(PREDICT, str(tmp_path / "out")), listed(TARS[:1], tmp_path)
    (tmp_path / "out").mkdir(exist_ok=True)
    table = pa.table({"image": ["a"]}).replace_schema_metadata({b"cocoop": head})
    pq.write_table(table, tmp_path / "out/s-0.parquet")
    with pytest.raises(InputError, match=r"s-0\.parquet: expected the output of a shard; got .*Remove it"):
        work(job, shards)


def test_an_output_that_was_written_anew_without_statistics_is_refused(pictures, tmp_path):
    job, shards, output = Job(PREDICT, str(tmp_path / "out")), listed(TARS[:1], tmp_path), tmp_path / "out/s-0.parquet"
    work(job, shards)
    pq.write_table(pq.read_table(output), output)
    work(job, shards)  # with statistics it is what it was
    pq.write_table(pq.read_table(output), output, write_statistics=False)
    with pytest.raises(InputError, match=r"s-0\.parquet: .*got no statistics of its errors.*Remove it"):
        work(job, shards)


def test_a_list_stays_as_it_was_made(pictures, tmp_path):
    shutil.copytree("photos", tmp_path / "photos")
    source, out = [str(tmp_path / "photos")], tmp_path / "out"
    shards = listed(source, out, 20)
    shutil.copy(tmp_path / "photos/0/00.png", tmp_path / "photos/0/000.png")
    assert listed(source, out, 20) == shards and len(shards) == 3
    with pytest.raises(InputError, match=r"list of pictures of the same pictures of a shard, 30; got 20"):
        listed(source, out, 30)
    with pytest.raises(InputError, match="list of pictures of the same sources"):
        listed(["photos"], out, 20)


def test_a_list_that_somebody_changed_sets_its_shards_aside(pictures, tmp_path):
    shards = listed(["photos"], tmp_path / "out", 25)
    path = tmp_path / "out/pictures.jsonl"
    path.write_bytes(path.read_bytes().replace(b"0/12.png", b'0"12.png'))  # of one length
    tally = work(Job(PREDICT, str(tmp_path / "out")), shards)
    [(shard, reason)] = tally.failed
    assert (shard.stem, tally.done) == ("pictures-000000", 1) and "expected a list of pictures as `--shards`" in reason


def test_a_clip_may_lie_elsewhere_and_the_list_of_the_first_is_the_list(pictures, tmp_path, monkeypatch):
    shards, job = listed(TARS[:1], tmp_path), Job(PREDICT, str(tmp_path / "out"))
    work(job, shards)
    made_of = {**PREDICT.made_of(), "clip": "elsewhere"}
    monkeypatch.setattr(type(PREDICT), "made_of", lambda self: made_of)
    assert work(Job(PREDICT, str(tmp_path / "out")), shards).before == 1
    folder = output_folder(str(tmp_path / "lists"))
    for parts in ([b"first"], [b"second"]):
        folder.write_first("list", iter(parts))
    monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    folder.write_first("list", iter([b"third"]))
    folder.write_first("other", iter([b"fourth"]))
    assert {path.name: path.read_bytes() for path in (tmp_path / "lists").iterdir()} == {
        "list": b"first",
        "other": b"fourth",
    }


def test_a_damaged_shard_is_set_aside_and_named_and_tried_again_later(pictures, tmp_path):
    shutil.copytree("tars", tmp_path / "tars")
    torn = tmp_path / "tars/s-2.tar"
    whole = torn.read_bytes()
    torn.write_bytes(whole[: len(whole) // 2 + 100])
    job = Job(PREDICT, str(tmp_path / "out"))
    tally = work(job, listed([f"{tmp_path}/tars/*.tar"], tmp_path))
    [(shard, reason)] = tally.failed
    assert (tally.done, shard.stem) == (4, "s-2") and "s-2.tar: expected a whole tar archive" in reason
    note = tmp_path / "out/set-aside/s-2.json"
    assert json.loads(note.read_text()) == {"shard": str(torn), "error": reason}
    assert sorted(outputs(tmp_path / "out")) == [f"s-{number}.parquet" for number in (0, 1, 3, 4)]
    torn.write_bytes(whole)
    tally = work(job, listed([f"{tmp_path}/tars/*.tar"], tmp_path))
    assert (tally.before, tally.done, tally.failed, note.exists()) == (4, 5, [], False)


def test_a_shard_is_begun_three_times(pictures, tmp_path, monkeypatch):
    began = []

    def fails(self, shard, table):
        began.append(shard.stem)
        if shard.stem == "s-1" and began.count("s-1") < 3:
            raise RuntimeError("no luck")
        if shard.stem == "s-3":
            raise MemoryError
        return 0, 0

    monkeypatch.setattr(type(PREDICT), "write", fails)
    tally = work(Job(PREDICT, str(tmp_path / "out")), listed(TARS, tmp_path))
    assert [began.count(f"s-{number}") for number in range(5)] == [1, 3, 1, 3, 1]
    assert [(failure.task.stem, tally.done) for failure in tally.failed] == [("s-3", 4)]
    assert tally.failed[0].reason.startswith("MemoryError")


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        (["nowhere/*.tar"], "nowhere/.*: expected shards; got no such file"),
        (["table.parquet:image"], "expected a column 'image' with pictures; it has picture"),
        (["tars/s-0.tar", "more/s-0.tar"], "expected shards of different names.*Rename one"),
        (["memory://bucket/photos/"], r"expected the URL or a pattern of \.tar archives"),
        (["nothing://bucket/s.tar"], "expected a URL that fsspec knows; got"),
        (["nowhere"], "nowhere: expected picture files"),
        (["more"], "more: expected pictures; got none"),
    ],
)
def test_what_cannot_work_is_refused(pictures, tmp_path, sources, told):
    write_tar(Path("more/s-0.tar"), [], [])
    with pytest.raises(InputError, match=told):
        listed(sources, tmp_path)
    assert not (tmp_path / "pictures.jsonl").exists()
