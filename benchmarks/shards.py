r"""What `--shards` promises: `python benchmarks/shards.py kills | throughput | memory`, sizes by options. Linux only.

kills: 100,000 pictures in 200 archives, every hundredth damaged, are predicted by two workers while a random worker or
the driver is killed (SIGKILL) 20 times, with the same command started again after each death of the driver: by
processes and by Ray. Compared are the outputs' bytes with those of an undisturbed run, and the keys with the pictures.

throughput: pictures a second of processes and of Ray beside the bare loop, decode and tower and nothing else, in as
many processes with as many threads, in turns. Of the runners the rate is that from the first outputs on: a start takes
seconds, whatever comes after; it stands beside.

memory: the resident memory of driver and workers, at most, with 10,000 and with 1,000,000 listed pictures: a list that
names the same files many times.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from cocoop.bench.memory import resident_mb
from cocoop.progress import counter
from cocoop.reports import text_table

SEED = 1
RUNNERS = ("processes", "ray")
DAMAGED = 100  # every so many-th picture
PERIOD = 0.2  # seconds between two looks at processes
FLAT = 1.1  # times the memory with few pictures


def png(number: int, size: int) -> bytes:
    """A picture of `size` pixels that no other number has."""
    pixels = np.random.default_rng([SEED, number]).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).resize((size, size)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def write_archives(folder: Path, pictures: int, shards: int, size: int, damaged: int) -> None:
    """`pictures` in `shards` archives; every `damaged`-th is cut off, 0 is none."""
    folder.mkdir()
    each = -(-pictures // shards)
    with counter("drawing", pictures, " pictures") as bar:
        for shard, start in enumerate(range(0, pictures, each)):
            with tarfile.open(folder / f"s-{shard:05}.tar", "w") as archive:
                for number in range(start, min(pictures, start + each)):
                    content = png(number, size)
                    content = content[:60] if damaged and number % damaged == 0 else content
                    member = tarfile.TarInfo(f"{number:08}.png")
                    member.size = len(content)
                    archive.addfile(member, BytesIO(content))
                    bar.update(1)


def command(runner: str, sources: str, out: Path, options: argparse.Namespace) -> list[str]:
    """`cocoop predict`, zero-shot."""
    arguments = ["predict", "--clip", options.clip, "--classes", "star,heart,arrow", sources, "--device", "cpu"]
    workers = ["--runner", runner, "--jobs", str(options.jobs), "--threads", str(options.threads)]
    return [sys.executable, "-m", "cocoop", *arguments, "--shards", str(out), *workers]


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    """A command whose words nobody hears."""
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def descendants(process: int) -> dict[int, str]:
    """The living processes below one, and what they are called."""
    children: dict[int, list[tuple[int, str]]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            called = (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue
        children.setdefault(parent, []).append((int(stat.parent.name), called))
    found, left = dict[int, str](), [process]
    while left:
        for number, called in children.get(left.pop(), ()):
            found[number] = called
            left.append(number)
    return found


def workers_of(driver: int) -> list[int]:
    """The processes that work shards: spawned ones, or Ray's actors."""
    below = descendants(driver)
    return sorted(number for number, called in below.items() if "spawn_main" in called or "MapWorker" in called)


def outputs(out: Path) -> list[Path]:
    """What is there."""
    return sorted(out.glob("*.parquet"))


def end(processes: dict[int, str], patience: float = 20) -> int:
    """Wait for processes to end by themselves; how many did not, which are killed."""
    until = time.monotonic() + patience
    while time.monotonic() < until and any(Path(f"/proc/{number}").exists() for number in processes):
        time.sleep(PERIOD)
    left = [number for number in processes if Path(f"/proc/{number}").exists()]
    for number in left:
        os.kill(number, signal.SIGKILL)
    return len(left)


class Killed(NamedTuple):
    """workers, drivers: how many were killed. outlived: processes that a driver left. runs: of the command."""

    workers: int
    drivers: int
    outlived: int
    runs: int


def disturbed(arguments: list[str], out: Path, shards: int, kills: int, stream: random.Random) -> Killed:
    """Run the command to its end, and kill a worker or the driver whenever so many more outputs are there."""
    killed, outlived, runs = {"worker": 0, "driver": 0}, 0, 0
    with counter("kills", kills, " kills") as bar:
        while len(outputs(out)) < shards:
            driver, runs = start(arguments), runs + 1
            while driver.poll() is None:
                time.sleep(PERIOD / 10)
                bar.refresh()
                done = sum(killed.values())
                if done == kills or len(outputs(out)) * (kills + 1) < (done + 1) * shards:
                    continue
                workers = workers_of(driver.pid)
                kind = stream.choice(["worker", "driver"]) if workers else "driver"
                below = descendants(driver.pid)
                os.kill(stream.choice(workers) if kind == "worker" else driver.pid, signal.SIGKILL)
                killed[kind] += 1
                bar.update(1)
                if kind == "driver":
                    driver.wait()
                    outlived += end(below)
    return Killed(killed["worker"], killed["driver"], outlived, runs)


