"""Give mutated files to everything that reads, and count what came of it.

    python -m tools.fuzz                        10,000 pictures, 20,000 other files; benchmarks/results/fuzz.md
    python -m tools.fuzz --only weights --others 500
    python -m tools.fuzz --only weights --case 17      one case, with its traceback; its files stay

The same seed and number give the same files. "Read" is an answer, "refused" an error of the package's own family, on
one line. All else is a crash: another error, a process that dies, a reader that starts a program, opens a connection or
touches a file outside of its folder; or text in a table, a page or a card that would do something where it is opened.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from cocoop.reports import text_table

from .kinds import KINDS
from .watch import SECONDS, Outcome
from .work import put_case, work

_CHUNK = 400
"""Cases of one process."""
_PATIENCE = 6 * SECONDS
"""Seconds of the clock without a word, after which a process hangs. It shares its processor."""
_START = 300
"""The same while it imports and reads whole files."""
_VERDICTS = ("read", "refused", "crashed", "hung")


class Chunk(NamedTuple):
    """Cases of one kind."""

    name: str
    root: Path
    numbers: range


class Tally:
    """What came of each kind."""

    def __init__(self) -> None:
        self.counts = {name: Counter[str]() for name in KINDS}
        self.peaks = dict.fromkeys(KINDS, 0.0)
        self.failures: dict[str, list[tuple[int, str]]] = {name: [] for name in KINDS}
        self._lock = threading.Lock()

    def add(self, name: str, number: int, outcome: Outcome, peak: float) -> None:
        """Count one case."""
        with self._lock:
            self.counts[name][outcome.verdict] += 1
            self.peaks[name] = max(self.peaks[name], peak)
            if outcome.verdict in ("crashed", "hung"):
                self.failures[name].append((number, f"{outcome.verdict}: {outcome.told}"))

    def rows(self) -> list[list[Any]]:
        """A row for each kind, and their sum."""
        rows: list[list[Any]] = []
        for name, counts in self.counts.items():
            if counts:
                rows.append(
                    [name, counts.total(), *(counts[verdict] for verdict in _VERDICTS), round(self.peaks[name])]
                )
        sums = [sum(row[column] for row in rows) for column in range(1, 6)]
        return [*rows, ["all", *sums, max((row[6] for row in rows), default=0)]]


def main() -> int:
    """Run what the options say; 1 if anything crashed or hung."""
    options = _options()
    names = [name for name in KINDS if not options.only or name in options.only]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        roots = {name: _made(name, Path(folder)) for name in names}
        if options.case is not None:
            [name] = names
            return _show(name, roots[name], options)
        tally = _run(roots, options)
    table = text_table(["kind", "files", *_VERDICTS, "peak MB"], tally.rows())
    print(table)
    for name, failures in tally.failures.items():
        for number, told in sorted(failures)[: options.shown]:
            print(f"{name}, case {number}: {told}")
    if options.out:
        options.out.write_text(_page(options, table), encoding="utf-8")
    return int(any(tally.failures.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=10_000, help="how many mutated pictures")
    parser.add_argument("--others", type=int, default=20_000, help="how many other files, the same of each kind")
    parser.add_argument("--only", action="append", choices=list(KINDS), metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, help="this one alone, with its traceback")
    parser.add_argument("--shown", type=int, default=20, help="failures of each kind that are printed")
    parser.add_argument("--out", type=Path, help="a file for the table")
    return parser.parse_args()


def _made(name: str, folder: Path) -> Path:
    root = folder / name.replace(" ", "-").replace("`", "")
    KINDS[name].make(root / "whole")
    return root


def _run(roots: dict[str, Path], options: argparse.Namespace) -> Tally:
    tally, queue = Tally(), SimpleQueue[Chunk]()
    others = [name for name in roots if name != "pictures"]
    for name, root in roots.items():
        count = options.pictures if name == "pictures" else -(-options.others // len(others))
        for start in range(0, count, _CHUNK):
            queue.put(Chunk(name, root, range(start, min(count, start + _CHUNK))))
    with ThreadPoolExecutor(options.jobs) as pool:
        for ended in [pool.submit(_drain, queue, tally, options.seed) for _ in range(options.jobs)]:
            ended.result()
    return tally


def _drain(queue: SimpleQueue[Chunk], tally: Tally, seed: int) -> None:
    while True:
        try:
            chunk = queue.get_nowait()
        except Empty:
            return
        left = chunk
        while left.numbers:
            left = left._replace(numbers=_run_chunk(left, tally, seed))
        counts = ", ".join(f"{tally.counts[chunk.name][verdict]:,} {verdict}" for verdict in _VERDICTS)
        print(f"{chunk.name}: {counts}", file=sys.stderr, flush=True)


def _run_chunk(chunk: Chunk, tally: Tally, seed: int) -> range:
    """Run cases until they are done, or one of them ends their process; those that are left."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(there, chunk.name, chunk.root, seed, chunk.numbers), daemon=True)
    process.start()
    there.close()
    under_way: int | None = None
    verdict = Outcome("hung", f"no word for {_PATIENCE} seconds")
    try:
        while here.poll(_PATIENCE if under_way is not None else _START):
            message = here.recv()
            if message is None:
                return range(0)
            under_way, result = message
            if result is not None:
                tally.add(chunk.name, under_way, *result)
                under_way = None
    except EOFError:
        process.join()
        verdict = Outcome("crashed", f"the process died with exit code {process.exitcode}")
    finally:
        process.kill()
        process.join()
    if under_way is None:
        raise RuntimeError(f"{chunk.name}, {chunk.numbers}: {verdict.told}, outside of a case")
    tally.add(chunk.name, under_way, verdict, 0.0)
    return range(under_way + 1, chunk.numbers.stop)


def _show(name: str, root: Path, options: argparse.Namespace) -> int:
    kind, place = KINDS[name], Path(tempfile.mkdtemp(prefix="fuzz-case-"))
    case = put_case(name, kind, root, options.seed, options.case, place / "case")
    print(case)
    whole = root / "whole" / case.name
    changed = [path for path in sorted(case.rglob("*")) if path.is_file()]
    changed = [path for path in changed if path.read_bytes() != (whole / path.relative_to(case)).read_bytes()]
    print("changed:", *changed)
    kind.read(case)
    print("read")
    return 0


def _page(options: argparse.Namespace, table: str) -> str:
    command = f"python -m tools.fuzz --pictures {options.pictures} --others {options.others} --seed {options.seed}"
    return f"# Mutated files\n\n`{command}`\n\n{table}\n"


if __name__ == "__main__":
    sys.exit(main())
