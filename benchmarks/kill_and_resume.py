r"""Kill a benchmark twenty times at random moments, finish it, and compare with one that nobody disturbed.

    python benchmarks/kill_and_resume.py

Every attempt is the same `cocoop benchmark` command with two processes; a SIGKILL hits its first process, in every
other attempt its whole group at once. Of four attempts one is killed while it starts, and three some time after their
first new run, so that others are under way. Compared are all records (without seconds and memory), the learned tensors,
the predictions and the tables. Linux only, because it looks for left processes in /proc.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from cocoop.reports import format_tables, protocol_tables
from cocoop.results import read_json, read_records

KILLS = 20
SEED = 1
SEEDS = ",".join(map(str, range(1, 31)))
BENCHMARK = f"base-to-new --datasets digits --shots 1,2,4 --seeds {SEEDS} --epochs 3 --jobs 2 --device cpu"
UNEQUAL = ("seconds", "peak_memory_mb")
"""The figures of a record that differ from run to run."""


def start(out: Path) -> subprocess.Popen[bytes]:
    """The benchmark, in a session of its own."""
    command = [
        sys.executable,
        "-c",
        "from cocoop.cli import main; main()",
        "benchmark",
        *BENCHMARK.split(),
        "--out",
        str(out),
    ]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def session(leader: int) -> list[int]:
    """The living processes of a session."""
    living = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has just ended
            continue
        if int(of) == leader and state != "Z":
            living.append(int(stat.parent.name))
    return living


def outlived(leader: int, patience: float = 5.0) -> int:
    """How many processes of a session are still there after `patience` seconds. They are ended."""
    until = time.monotonic() + patience
    while session(leader) and time.monotonic() < until:
        time.sleep(0.05)
    left = session(leader)
    for process in left:
        os.kill(process, signal.SIGKILL)
    return len(left)


def records(out: Path) -> dict[str, int]:
    """The finished runs by place, and when they were written."""
    return {
        str(p.parent.relative_to(out)): p.stat().st_mtime_ns for p in out.glob("base-to-new/*/*/*/seed-*/record.json")
    }


def content(folder: Path) -> dict[str, Any]:
    """All that must be the same of a run."""
    record = {name: value for name, value in read_json(folder / "record.json").items() if name not in UNEQUAL}
    return {"record": record} | {
        name: (folder / name).read_bytes() for name in ("prompt.safetensors", "predictions.safetensors", "config.json")
    }


def finished(out: Path) -> float:
    """Run the benchmark to its end; the seconds it took."""
    started = time.monotonic()
    process = start(out)
    if process.wait():
        raise SystemExit(f"the benchmark failed with exit code {process.returncode}")
    return time.monotonic() - started


class Kill(NamedTuple):
    """moment: seconds after the start. ended: the benchmark was done by then. left: processes that outlived it."""

    moment: float
    ended: bool
    left: int


def kill(out: Path, delay: float, starting: bool, group: bool) -> Kill:
    """Start the benchmark and kill it `delay` seconds after the start, or else after its first new run."""
    before = len(records(out))
    process = start(out)
    began = time.monotonic()
    while not starting and len(records(out)) == before and process.poll() is None:
        time.sleep(0.01)
    time.sleep(delay)
    ended = process.poll() is not None
    moment = time.monotonic() - began
    if not ended:
        (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
    return Kill(moment, ended, outlived(process.pid))


def main() -> None:
    """Print a Markdown table of the kills, and what was compared."""
    stream = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder, "whole"), Path(folder, "killed")
        began = time.time()
        duration = finished(whole)
        runs = len(records(whole))
        first = min(records(whole).values()) / 1e9 - began
        print(f"`cocoop benchmark {BENCHMARK}`: {runs} runs, undisturbed {duration:.0f} s\n")
        print("| kill | after, s | of | runs done before | runs done after | processes left |")
        print("|---:|---:|---|---:|---:|---:|")
        lost, twice, orphans, early = 0, 0, 0, 0
        for number in range(1, KILLS + 1):
            before, group, starting = records(killed), number % 2 == 0, number % 4 == 1
            delay = stream.uniform(0, first if starting else 3 * (duration - first) / runs)
            moment, ended, left = kill(killed, delay, starting, group)
            after = records(killed)
            early += ended
            orphans += left
            lost += len(before.keys() - after.keys())
            twice += sum(after[run] != written for run, written in before.items() if run in after)
            who = "all at once" if group else "the first"
            print(f"| {number} | {moment:.1f} | {who} | {len(before)} | {len(after)} | {left} |", flush=True)
        before = records(killed)
        finished(killed)
        after = records(killed)
        twice += sum(after[run] != written for run, written in before.items())
        unequal = [run for run in records(whole) if content(whole / run) != content(killed / run)]
        tables = [format_tables(protocol_tables(read_records([out])), "csv") for out in (whole, killed)]
        torn = list(killed.rglob(".*.tmp")) + list(killed.rglob(".*.old"))
    print(
        f"\nThen finished. Kills that came after the end: {early}. Records lost: {lost}; torn or left over: "
        f"{len(torn)}; runs done twice: {twice}; processes that outlived a kill by 5 s: {orphans}.\n"
        f"Runs: {len(after)} of {runs}; unequal in record, prompt or predictions: {len(unequal)}; tables "
        f"{'equal' if tables[0] == tables[1] else 'unequal'}."
    )
    if lost or torn or twice or orphans or unequal or len(after) != runs or tables[0] != tables[1]:
        raise SystemExit("something was lost, torn, done twice or left behind")


if __name__ == "__main__":
    main()
