"""`cocoop train` under torchrun: real processes over gloo, that learn, stop, and lose one of them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from own_photos import write_photos
from safetensors.torch import load_file

TRAIN = ("train", "photos", "--method", "coop", "--shots", "3", "--lr", "0.1", "--device", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("torchrun")
    write_photos(root / "photos")
    return root


def started(folder, *arguments, ranks=2):
    """Its processes lead a group of their own, so that none outlives a test that fails."""
    by = ("-m", "torch.distributed.run", "--nproc-per-node", str(ranks)) if ranks > 1 else ()
    command = [sys.executable, *by, "-m", "cocoop", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **pipes)


def of_cocoop(said):
    return [line for line in said.splitlines() if line.startswith(("cocoop:", "note:"))]


def children(process):
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def stopped(folder, out, stop):
    """A long training of two ranks to `out`, on which `stop` is called with torchrun and them, after some epochs."""
    process = started(folder, *TRAIN, "--batch-size", "4", "--epochs", "100000", "--out", out)
    try:
        deadline = time.monotonic() + 120
        while not (folder / f".{out}.state").exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        ranks = children(process.pid)
        stop(process.pid, ranks)
        out, said = process.communicate(timeout=60)
        assert not [rank for rank in ranks if Path(f"/proc/{rank}").exists()]
        return process.returncode, out, said
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_two_processes_learn_what_one_learns_and_one_of_them_tells(folder):
    learned = ("--batch-size", "4", "--epochs", "3", "--augment", "--validate", "--keep", "best")
    runs = [started(folder, *TRAIN, *learned, "--out", f"by-{ranks}", ranks=ranks) for ranks in (1, 2)]
    (one, of_one), (two, of_two) = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert two == one.replace("by-1", "by-2")
    assert of_cocoop(of_two) == of_cocoop(of_one)
    first, second = (load_file(folder / f"by-{ranks}" / "prompt.safetensors") for ranks in (1, 2))
    torch.testing.assert_close(second, first, rtol=0, atol=1e-6)
    records = [json.loads((folder / f"by-{ranks}" / "record.json").read_text()) for ranks in (1, 2)]
    assert [record["processes"] for record in records] == [1, 2]
    assert not (folder / ".by-2.state").exists()


def test_a_rank_that_is_killed_ends_the_other_with_one_line(folder):
    code, out, said = stopped(folder, "killed", lambda _, ranks: os.kill(ranks[1], signal.SIGKILL))
    (line,) = of_cocoop(said)
    assert line.startswith("cocoop: training: expected 2 processes that work together; rank 0 found one gone (")
    assert code == 1 and out == "" and not (folder / "killed").exists() and (folder / ".killed.state").exists()


def test_sigterm_stops_all_after_the_same_step(folder):
    code, out, said = stopped(folder, "stopped", lambda torchrun, _: os.kill(torchrun, signal.SIGTERM))
    (line,) = of_cocoop(said)
    more = r"( and [\d,]+ steps of the next)?"
    told = rf"note: training: interrupted after \d+ of 100000 epochs{more}; the same command goes on from here"
    assert re.fullmatch(told, line) and code and out == ""


def test_what_ranks_cannot_share_is_refused(cocoop, monkeypatch):
    told = {"TORCHELASTIC_RUN_ID": "none", "RANK": "1", "WORLD_SIZE": "2"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    for speaks in (True, False):
        monkeypatch.setattr("cocoop.cli.manners.may_speak", lambda speaks=speaks: speaks)
        ran = cocoop("info", "tiny")
        said = "cocoop: cocoop info: expected one process; torchrun has started 2"
        assert (ran.code, ran.out, ran.err.startswith(said)) == (2, "", speaks)
