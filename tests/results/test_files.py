import json
import os
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cocoop.errors import InputError, RunError
from cocoop.results import read_json, read_jsonl, write_json, write_jsonl, write_text

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
RECORDS = st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=3), max_size=5)
# Every example overwrites the same file, so one folder serves them all. Syncing to disk has no deadline.
one_folder = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@one_folder
@given(JSON)
def test_json_reads_back_equal(tmp_path, content):
    write_json(tmp_path / "x.json", content)
    assert read_json(tmp_path / "x.json") == content
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


@one_folder
@given(RECORDS)
def test_jsonl_reads_back_equal(tmp_path, written):
    path = tmp_path / "x.jsonl"
    write_jsonl(path, written)
    assert read_jsonl(path) == written
    assert path.read_bytes().count(b"\n") == len(written)


def test_floats_are_not_rounded(tmp_path):
    write_json(tmp_path / "x.json", {"accuracy": 200 / 3})
    assert "66.66666666666667" in (tmp_path / "x.json").read_text()


def test_text_that_is_no_utf_8_is_spelled_out(tmp_path):
    """A file name of Latin 1, as Python reads it on Linux."""
    write_text(tmp_path / "x.html", b"caf\xe9 \xc3\xa9".decode("utf-8", "surrogateescape"))
    assert (tmp_path / "x.html").read_text(encoding="utf-8") == "caf\\udce9 é"


def test_folders_are_made(tmp_path):
    write_json(tmp_path / "a/b/x.json", 1)
    write_jsonl(tmp_path / "c/d/x.jsonl", [{}])
    assert (read_json(tmp_path / "a/b/x.json"), read_jsonl(tmp_path / "c/d/x.jsonl")) == (1, [{}])


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_the_file_has_the_usual_rights_not_a_temporary_ones(tmp_path):
    write_json(tmp_path / "x.json", 1)
    (tmp_path / "usual").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("x.json", "usual")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError("No space left on device"), KeyboardInterrupt()])
def test_a_failure_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, broken, error):
    path = tmp_path / "record.json"
    write_json(path, {"old": 1})

    def fail(*_):
        raise error

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises((RunError, KeyboardInterrupt), match=r"No space left|^$"):
        write_json(path, {"new": 2})
    monkeypatch.undo()
    assert read_json(path) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_the_new_file_is_whole_on_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def watched_replace(source, target):
        assert done == ["fsync"]
        assert json.loads(source.read_text()) == {"new": 2}
        assert source.parent == target.parent
        replace(source, target)
        done.append("replace")

    monkeypatch.setattr(os, "fsync", lambda number: (fsync(number), done.append("fsync")))
    monkeypatch.setattr(os, "replace", watched_replace)
    write_json(tmp_path / "x.json", {"new": 2})
    assert done == ["fsync", "replace"]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"seeds": [{"loss": 1.0}, {"loss": float("nan")}]}, r"\['seeds'\]\[1\]\['loss'\] = nan"),
        ({"lr": (0.1, float("inf"))}, r"\['lr'\]\[1\] = inf"),
        (float("-inf"), "the value = -inf"),
    ],
)
def test_numbers_that_are_not_finite_are_refused_with_their_place(tmp_path, content, place):
    with pytest.raises(RunError, match=place):
        write_json(tmp_path / "x.json", content)
    with pytest.raises(RunError, match=place):
        write_jsonl(tmp_path / "x.jsonl", [content])
    assert list(tmp_path.iterdir()) == []


def test_what_json_cannot_say_is_a_type_error(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", {"path": tmp_path})
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_a_run_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"x\.json: expected to write"):
        write_json(tmp_path / "file/x.json", 1)
    with pytest.raises(RunError, match=r"x\.jsonl: expected to write"):
        write_jsonl(tmp_path / "file/x.jsonl", [{}])


def test_a_last_line_needs_no_end(tmp_path):
    path = tmp_path / "x.jsonl"
    write_jsonl(path, [{"epoch": 1}, {"epoch": 2}])
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    assert read_jsonl(path) == [{"epoch": 1}, {"epoch": 2}]
    path.write_bytes(b"")
    assert read_jsonl(path) == []


@pytest.mark.parametrize("cut", range(2, 12))
def test_a_last_line_that_is_cut_is_refused(tmp_path, cut):
    path = tmp_path / "x.jsonl"
    write_jsonl(path, [{"epoch": 1}, {"epoch": 2}])
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(InputError, match=r"x\.jsonl, line 2: expected JSON"):
        read_jsonl(path)


@pytest.mark.parametrize("read", [read_json, read_jsonl])
def test_what_is_nested_too_deeply_is_refused(tmp_path, read):
    (tmp_path / "x").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(InputError, match="expected JSON; got lists within lists, too deep"):
        read(tmp_path / "x")


@pytest.mark.parametrize("read", [read_json, read_jsonl])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{'a': 1}\n", "expected JSON; got Expecting property name"),
        (b"\n", "expected JSON; got Expecting value"),
        (b'{"a": NaN}\n', "NaN, which is not JSON"),
        (b'{"a": -Infinity}\n', "-Infinity, which is not JSON"),
        (b"\xff\n", "readable UTF-8"),
    ],
)
def test_malformed_files_are_refused(tmp_path, read, content, message):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "x")


@pytest.mark.parametrize("read", [read_json, read_jsonl])
def test_missing_files_and_folders_are_refused(tmp_path, read):
    with pytest.raises(InputError, match="there is none"):
        read(tmp_path / "x.json")
    with pytest.raises(InputError, match="expected a readable"):
        read(tmp_path)


def test_jsonl_names_the_bad_line(tmp_path):
    (tmp_path / "x").write_text('{}\n{"a"}\n{}\n')
    with pytest.raises(InputError, match="x, line 2: expected JSON"):
        read_jsonl(tmp_path / "x")
    (tmp_path / "x").write_text("{}\n{}\n[1]\n")
    with pytest.raises(InputError, match=r"line 3: expected a JSON object; got \[1\]"):
        read_jsonl(tmp_path / "x")
