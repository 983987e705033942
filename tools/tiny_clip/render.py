"""Renders the training pictures once and caches them: `python -m tools.tiny_clip.render --work tiny-clip-work`."""

import argparse
import os
import time
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .pictures import render

SEED = 1
COUNTS = {
    "written digits": 60_000,
    "printed digits": 25_000,
    "written letters": 45_000,
    "printed letters": 40_000,
    "pictographs": 80_000,
    "shapes": 70_000,
}
CHUNK = 500
Job = tuple[str, str, int, int]  # family, split, first index, end index


def _render_chunk(job: Job) -> tuple[npt.NDArray[np.uint8], list[str]]:
    family, split, first, end = job
    pictures = [render(family, split, SEED, index) for index in range(first, end)]
    return np.stack([picture.pixels for picture in pictures]), ["|".join(picture.names) for picture in pictures]


def files(work: Path, family: str) -> tuple[Path, Path]:
    """Where a family's pictures [N, 32, 32, 3] and their names (a line each, separated by `|`) are cached."""
    stem = family.replace(" ", "-")
    return work / f"{stem}.npy", work / f"{stem}.txt"


def render_all(work: Path) -> None:
    """Renders every family that is not cached yet, on all cores."""
    work.mkdir(parents=True, exist_ok=True)
    with Pool(os.cpu_count()) as pool:
        for family, count in COUNTS.items():
            pixels_file, names_file = files(work, family)
            if names_file.exists():
                continue
            began = time.time()
            jobs = [(family, "train", i, min(i + CHUNK, count)) for i in range(0, count, CHUNK)]
            chunks = pool.map(_render_chunk, jobs, chunksize=1)
            np.save(pixels_file, np.concatenate([pixels for pixels, _ in chunks]))
            names_file.write_text("\n".join(line for _, lines in chunks for line in lines) + "\n")
            print(f"{family}: {count} pictures in {time.time() - began:.0f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("tiny-clip-work"))
    render_all(parser.parse_args().work)
