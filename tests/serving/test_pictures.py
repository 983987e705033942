"""Where pictures come from: every form of source, what is left out, and nothing opened that would hang."""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from cocoop import InputError
from cocoop.data import ImageError, LeftOut
from cocoop.serving import named_pictures

ENDINGS = ["a.jpg", "b.JPEG", "c.png", "d.bmp", "e.webp", "f.gif", "g.tif", "h.TIFF"]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A working directory with `pictures/`: two folders deep, and what is no picture."""
    monkeypatch.chdir(tmp_path)
    for name in [*ENDINGS, "deep/er/ä ö,ü.png", "notes.txt", "deep/movie.mov", ".DS_Store", ".thumbnails/t.png"]:
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def listed(*sources: str) -> tuple[list[tuple[str, object]], list[str]]:
    left_out = LeftOut()
    pictures = [tuple(named) for named in named_pictures(sources, left_out)]
    return pictures, list(left_out.notes())


def pairs(*paths: str) -> list[tuple[str, str]]:
    return [(path, path) for path in paths]


ALL = [
    *(f"pictures/{name}" for name in ENDINGS[:4]),
    "pictures/deep/er/ä ö,ü.png",
    *(f"pictures/{n}" for n in ENDINGS[4:]),
]


def test_a_folder_at_any_depth_and_what_is_left_out_of_it(folder):
    pictures, left_out = listed("pictures")
    assert pictures == pairs(*ALL)
    # `.thumbnails` counts once, with all that is in it.
    assert left_out == [
        "left out files with other endings (1 .mov, 1 .txt): pictures/deep/movie.mov, pictures/notes.txt",
        "left out hidden pictures, and folders and files of systems (1): pictures/.thumbnails",
    ]


def test_links_are_followed_and_never_in_circles(folder):
    (folder / "pictures" / "deep" / "up").symlink_to(folder / "pictures")
    (folder / "other").mkdir()
    (folder / "other" / "x.png").touch()
    (folder / "pictures" / "link").symlink_to(folder / "other")
    (folder / "pictures" / "z.png").symlink_to(folder / "nowhere.png")
    assert listed("pictures")[0] == pairs(*ALL, "pictures/link/x.png", "pictures/z.png")


def test_files_are_taken_whatever_their_ending_and_in_the_order_given(folder):
    assert listed("pictures/notes.txt", "pictures/a.jpg", "pictures/notes.txt") == (
        pairs("pictures/notes.txt", "pictures/a.jpg", "pictures/notes.txt"),
        [],
    )


def test_patterns(folder):
    assert listed("pictures/*.[jp]*g")[0] == pairs("pictures/a.jpg", "pictures/c.png")
    assert listed("pictures/**/*.*")[0] == pairs(*sorted(ALL))
    assert listed("pictures/*")[1] == ["left out files with other endings (1 .txt): pictures/notes.txt"]
    (folder / "[1].png").touch()  # a file's own name
    assert listed("[1].png")[0] == pairs("[1].png")
    with pytest.raises(InputError, match=r"\*\.psd: expected a pattern that some files match"):
        named_pictures(["*.psd"], LeftOut())


def test_lists(folder, monkeypatch):
    names = ["pictures/a.jpg", "pictures/ä b.png", " c.png"]
    content = "\n".join(names[:2]).encode() + b"\r\n\n" + names[2].encode() + b"\n/no\xfftext.png"
    (folder / "list.txt").write_bytes(content)
    expected = pairs(*names, os.fsdecode(b"/no\xfftext.png"))
    assert listed("@list.txt")[0] == expected
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert listed("-")[0] == expected
    with pytest.raises(InputError, match=r"none\.txt: expected a text file.*no such file"):
        named_pictures(["@none.txt"], LeftOut())


def test_columns_of_csv_and_jsonl(folder):
    with open(folder / "pictures" / "table.csv", "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["n", "file name"], [1, "a.jpg"], [2, "deep/er/ä ö,ü.png"], [3, ""], [4]])
    rows = [{"file name": "a.jpg"}, {"file name": "deep/er/ä ö,ü.png"}, {"file name": 5}, {"other": 1}]
    (folder / "pictures" / "table.jsonl").write_text("\n\n".join(map(json.dumps, rows)) + "\n{torn")
    for table, bad in (("pictures/table.csv", 2), ("pictures/table.jsonl", 3)):
        pictures, left_out = listed(f"{table}:file name")
        assert pictures[:2] == [("a.jpg", "pictures/a.jpg"), ("deep/er/ä ö,ü.png", "pictures/deep/er/ä ö,ü.png")]
        assert [key for key, _ in pictures[2:]] == [f"{table}, row {number}" for number in range(3, 3 + bad)]
        assert all(isinstance(picture, ImageError) for _, picture in pictures[2:]) and not left_out
        with pytest.raises(InputError, match=f"{table}: expected a column 'image' with pictures; it has .*file name"):
            named_pictures([f"{table}:image"], LeftOut())
        with pytest.raises(InputError, match=f"{table}: expected the column.*file name"):
            named_pictures([table], LeftOut())


def test_columns_of_parquet(folder):
    column = [{"bytes": b"1", "path": "x.jpg"}, {"bytes": None, "path": "a.jpg"}, {"bytes": b"3", "path": None}, None]
    table = pyarrow.table({"image": column, "bytes": [b"1", b"2", b"3", None], "path": ["a.jpg", "/b.jpg", " ", None]})
    pyarrow.parquet.write_table(table, folder / "pictures" / "t.parquet")
    where = "pictures/t.parquet"
    pictures = listed(f"{where}:image")[0]
    assert pictures[:3] == [("x.jpg", b"1"), ("a.jpg", "pictures/a.jpg"), (f"{where}, row 3", b"3")]
    assert listed(f"{where}:bytes")[0][:3] == [(f"{where}, row {n}", b"%d" % n) for n in (1, 2, 3)]
    assert listed(f"{where}:path")[0][:2] == [("a.jpg", "pictures/a.jpg"), ("/b.jpg", "/b.jpg")]
    for name in ("image", "bytes", "path"):
        assert isinstance(listed(f"{where}:{name}")[0][3][1], ImageError)
    (folder / "torn.parquet").write_bytes((folder / where).read_bytes()[:-9])
    with pytest.raises(InputError, match=r"torn.parquet: expected a table"):
        named_pictures(["torn.parquet:image"], LeftOut())


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> None:
    with tarfile.open(path, mode) as file:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)


@pytest.mark.parametrize(("name", "mode"), [("x.tar", "w"), ("x.tar.gz", "w:gz")])
def test_members_of_tars(folder, name, mode):
    write_tar(folder / name, {"000.jpg": b"0", "000.cls": b"5", "sub/001.PNG": b"1", "._000.jpg": b"?"}, mode)
    assert listed(name) == (
        [(f"{name}/000.jpg", b"0"), (f"{name}/sub/001.PNG", b"1")],
        [
            f"left out files with other endings (1 .cls): {name}/000.cls",
            f"left out hidden pictures, and folders and files of systems (1): {name}/._000.jpg",
        ],
    )


@pytest.mark.parametrize("at", [3900, 2560, 2660])  # in a member's content, between two, and in a header
def test_a_torn_tar_gives_what_is_whole_and_an_error(folder, at):
    write_tar(folder / "x.tar", {"0.jpg": b"0" * 2000, "1.jpg": b"1" * 2000})
    (folder / "torn.tar").write_bytes((folder / "x.tar").read_bytes()[:at])
    pictures = listed("torn.tar", "pictures/a.jpg")[0]
    assert [key for key, _ in pictures] == ["torn.tar/0.jpg", "torn.tar", "pictures/a.jpg"]
    assert "torn.tar: expected a whole tar archive" in str(pictures[1][1])


def test_a_compressed_tar_that_ends_anywhere_is_an_error_or_whole(folder):
    write_tar(folder / "x.tar.gz", {"0.jpg": b"0" * 20}, "w:gz")
    whole = (folder / "x.tar.gz").read_bytes()
    for at in range(1, len(whole)):
        (folder / "torn.tar.gz").write_bytes(whole[:at])
        keys = [key for key, _ in listed("torn.tar.gz")[0]]
        assert keys in (["torn.tar.gz"], ["torn.tar.gz/0.jpg", "torn.tar.gz"], ["torn.tar.gz/0.jpg"]), at


def test_nothing_is_opened_before_its_turn(folder):
    os.mkfifo(folder / "pictures" / "pipe.png")
    os.mkfifo(folder / "pipe.tar")
    assert listed("pictures")[0] == pairs(*ALL)
    assert "left out pipes, sockets and devices (1): pictures/pipe.png" in listed("pictures")[1]
    # Who reads what was named or listed says that it is no regular file.
    assert listed("pictures/pipe.png")[0] == pairs("pictures/pipe.png")
    assert listed("pipe.tar")[0] == pairs("pipe.tar")
    for source in ("@pipe.tar", "none.csv:x"):
        with pytest.raises(InputError, match="expected"):
            named_pictures([source], LeftOut())
    endless = named_pictures(["pictures/a.jpg", "pictures"], LeftOut())
    assert next(endless).key == "pictures/a.jpg"


def test_a_source_that_is_not_there_is_refused_at_once(folder):
    with pytest.raises(InputError, match=r"nowhere\.jpg: expected picture files, folders.*got no such file"):
        named_pictures(["pictures", "nowhere.jpg"], LeftOut())


def test_a_million_pictures_take_no_memory(folder):
    """A stream of them is read a little at a time: a column of 20 MB, a few of its pictures at once."""
    big = Image.effect_noise((64, 64), 9).tobytes() * 10
    schema = pyarrow.schema({"image": pyarrow.binary()})
    with pyarrow.parquet.ParquetWriter(folder / "big.parquet", schema, compression="none") as writer:
        for _ in range(5):
            writer.write_table(pyarrow.table({"image": [big] * 100}, schema))
    stream = named_pictures(["big.parquet:image"], LeftOut())
    next(stream)
    assert pyarrow.total_allocated_bytes() < 15_000_000
