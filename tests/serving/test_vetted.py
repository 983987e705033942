"""A program of torch.export from a stranger runs nothing: torch's own loader would."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch

from cocoop.errors import InputError
from cocoop.serving.exported import read_exported

CALL = "__import__('pathlib').Path('ran').touch()"


@pytest.fixture
def program(exported, tmp_path, monkeypatch):
    """`program(change, more)`: the path of a copy whose description is changed, with more entries."""
    folder = exported("torch-export", features=True)
    monkeypatch.chdir(tmp_path)

    def copy(change=lambda content: content, **more: bytes) -> Path:
        for file in folder.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        with zipfile.ZipFile(folder / "model.pt2") as whole, zipfile.ZipFile(tmp_path / "model.pt2", "w") as made:
            for name in whole.namelist():
                content = whole.read(name)
                made.writestr(name, change(content) if name.endswith("models/model.json") else content)
            for name, content in more.items():
                made.writestr(name, content)
        return tmp_path

    return copy


def changed(key, value):
    """A change of a description: another value under a key, wherever that is."""

    def change(content):
        return json.dumps(replaced(json.loads(content))).encode()

    def replaced(part):
        if isinstance(part, dict):
            return {name: value if name == key else replaced(inner) for name, inner in part.items()}
        return [replaced(inner) for inner in part] if isinstance(part, list) else part

    return change


def test_a_copy_is_read(program):
    assert read_exported(program()).opened.run(torch.zeros(1, 128)).shape == (1, 3)


def test_torch_would_run_code(program, tmp_path):
    """Else the tests below prove nothing."""
    with pytest.raises(Exception):  # noqa: B017, after the call it is no expression any more
        torch.export.load(program(changed("expr_str", CALL)) / "model.pt2")
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("expr_str", CALL),
        ("expr_str", f"Mul(Integer(2), {CALL})"),
        ("guards_code", [CALL]),
        ("forward_arg_names", [f"x={CALL}"]),
        ("target", "os.system"),
        ("target", "torch.ops.aten.from_file.default"),
        ("target", "_operator.methodcaller"),
        ("buffer_name", f"x{CALL}"),
        ("in_spec", CALL),
        ("metadata", {"stack_trace": f"x\n{CALL}"}),
        (CALL, 1),
    ],
)
def test_is_refused_and_nothing_runs(program, tmp_path, key, value):
    change = (
        changed(key, value) if key != CALL else lambda content: content[:-1] + f", {json.dumps(CALL)}: 1}}".encode()
    )
    with pytest.raises(
        InputError, match=r"model\.pt2: expected a model that `cocoop export` wrote.*; got .* Export it anew\."
    ):
        read_exported(program(change))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name",
    [
        "archive/data/aotinductor/model/x.so",
        "archive/data/constants/custom_obj_0",
        "archive/../models/model.json",
        "archive/models/other.json",
        "archive/models/model.json",
        "other/models/model.json",
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # zipfile says so, and writes it
def test_more_parts_are_refused(program, name):
    with pytest.raises(InputError, match=r"which no program of this package has|two of one name|more than one folder"):
        read_exported(program(**{name: b"{}"}))
