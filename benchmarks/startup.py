"""What one prediction costs from a cold start: `python benchmarks/startup.py [--source OTHER_CHECKOUT/src ...]`.

Learns a prompt on the bundled CLIP and digits, then runs `cocoop predict` of one image in fresh processes, and beside
it commands that bound it from below. User and system time of the whole process, all its threads, because the wall clock
depends on what else a machine does. Several sources are measured in turns.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import cocoop
from cocoop.data import Example, read_dataset
from cocoop.progress import counter
from cocoop.reports import text_table

_MAIN = "from cocoop.cli import main; main()"


def processor_seconds(arguments: list[str], source: Path) -> float:
    """User and system time of one Python process that imports cocoop from `source`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": str(source)}
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands(folder: Path, images: Path, image: Path, source: Path) -> dict[str, list[str]]:
    """Name -> arguments of Python; the run that `cocoop predict` needs is made in `folder`, by this source itself."""
    run = str(folder / "run")
    learn = ["train", str(images), "--out", run, "--shots", "1", "--epochs", "1", "--device", "cpu"]
    processor_seconds(["-c", _MAIN, *learn], source)
    return {
        "cocoop predict RUN IMAGE": ["-c", _MAIN, "predict", run, str(image), "--device", "cpu"],
        "cocoop --help": ["-c", _MAIN, "--help"],
        "import torch": ["-c", "import torch"],
    }


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--source", type=Path, nargs="+", default=[Path(cocoop.__file__).parents[1]])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root, counter("rounds", options.rounds, "round") as bar:
        first: Example = read_dataset("digits", root).test[0]
        images, image = first.path.parents[1], first.path
        measured: dict[tuple[int, str], list[float]] = {}
        todo = []
        for number, source in enumerate(options.source):
            folder = Path(root) / str(number)
            folder.mkdir()
            todo += [(number, name, call) for name, call in commands(folder, images, image, source).items()]
        for _ in range(options.rounds):
            for number, name, call in todo:
                seconds = processor_seconds(call, options.source[number])
                measured.setdefault((number, name), []).append(seconds)
            bar.update(1)
    rows = [
        [str(number + 1), name, f"{min(seconds):.2f}", f"{median(seconds):.2f}"]
        for (number, name), seconds in measured.items()
    ]
    print(text_table(["source", "command", "least, s", "median, s"], rows))


if __name__ == "__main__":
    main()
