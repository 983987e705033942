r"""Kill commands fifty times at random moments, finish them, and compare with what nobody disturbed.

    python benchmarks/kill_and_resume.py

The commands are a training by each method and, between them, `embed` with a feature cache, `benchmark` with two
processes, `predict` and `report`, in turn. A SIGKILL hits the command and all its processes, or in every other turn
its first process alone; of three attempts one is killed while it starts, and two some time after they got further.
Then the same command is started again, which is killed at its next turn; one that has made everything before it is
killed is compared and begun anew. At the end all are finished. Compared are, byte for byte, learned tensors,
predictions, configurations, pictures, rows, features, pages, and records and histories without seconds and memory.
How far a command is counts steps that are kept (of a whole epoch 1,000), blocks of features, runs or rows. Linux
only: it looks for left processes in /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import safe_open

from cocoop import METHODS
from cocoop.results import read_json, read_jsonl

SEED = 1
TICK = 0.02  # seconds between two looks at how far a command is
UNEQUAL = ("seconds", "peak_memory_mb")
"""The figures of records and histories that differ from run to run."""

TRAIN = "train ../../photos --shots 4 --device cpu --out run --method"
LONG = "--epochs 60 --batch-size 2 --augment --views 2 --validate --keep best --checkpoint-every 5"
BENCHMARK = "benchmark few-shot --datasets digits --methods coop,cocoop --shots 1,2 --seeds 1,2,3 --epochs 3 --jobs 2"


@dataclass(eq=False)
class Work:
    """A command, what it makes, and how far it is.

    out: the name of the file or folder that it makes. far: folder that it works in -> a number that never falls.
    seconds, start: of the undisturbed command, to its end and to its first step. expected: what that made.
    """

    name: str
    command: str
    out: str
    far: Callable[[Path], int]
    seconds: float = 0.0
    start: float = 0.0
    expected: dict[str, bytes] = field(default_factory=dict)


def works() -> list[Work]:
    """In their turn: each method's training, and between two of them one of the others."""
    trainings = [
        Work(f"train {method}", f"{TRAIN} {method} {LONG if cls.recipe else ''}".rstrip(), "run", steps)
        for method, cls in METHODS.items()
    ]
    others = [
        Work("embed", "embed ../../pictures --clip tiny --feature-cache cache --out f.npy", "f.npy", blocks),
        Work("benchmark", f"{BENCHMARK} --device cpu --out b", "b/few-shot", lambda at: len(records(at))),
        Work("predict", "predict ../../run ../../pictures --resume --device cpu --out rows.csv", "rows.csv", rows),
        Work("report", "report ../../b --format html --out page.html", "page.html", lambda at: 0),
    ]
    return [work for pair in zip(trainings, cycle(others), strict=False) for work in pair]


def steps(at: Path) -> int:
    """How many steps of a training are kept, about: epochs count a thousand, and a finished one a million."""
    state = at / ".run.state"
    try:
        with safe_open(state, "np") as file:
            told = json.loads(file.metadata()["training"])
    except FileNotFoundError:
        return 1_000_000 if (at / "run").exists() else 0
    return 1000 * len(told["history"]) + (told["begun"]["steps"] if told["begun"] else 0)


def blocks(at: Path) -> int:
    """The files of a feature cache."""
    return len([*at.rglob("*.features")])


def rows(at: Path) -> int:
    """The lines of the predictions, none where there is no file."""
    path = at / "rows.csv"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def records(at: Path) -> list[Path]:
    """The finished runs of a benchmark."""
    return [path for path in (at / "b").glob("few-shot/*/*/*/seed-*/record.json") if path.is_file()]


def made(at: Path, work: Work) -> dict[str, bytes]:
    """What a command has made so far, by place: all that must be the same in the end."""
    place = at / work.out
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    hidden = [path for path in files if any(part.startswith(".") for part in path.relative_to(at).parts)]
    return {str(path.relative_to(at)): content(path) for path in files if path not in hidden}


def content(path: Path) -> bytes:
    """Of a file, without what differs from run to run. The card repeats the record, seconds too."""
    if path.name == "README.md":
        return b""
    if path.name == "record.json":
        return json.dumps({name: value for name, value in read_json(path).items() if name not in UNEQUAL}).encode()
    if path.name == "metrics.jsonl":
        return json.dumps([line | dict.fromkeys(UNEQUAL) for line in read_jsonl(path)]).encode()
    return path.read_bytes()


def torn(at: Path, work: Work) -> int:
    """How many files under their final names are not those of the undisturbed command; rows may be fewer."""
    return sum(
        not work.expected.get(name, b"").startswith(found) if name == "rows.csv" else work.expected.get(name) != found
        for name, found in made(at, work).items()
    )


