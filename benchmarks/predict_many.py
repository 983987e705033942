"""Whether `cocoop predict` keeps memory, open files and rows: `python benchmarks/predict_many.py`. Linux only.

By default 100,000 pictures of 64 pixels, every hundredth of them damaged, are predicted with the bundled CLIP,
zero-shot, into a CSV file. The process is killed (SIGKILL) when half of the rows are there, and the same command with
`--resume` does the rest. Printed are the resident memory and the open files over the rows; checked is that every
picture has its row once, that those of the damaged ones are errors, that the memory of the last tenth is within a tenth
of the second's, and that it has no more open files but for one picture of each thread that decodes.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from cocoop.bench.memory import resident_mb
from cocoop.features import usable_cpus
from cocoop.progress import counter
from cocoop.reports import text_table

_PERIOD = 0.25  # seconds between two looks at a process


class Look(NamedTuple):
    """Rows in the file, resident MB and open files of the process at one moment."""

    rows: int
    memory: float
    files: int


def write_pictures(root: Path, count: int, damaged: int) -> None:
    """PNGs and JPEGs of 64 pixels in folders of 1,000; every `damaged`-th is cut off."""
    rng = np.random.default_rng(0)
    with counter("drawing", count, " pictures") as bar:
        for number in range(count):
            folder = root / f"{number // 1000:04}"
            folder.mkdir(parents=True, exist_ok=True)
            coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            path = folder / f"{number:07}.{'png' if number % 3 == 0 else 'jpg'}"
            coarse.resize((64, 64), Image.Resampling.BICUBIC).save(path)
            if number % damaged == 0:
                path.write_bytes(path.read_bytes()[:100])
            bar.update(1)


def open_files(process: int) -> int:
    """How many files a process has open, with pipes; 0 where it has ended."""
    try:
        return len(os.listdir(f"/proc/{process}/fd"))
    except OSError:
        return 0


def rows_in(out: Path) -> int:
    """About how many rows a file has."""
    return out.read_bytes().count(b"\n") - 1 if out.exists() else 0


def watched(command: list[str], out: Path, until: int | None) -> tuple[list[Look], int]:
    """Looks over time at a command, which is killed when there are `until` rows, and its exit code."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    looks = []
    while process.poll() is None:
        rows, memory, files = rows_in(out), resident_mb(process.pid), open_files(process.pid)
        if memory and files and rows > 0:
            looks.append(Look(rows, memory, files))
        if until is not None and rows >= until:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(_PERIOD)
    return looks, process.wait()


def tenths(looks: list[Look]) -> list[Look]:
    """The last look of every tenth of the rows."""
    first, last = looks[0].rows, looks[-1].rows
    found = {min(9, 10 * (look.rows - first) // max(1, last - first)): look for look in looks}
    return [found[tenth] for tenth in sorted(found)]


def check_rows(root: Path, out: Path, damaged: int) -> None:
    """Every picture once, and those that are damaged as errors, no others."""
    with open(out, newline="", encoding="utf-8") as file:
        rows = [(row["image"], row["error"] != "") for row in csv.DictReader(file, strict=True)]
    expected = [(str(path), int(path.stem) % damaged == 0) for path in sorted(root.glob("*/*"))]
    if sorted(rows) != expected:
        raise SystemExit(
            f"expected {len(expected)} rows, each once; got {len(rows)}, {len(set(rows))} of them different"
        )
    print(
        f"rows: {len(rows):,}, each picture once; errors: {sum(error for _, error in rows):,}, as many as are damaged"
    )


def main() -> None:
    """Print a Markdown table for each of the two processes, and what was checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--damaged", type=int, default=100, metavar="N", help="every N-th")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder, "pictures"), Path(folder, "rows.csv")
        write_pictures(root, options.images, options.damaged)
        command = [sys.executable, "-c", "from cocoop.cli import main; main()", "predict", "--clip", "tiny"]
        command += ["--classes", "star,heart,arrow", str(root), "--out", str(out), "--device", "cpu"]
        flat = True
        for name, more, until in (("killed", [], options.images // 2), ("resumed", ["--resume"], None)):
            began = time.perf_counter()
            looks, code = watched([*command, *more], out, until)
            if code != (1 if until is None else -signal.SIGKILL):
                raise SystemExit(f"the command ended with exit code {code}")
            seconds, points = time.perf_counter() - began, tenths(looks)
            print(f"\n{name} after {seconds:.0f} s, {looks[-1][0]:,} rows in the file\n")
            shown = [[f"{look.rows:,}", f"{look.memory:.0f}", str(look.files)] for look in points]
            print(text_table(["rows", "resident, MB", "open files"], shown))
            first, last = points[min(1, len(points) - 1)], points[-1]
            flat = flat and last.memory < 1.1 * first.memory and last.files <= first.files + usable_cpus()
        print()
        check_rows(root, out, options.damaged)
        told = "flat" if flat else "NOT flat"
        print(f"memory and open files are {told}: the last tenth against the second, in both processes")
        if not flat:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