def compare(whole: Path, other: Path, pictures: int) -> tuple[int, int, int]:
    """Outputs that differ in a byte, keys that are not there once, and files that cannot be read."""
    import pyarrow.parquet as pq

    names = {path.name for path in [*outputs(whole), *outputs(other)]}
    differ = sum(not _equal(whole / name, other / name) for name in names)
    keys: list[str] = []
    torn = 0
    for path in outputs(other):
        try:
            keys += pq.read_table(path, columns=["image"])["image"].to_pylist()
        except (OSError, ValueError):
            torn += 1
    return differ, abs(pictures - len(set(keys))) + len(keys) - len(set(keys)), torn


def _equal(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()


def kills(options: argparse.Namespace, root: Path) -> bool:
    """Whether all is there once, and the same."""
    tars, whole = root / "tars", root / "whole"
    write_archives(tars, options.pictures, options.shards, options.size, DAMAGED)
    shards, rows, good = len(list(tars.iterdir())), [], True
    began = time.monotonic()
    if start(command("processes", f"{tars}/*.tar", whole, options)).wait() != 1:  # some pictures are damaged
        raise SystemExit("the undisturbed run failed")
    print(f"undisturbed: {options.pictures:,} pictures, {shards} shards, {time.monotonic() - began:.0f} s\n")
    for runner in options.runner:
        out, began = root / runner, time.monotonic()
        killed = disturbed(
            command(runner, f"{tars}/*.tar", out, options), out, shards, options.kills, random.Random(SEED)
        )
        differ, wrong, torn = compare(whole, out, options.pictures)
        good = good and not (differ or wrong or torn or killed.workers + killed.drivers < options.kills)
        seconds = f"{time.monotonic() - began:.0f}"
        rows.append([runner, *map(str, (*killed, seconds, differ, wrong, torn)), str(len(list(out.glob(".*.tmp"))))])
    columns = ["runner", "workers killed", "drivers killed", "processes that outlived one by 20 s", "runs", "seconds"]
    columns += ["outputs that differ", "keys missing or twice", "torn outputs", "hidden files left"]
    print(text_table(columns, rows))
    return good


def bare(options: argparse.Namespace) -> None:
    """The bare loop over some archives: decode and tower. Prints when it began, when it ended, and the pictures."""
    import torch

    from cocoop import CLIP

    torch.set_num_threads(options.threads)
    clip = CLIP.load(options.clip, device="cpu")
    clip.encode_images(torch.zeros(16, 3, clip.preprocess.size, clip.preprocess.size))
    began, count = time.time(), 0
    for path in options.archives:
        pixels = []
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                file = archive.extractfile(member)
                assert file is not None
                with Image.open(BytesIO(file.read())) as image:
                    pixels.append(clip.preprocess(image.convert("RGB")))
                if len(pixels) == 16:
                    clip.encode_images(torch.stack(pixels))
                    count, pixels = count + 16, []
        if pixels:
            clip.encode_images(torch.stack(pixels))
            count += len(pixels)
    print(began, time.time(), count)


def bare_rate(tars: Path, options: argparse.Namespace) -> float:
    """Pictures a second of the bare loop, in as many processes as there are jobs."""
    paths = sorted(map(str, tars.iterdir()))
    script = [sys.executable, __file__, "bare", "--clip", options.clip, "--threads", str(options.threads)]
    processes = [
        subprocess.Popen([*script, *paths[part :: options.jobs]], stdout=subprocess.PIPE, text=True)
        for part in range(options.jobs)
    ]
    told = [[float(word) for word in process.communicate()[0].split()] for process in processes]
    seconds = max(ended for _, ended, _ in told) - min(began for began, _, _ in told)
    return sum(count for _, _, count in told) / seconds


def rate(runner: str, tars: Path, out: Path, options: argparse.Namespace) -> tuple[float, float]:
    """Pictures a second of a runner from the first outputs on, and the seconds until those."""
    began = time.time()
    if start(command(runner, f"{tars}/*.tar", out, options)).wait():
        raise SystemExit(f"{runner} failed")
    ended = sorted(path.stat().st_mtime for path in outputs(out))
    first = ended[options.jobs - 1]
    return options.pictures * (1 - options.jobs / len(ended)) / (ended[-1] - first), first - began


def throughput(options: argparse.Namespace, root: Path) -> bool:
    """Whether every runner has 0.9 of the bare loop's rate, in the median."""
    tars = root / "tars"
    write_archives(tars, options.pictures, options.shards, options.size, 0)
    rates: dict[str, list[float]] = {name: [] for name in ("bare", *options.runner)}
    starts: dict[str, list[float]] = {name: [] for name in options.runner}
    for number in range(options.rounds):
        rates["bare"].append(bare_rate(tars, options))
        for runner in options.runner:
            got, until = rate(runner, tars, root / f"{runner}-{number}", options)
            rates[runner].append(got)
            starts[runner].append(until)
    rows, good = [], True
    for name, of in rates.items():
        ratio = statistics.median(one / other for one, other in zip(of, rates["bare"], strict=True))
        good = good and ratio >= 0.9
        began = f"{statistics.median(starts[name]):.0f}" if name in starts else ""
        rows.append([name, f"{statistics.median(of):,.0f}", f"{ratio:.2f}", began])
    print(text_table(["who", "pictures a second", "of the bare loop", "seconds until the first outputs"], rows))
    return good


def most_memory(arguments: list[str]) -> tuple[float, float, float]:
    """The most memory of a command's driver, and of one of its workers, MB; and the seconds that it took."""
    driver, most, began = start(arguments), {"driver": 0.0, "worker": 0.0}, time.monotonic()
    while driver.poll() is None:
        most["driver"] = max(most["driver"], resident_mb(driver.pid))
        most["worker"] = max([most["worker"], *map(resident_mb, workers_of(driver.pid))])
        time.sleep(PERIOD)
    if driver.returncode:
        raise SystemExit("the command failed")
    return most["driver"], most["worker"], time.monotonic() - began


def memory(options: argparse.Namespace, root: Path) -> bool:
    """Whether many pictures take as much memory as few."""
    paths = [root / f"{number}.png" for number in range(100)]
    for number, path in enumerate(paths):
        path.write_bytes(png(number, options.size))
    rows, good = [], True
    for runner in options.runner:
        few: tuple[float, float] | None = None
        for count in options.listed:
            listing = root / f"list-{count}.txt"
            listing.write_text("".join(f"{paths[number % len(paths)]}\n" for number in range(count)))
            out = root / f"{runner}-{count}"
            driver, worker, seconds = most_memory(command(runner, f"@{listing}", out, options))
            few = few or (driver, worker)
            good = good and driver <= FLAT * few[0] and worker <= FLAT * few[1]
            rows.append([runner, f"{count:,}", f"{driver:.0f}", f"{worker:.0f}", f"{seconds:.0f}"])
    print(text_table(["runner", "listed pictures", "driver, MB", "largest worker, MB", "seconds"], rows))
    return good


CHECKS: dict[str, Callable[[argparse.Namespace, Path], bool]] = {
    "kills": kills,
    "throughput": throughput,
    "memory": memory,
}


def _parsers() -> Iterator[argparse.ArgumentParser]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    checks = parser.add_subparsers(dest="check", required=True)
    yield parser
    for name in (*CHECKS, "bare"):
        check = checks.add_parser(name)
        check.add_argument("--clip", default="tiny")
        check.add_argument("--threads", type=int, default=1, help="of torch in each job, and as many that decode")
        if name == "bare":
            check.add_argument("archives", nargs="+")
            continue
        check.add_argument("--runner", choices=RUNNERS, nargs="+", default=RUNNERS)
        check.add_argument("--jobs", type=int, default=2)
        check.add_argument("--size", type=int, default=32, help="pixels of a picture's side")
        if name == "memory":
            check.add_argument("--listed", type=int, nargs="+", default=[10_000, 1_000_000])
            continue
        check.add_argument("--pictures", type=int, default=100_000 if name == "kills" else 20_000)
        check.add_argument("--shards", type=int, default=200 if name == "kills" else 40)
        check.add_argument("--kills", type=int, default=20)
        check.add_argument("--rounds", type=int, default=3)


def main() -> None:
    """Print a Markdown table of one check; exit code 1 where it does not hold."""
    parser, *_ = _parsers()
    options = parser.parse_args()
    if options.check == "bare":
        bare(options)
        return
    print(f"`python benchmarks/shards.py {' '.join(sys.argv[1:])}`\n")
    with tempfile.TemporaryDirectory() as folder:
        good = CHECKS[options.check](options, Path(folder))
    print(f"\n{'It holds.' if good else 'It does NOT hold.'}")
    if not good:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
