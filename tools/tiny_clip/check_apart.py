"""Compares every picture that the bundled CLIP was trained on with every picture of the offline benchmarks.

`nice python -m tools.tiny_clip.check_apart > tools/tiny_clip/check_apart.txt` (15 minutes on 2 busy cores)

Renders all training pictures anew, as `render` did, and all benchmark pictures. Two are the same if the SHA-256 of
their 32 x 32 x 3 bytes is. As different bytes may still be nearly the same picture, it also tells how near the nearest
training picture of the same family comes to each test picture: the root mean square of the difference of their bytes.
"""

import os
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from multiprocessing import Pool
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from cocoop.data import OFFLINE, SHIFTS
from cocoop.data.drawn import offline_pictures
from cocoop.data.drawn.digits import digit_images, digit_split
from cocoop.data.drawn.distort import SIZE
from cocoop.data.drawn.offline import PICTURES_PER_CLASS

from .pictures import render
from .render import CHUNK, COUNTS, SEED

Pixels = npt.NDArray[np.uint8]  # [32, 32, 3]
Floats = npt.NDArray[np.float32]


def digits() -> Iterator[Pixels]:
    """All digits, enlarged as the CLIP's own preprocessing does."""
    for members in digit_split().values():
        for name, number in members:
            image = digit_images()[name][number].convert("RGB")
            yield np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def drawn(family: str) -> Iterator[Pixels]:
    """All pictures of a drawn data set: its three splits, then its shifted variants."""
    for split, count in PICTURES_PER_CLASS.items():
        for name in offline_pictures.names(family):
            yield from (offline_pictures.picture(family, split, name, number).pixels for number in range(count))
    for shift in SHIFTS:
        for name in offline_pictures.names(family):
            for number in range(PICTURES_PER_CLASS["test"]):
                yield offline_pictures.shifted(family, shift, name, number)


def pictures_of(data_set: str) -> Iterator[Pixels]:
    """All pictures of one of `OFFLINE` and its variants."""
    return digits() if data_set == "digits" else drawn(data_set)


@cache
def test_pictures(family: str) -> Floats:
    """The test pictures of a drawn data set as rows, [N, 3072]; none for another family."""
    if family not in OFFLINE:
        return np.empty((0, SIZE * SIZE * 3), dtype=np.float32)
    names, count = offline_pictures.names(family), PICTURES_PER_CLASS["test"]
    pixels = [offline_pictures.picture(family, "test", name, i).pixels for name in names for i in range(count)]
    return np.stack(pixels).reshape(len(pixels), -1).astype(np.float32)


class Chunk(NamedTuple):
    """Some training pictures: their hashes, and the distance to the nearest of them for every test picture."""

    family: str
    hashes: list[bytes]
    nearest: Floats  # [N], root mean square


def examine(job: tuple[str, int, int]) -> Chunk:
    """Renders the training pictures first..end of a family."""
    family, first, end = job
    pixels = [render(family, "train", SEED, index).pixels for index in range(first, end)]
    test, train = test_pictures(family), np.stack(pixels).reshape(len(pixels), -1).astype(np.float32)
    squares = (test**2).sum(1)[:, None] + (train**2).sum(1) - 2 * test @ train.T
    nearest = np.sqrt(np.maximum(squares.min(axis=1), 0) / test.shape[1])
    return Chunk(family, [sha256(picture.tobytes()).digest() for picture in pixels], nearest)


def main() -> None:
    """Prints what is compared, the number of equal pictures, and the nearest pairs."""
    hashes: dict[bytes, str] = {}
    for data_set in OFFLINE:
        digests = [sha256(pixels.tobytes()).digest() for pixels in pictures_of(data_set)]
        hashes |= dict.fromkeys(digests, data_set)
        print(f"benchmark: {data_set} and its variants, {len(digests):,} pictures, {len(set(digests)):,} different")
    jobs = [(family, i, min(i + CHUNK, count)) for family, count in COUNTS.items() for i in range(0, count, CHUNK)]
    trained, equal = 0, 0
    nearest = {family: np.full(len(test_pictures(family)), np.inf) for family in COUNTS}
    with Pool(os.cpu_count()) as pool:
        for chunk in pool.imap_unordered(examine, jobs):
            trained += len(chunk.hashes)
            equal += sum(value in hashes for value in chunk.hashes)
            nearest[chunk.family] = np.minimum(nearest[chunk.family], chunk.nearest)
    print(f"training: {trained:,} pictures, {equal} of them equal to a benchmark picture")
    for family in sorted(nearest.keys() & set(OFFLINE)):
        low, middle = np.min(nearest[family]), np.median(nearest[family])
        print(f"{family}, test: nearest training picture at {low:.1f} of 255 at least, {middle:.1f} in the median")


if __name__ == "__main__":
    main()