def left_over(at: Path) -> int:
    """Unfinished files, states and locks."""
    return sum(path.name.endswith((".tmp", ".state", ".lock")) for path in at.rglob(".*"))


def start(at: Path, work: Work) -> subprocess.Popen[bytes]:
    """The command in its folder, in a session of its own."""
    at.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cocoop", *work.command.split()]
    return subprocess.Popen(
        command, cwd=at, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


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


def finish(at: Path, work: Work) -> tuple[float, float]:
    """Run a command to its end: the seconds that it took, and those until it got further."""
    began, before, further = time.monotonic(), work.far(at), None
    process = start(at, work)
    while process.poll() is None:
        if further is None and work.far(at) > before:
            further = time.monotonic() - began
        time.sleep(TICK)
    if process.returncode:
        raise SystemExit(f"{work.name}: the command failed with exit code {process.returncode}")
    seconds = time.monotonic() - began
    return seconds, seconds if further is None else further


def kill(at: Path, work: Work, stream: random.Random, starting: bool, group: bool) -> tuple[float, bool, int]:
    """Start and kill a command: the seconds it had, whether it had ended by then, and processes that outlived it."""
    before, began = work.far(at), time.monotonic()
    process = start(at, work)
    while not starting and work.start < work.seconds and work.far(at) == before and process.poll() is None:
        time.sleep(TICK)
    rest = work.start if starting else (work.seconds - work.start) / 3 or work.seconds
    time.sleep(stream.uniform(0, rest))
    ended, moment = process.poll() is not None, time.monotonic() - began
    if not ended:
        (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
    elif process.returncode:
        raise SystemExit(f"{work.name}: the command failed with exit code {process.returncode}")
    return moment, ended, outlived(process.pid)


def prepare(root: Path, pictures: int) -> None:
    """What the commands read: photos to learn from, pictures to classify, a run, and a benchmark."""
    rng = np.random.default_rng(SEED)
    places = [root / "photos" / name / f"{n}.png" for name in ("one", "two", "three") for n in range(12)]
    places += [root / "pictures" / f"{n:05}.png" for n in range(pictures)]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        coarse.resize((32, 32), Image.Resampling.BICUBIC).save(place)
    for command in ("train photos --shots 4 --epochs 2 --device cpu --out run", f"{BENCHMARK} --device cpu --out b"):
        subprocess.run([sys.executable, "-m", "cocoop", *command.split()], cwd=root, check=True, capture_output=True)


def main() -> None:
    """Print a Markdown table of the kills, and what was compared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pictures", type=int, default=6000, help="to embed and to classify")
    options = parser.parse_args()
    stream, in_turn = random.Random(SEED), works()
    all_works = [work for number, work in enumerate(in_turn) if work not in in_turn[:number]]
    turns: Counter[str] = Counter()
    lost = broken = orphans = early = unequal = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        prepare(root, options.pictures)
        print("| command | undisturbed, s |\n|---|---:|")
        for work in all_works:
            at = root / "whole" / work.name.replace(" ", "-")
            work.seconds, work.start = finish(at, work)
            work.expected = made(at, work)
            print(f"| `cocoop {work.command}` | {work.seconds:.1f} |", flush=True)
        print("\n| kill | command | after, s | of | how far before | after |\n|---:|---|---:|---|---:|---:|")
        number = 0
        while number < options.kills:
            work = in_turn[number % len(in_turn)]
            at, turn = root / "killed" / work.name.replace(" ", "-"), turns[work.name]
            before = work.far(at) if at.exists() else 0
            moment, ended, left = kill(at, work, stream, turn % 3 == 0, turn % 2 == 0)
            orphans += left
            broken += torn(at, work)
            whole = made(at, work) == work.expected
            if ended:
                early += 1
                unequal += not whole
                broken += left_over(at)
            else:
                lost += work.far(at) < before
                number += 1
                turns[work.name] += 1
                who = "all" if turn % 2 == 0 else "the first"
                print(f"| {number} | {work.name} | {moment:.1f} | {who} | {before:,} | {work.far(at):,} |", flush=True)
            if ended or whole:  # begun anew, so that it can be killed; a killed one may have been whole by then
                shutil.rmtree(at)
        for work in all_works:
            at = root / "killed" / work.name.replace(" ", "-")
            finish(at, work)
            unequal += made(at, work) != work.expected
            broken += left_over(at)
    print(
        f"\nThen finished. Attempts that ended before their kill, and were compared and begun anew: {early}. Lost: "
        f"{lost}; torn or left over: {broken}; processes that outlived a kill by 5 s: {orphans}; unequal in the end: "
        f"{unequal}."
    )
    if lost or broken or orphans or unequal:
        raise SystemExit("something was lost, torn or left behind, or differs")


if __name__ == "__main__":
    main()
