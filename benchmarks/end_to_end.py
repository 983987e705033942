"""Where the time of whole commands goes, part by part: `python benchmarks/end_to_end.py`.

Two kinds of command run, each in a process of its own: `cocoop demo`, and `cocoop train` on a folder of JPEGs that is
drawn here, with a CLIP of ViT-B/16's size and random weights in a Hugging Face folder, CoCoOp with the papers' batch
size 1 and random views. A thread looks 200 times a second at what the main thread is doing, and counts the time since
the last look for it. Decoding runs beside the image tower, so its part is only the time that the tower waits for it.

By default 2,000 images of 224 pixels: 300 to be scored on, and of the others as many per class as make 200, for one
epoch; the papers' 16 shots and 10 epochs take the same parts more often. On two CPU cores that is under ten minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from types import FrameType

import numpy as np
from PIL import Image, ImageDraw

IMPORTS, LOADING, PIXELS, IMAGE_TOWER = "imports", "loading the CLIP", "decoding, transform", "image tower"
TRAINING_TEXT, OPTIMISER, SCORING_TEXT = "text side, training", "optimiser, loss", "text side, scoring"
OTHER = "other"
PARTS = (IMPORTS, LOADING, PIXELS, IMAGE_TOWER, TRAINING_TEXT, OPTIMISER, SCORING_TEXT, OTHER)

PLACES = (
    ("<frozen importlib._bootstrap>", "", IMPORTS),
    ("/torch/_tensor.py", "backward", TRAINING_TEXT),
    ("/cocoop/clip/model.py", "encode_images", IMAGE_TOWER),
    ("/cocoop/clip/text/prompts.py", "", SCORING_TEXT),  # in training if the loop stands further out
    ("/cocoop/clip/sources/load.py", "load_parts", LOADING),
    ("/cocoop/clip/model.py", "fingerprint", LOADING),
    ("/cocoop/features/ahead.py", "", PIXELS),
    ("/cocoop/features/pixels.py", "", PIXELS),
    ("/cocoop/features/store.py", "", PIXELS),
    ("/cocoop/features/sources.py", "", PIXELS),
    ("/cocoop/data/images.py", "", PIXELS),
    ("/cocoop/training/step.py", "", OPTIMISER),
    ("/cocoop/training/loop.py", "", OPTIMISER),
)
"""End of a file's name, function ("" for any), part. The innermost frame of the stack with a place here counts."""

_PERIOD = 0.005


