"""Each row of `fault_cases.FAULTS`, and the page that shows them."""

from __future__ import annotations

import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fault_cases import ELSEWHERE, FAULTS
from fault_injections import injected
from own_photos import listing, write_photos

from cocoop.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(trained, monkeypatch, capsys):
    """`command("train ...")` -> exit code, stdout and stderr, which are no files here: those may not grow."""
    write_photos(trained.parent / "more", 12)
    (trained.parent / "page.html").write_text("old")
    (trained.parent / "locked").mkdir()
    (trained.parent / "temporary").mkdir()
    (trained.parent / "dangling").symlink_to("/proc/nowhere")
    monkeypatch.chdir(trained.parent)
    monkeypatch.setattr("tempfile.tempdir", str(trained.parent / "temporary"))

    def run(line: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cocoop", *line.split()])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code or 0, *capsys.readouterr())

    return run


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}: {fault.where}".replace(" ", "-"))
def test_a_fault_is_told_in_a_line_and_leaves_what_the_table_says(command, monkeypatch, tmp_path, fault):
    before = listing(tmp_path)
    with injected(fault.inject, monkeypatch):
        code, out, err = command(fault.command)
    assert (code, "Traceback" in err) == (fault.code, False), err
    assert fault.said in err.replace(f"{tmp_path}/", "")
    if code:
        assert out == "" and err.splitlines()[-1].startswith(("cocoop: ", "failed: "))
    after = listing(tmp_path)
    new = {name.split("/")[0] for name in after.keys() - before}
    assert new == fault.names and not [name for name in after if name.endswith(".tmp")]
    assert {name: after[name] for name in before} == before
    if fault.again is not None:
        code, out, err = command(f"{fault.command} {fault.again}")
        assert code == 0, err
        if "without training" in fault.left:
            assert "note: the training goes on after epoch 2 of 2" in err
        assert not [name for name in listing(tmp_path) if name.endswith((".tmp", ".state", ".lock"))]


SMALL_DISK = """
mount -t tmpfs -o size=32k tmpfs {disk} || exit 77
{train}
echo $? $(ls -A {disk})
mount -o remount,size=8m {disk}
{train}
echo $? $(ls -A {disk})
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare, of Linux")
def test_a_disk_that_is_really_full(trained, tmp_path):
    """A file system of 32 kB, with room for the state of a training and not for its run folder, and then of 8 MB."""
    (tmp_path / "disk").mkdir()
    photos, new = tmp_path / "photos", tmp_path / "disk" / "new"
    options = f"train {photos} --method coop --shots 2 --epochs 2 --lr 0.1 --device cpu --json --out {new}"
    train = f"{shlex.quote(sys.executable)} -m cocoop {options} >/dev/null"
    script = SMALL_DISK.format(disk=tmp_path / "disk", train=train)
    ran = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True)
    if ran.returncode in (1, 77):
        pytest.skip(f"this user may mount nothing: {ran.stderr.strip()}")
    said = ran.stdout.splitlines()
    assert said == ["1 .new.state new.learned.safetensors", "0 new new.learned.safetensors"], ran.stderr
    assert "got No space left on device" in ran.stderr and "goes on after epoch 2 of 2" in ran.stderr


@pytest.mark.parametrize(("file", "name"), [row[-2:] for row in ELSEWHERE])
def test_the_tests_of_the_other_rows_are_there(file, name):
    assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")


def test_the_page_has_the_table_of_these_rows(capsys):
    runpy.run_path(str(ROOT / "tools" / "fault_table.py"), run_name="__main__")
    assert capsys.readouterr().out in (ROOT / "docs" / "robustness.md").read_text(encoding="utf-8")