class Sampler(threading.Thread):
    """Counts the seconds that the main thread spends in each part."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seconds: Counter[str] = Counter()
        self._main = threading.main_thread().ident
        self._stopped = threading.Event()

    def run(self) -> None:
        """Look, until `stop`."""
        before = time.perf_counter()
        while not self._stopped.wait(_PERIOD):
            part = part_of(sys._current_frames().get(self._main or 0))
            now = time.perf_counter()
            self.seconds[part] += now - before  # type: ignore[assignment]
            before = now

    def stop(self) -> None:
        """End it, and wait until it has."""
        self._stopped.set()
        self.join()


def part_of(frame: FrameType | None) -> str:
    """The part that a stack of frames belongs to, by its innermost frame."""
    innermost = OTHER
    while frame is not None:
        file, function = frame.f_code.co_filename, frame.f_code.co_name
        if innermost == SCORING_TEXT and file.endswith("/cocoop/training/loop.py"):
            return TRAINING_TEXT
        if innermost == OTHER:
            place = (part for end, name, part in PLACES if file.endswith(end) and name in ("", function))
            innermost = next(place, OTHER)
        frame = frame.f_back
    return innermost


def run_sampled(out: Path, arguments: list[str]) -> None:
    """In a process of its own: a `cocoop` command, with its seconds by part written to `out`."""
    sampler = Sampler()
    sampler.start()
    from cocoop.cli import main as cocoop

    sys.argv = ["cocoop", *arguments]
    try:
        cocoop()
    finally:
        sampler.stop()
        out.write_text(json.dumps(sampler.seconds))


def measured(folder: Path, arguments: list[str]) -> dict[str, float]:
    """Part -> seconds of one command; what the process needs before and after it is another."""
    out = folder / "seconds.json"
    started = time.perf_counter()
    ran = subprocess.run([sys.executable, __file__, "--sampled", str(out), *arguments], capture_output=True, text=True)
    whole = time.perf_counter() - started
    if ran.returncode:
        raise SystemExit(f"cocoop {' '.join(arguments)} failed:\n{ran.stderr}")
    seconds: dict[str, float] = json.loads(out.read_text())
    seconds[OTHER] = seconds.get(OTHER, 0.0) + whole - sum(seconds.values())
    return seconds


def draw(rng: np.random.Generator, hue: float, size: int) -> Image.Image:
    """A picture that compresses as a photograph does: soft colours around one hue, some figures, little grain."""
    coarse = rng.uniform(0.2, 0.8, (6, 6, 3)) * (1 + 0.4 * np.cos(2 * np.pi * (hue + np.arange(3) / 3)))
    small = Image.fromarray((coarse * 255).clip(0, 255).astype(np.uint8))
    picture = small.resize((size, size), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y = rng.uniform(0, size, 2)
        radius, colour = rng.uniform(size / 30, size / 6), tuple(map(int, rng.integers(0, 256, 3)))
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)((x - radius, y - radius, x + radius, y + radius), colour)
    grain = rng.normal(0, 6, (size, size, 1))
    return Image.fromarray((np.asarray(picture) + grain).clip(0, 255).astype(np.uint8))


def write_folder(root: Path, names: list[str], images: int, test_images: int, size: int) -> int:
    """`images` JPEGs over the classes in turn, the last `test_images` of them in `test`; returns the bytes of all."""
    rng, written = np.random.default_rng(0), 0
    for number in range(images):
        k = number % len(names)
        split = "test" if number >= images - test_images else "train"
        folder = root / split / names[k]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number:05}.jpg"
        draw(rng, k / len(names), size).save(path, quality=90)
        written += path.stat().st_size
    return written


def write_clip(folder: Path, shape: str) -> None:
    """A CLIP of random weights as an open_clip folder, with the bundled tokenizer."""
    from safetensors.torch import save_file
    from transformers import AutoTokenizer

    from cocoop.bench import SHAPES, random_state
    from cocoop.clip.sources.load import BUNDLED

    folder.mkdir(parents=True, exist_ok=True)
    state = random_state(SHAPES[shape])
    save_file(state, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"quick_gelu": True}}))
    AutoTokenizer.from_pretrained(BUNDLED["tiny"]).save_pretrained(folder)


def class_folders(count: int) -> list[str]:
    """Names of different classes as long as ImageNet's, as folders are called, from words that are one token each."""
    from transformers import AutoTokenizer

    from cocoop.bench import suffix_lengths
    from cocoop.clip.sources.load import BUNDLED

    tokens = AutoTokenizer.from_pretrained(BUNDLED["tiny"]).get_vocab()
    ends = (token.removesuffix("</w>") for token in sorted(tokens) if token.endswith("</w>"))
    words = [word for word in ends if word.isalpha() and len(word) > 2]
    lengths = [length - 2 for length in suffix_lengths(count)]  # without "." and EOT
    if sum(lengths) > len(words):
        raise SystemExit(f"--classes: expected fewer, because the tokenizer has {len(words)} words; got {count}")
    rest = iter(words)
    return ["_".join(islice(rest, length)) for length in lengths]


def report(columns: dict[str, dict[str, float]]) -> str:
    """Markdown: a row per part, for each command the seconds and their share of the whole."""
    from cocoop.reports import text_table

    wholes = {name: sum(seconds.values()) for name, seconds in columns.items()}
    rows = [
        [part, *(f"{s.get(part, 0):.1f} ({s.get(part, 0) / wholes[name]:4.0%})" for name, s in columns.items())]
        for part in PARTS
    ]
    return text_table(["seconds", *columns], [*rows, ["all", *(f"{whole:.1f} (100%)" for whole in wholes.values())]])


def main() -> None:
    """Print one Markdown table."""
    if sys.argv[1:2] == ["--sampled"]:
        run_sampled(Path(sys.argv[2]), sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="ViT-B/16")
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100], metavar="K")
    parser.add_argument("--images", type=int, default=2000, help="in the folder, of both splits")
    parser.add_argument("--test-images", type=int, default=300, help="of these, to be scored on")
    parser.add_argument("--training-images", type=int, default=200, help="in all; shots are that over K")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--size", type=int, default=224, help="of a JPEG, in pixels")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        columns = {"demo": measured(folder, ["demo", "--out", str(folder / "demo")])}
        write_clip(folder / "clip", options.shape)
        for classes in options.classes:
            photos, shots = folder / f"photos-{classes}", max(1, options.training_images // classes)
            size = write_folder(photos, class_folders(classes), options.images, options.test_images, options.size)
            command = f"train {photos} --out {folder}/run-{classes} --clip {folder}/clip --shots {shots}"
            more = f" --epochs {options.epochs} --dtype {options.dtype} --device cpu"
            columns[f"K={classes}, {shots} shots"] = measured(folder, (command + more).split())
    print(
        f"{options.shape}, {options.dtype}, CPU; a folder of {options.images:,} JPEGs of {options.size} pixels, "
        f"{size / options.images / 1000:.0f} kB each; {options.test_images:,} test images, epochs: {options.epochs}\n"
    )
    print(report(columns))


if __name__ == "__main__":
    main()
