"""What loading a CLIP costs beside reading its file: `python benchmarks/loading.py`.

Weights of a published size, random, in each format. Each format gets a fresh process that has imported everything; in
turns it reads the whole file into memory, and loads the CLIP and touches every page of its weights (files are mapped:
what is not touched is not read). The file is in the system's cache, so that only this program's work is compared. Own
memory is the most that the process holds of anonymous pages while it loads (sampled every millisecond), over what it
held before. What is mapped of the file is the system's to drop, and processes share it.
"""

from __future__ import annotations

import argparse
import json
import mmap
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from cocoop.bench import SHAPES, random_state
from cocoop.bench.words import WordTokenizer
from cocoop.clip import CLIP
from cocoop.progress import counter
from cocoop.reports import text_table

_PAGE = 4096
OPEN_CLIP_CONFIG = json.dumps({"model_cfg": {"quick_gelu": True}})


def write_open_clip(folder: Path, state: dict[str, Tensor]) -> Path:
    """The files that open_clip saves to the hub now."""
    path = folder / "open_clip_model.safetensors"
    save_file(state, path)
    (folder / "open_clip_config.json").write_text(OPEN_CLIP_CONFIG)
    return path


def write_checkpoint(folder: Path, state: dict[str, Tensor]) -> Path:
    """A checkpoint of `torch.save`, with its config."""
    path = folder / "open_clip_pytorch_model.bin"
    torch.save(state, path)
    (folder / "open_clip_config.json").write_text(OPEN_CLIP_CONFIG)
    return path


def write_hugging_face(folder: Path, state: dict[str, Tensor]) -> Path:
    """The files that transformers saves: its names, and queries, keys and values apart."""
    from transformers import CLIPConfig, CLIPModel

    shape = CLIP.load(state, tokenizer=_words(state), device="cpu")
    image = shape.image_tower.describe()
    text = {"hidden_size": shape.text.width, "vocab_size": shape.text.token_embedding.num_embeddings}
    text |= {"num_hidden_layers": len(shape.text.blocks), "num_attention_heads": shape.text.layers[0].heads}
    vision = {"hidden_size": image["width"], "num_hidden_layers": image["layers"], "patch_size": image["patch"]}
    vision |= {"num_attention_heads": image["heads"], "image_size": image["image_size"]}
    text["intermediate_size"], vision["intermediate_size"] = 4 * shape.text.width, 4 * image["width"]
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=shape.embed_dim)
    CLIPModel(config).save_pretrained(folder)
    return folder / "model.safetensors"


def write_archive(folder: Path, state: dict[str, Tensor]) -> Path:
    """A TorchScript archive in float16, as OpenAI's are."""
    root = torch.nn.Module()
    for name, tensor in state.items():
        *modules, last = name.split(".")
        part = root
        for module in modules:
            if module not in part._modules:
                part.add_module(module, torch.nn.Module())
            part = part.get_submodule(module)
        part.register_parameter(last, torch.nn.Parameter(tensor.half(), requires_grad=False))
    path = folder / "model.pt"
    torch.jit.script(root).save(str(path))
    return path


FORMATS: dict[str, tuple[Callable[[Path, dict[str, Tensor]], Path], str]] = {
    "open_clip, safetensors": (write_open_clip, "float32"),
    "open_clip, torch.save": (write_checkpoint, "float32"),
    "Hugging Face, safetensors": (write_hugging_face, "float32"),
    "OpenAI archive of float16, in float16": (write_archive, "float16"),
    "OpenAI archive of float16, in float32": (write_archive, "float32"),
}
"""Name -> what writes the file, and the dtype that it is loaded in."""


def _words(state: dict[str, Tensor]) -> WordTokenizer:
    return WordTokenizer(len(state["token_embedding.weight"]))


def measure(path: Path, dtype: str, vocabulary: int, rounds: int) -> None:
    """In a process of its own: print the best times and the most memory as JSON."""
    CLIP.load("tiny", device="cpu")  # imports
    turns = [_turn(path, dtype, WordTokenizer(vocabulary)) for _ in range(rounds)]
    times = {name: min(turn[name] for turn in turns) for name in ("read", "load", "touch")}
    print(json.dumps({**turns[-1], **times, "own": max(turn["own"] for turn in turns)}))


def _turn(path: Path, dtype: str, tokenizer: WordTokenizer) -> dict[str, float]:
    """Read the file, then load the CLIP: seconds and bytes."""
    costs = {"file": path.stat().st_size, "read": _read(path)}
    before = {kind: _resident(kind) for kind in ("RssAnon", "RssFile")}
    started = time.perf_counter()
    with _watched() as peak:
        source = path if path.suffix == ".pt" else path.parent
        clip = CLIP.load(source, tokenizer=tokenizer, device="cpu", dtype=dtype)
        costs["load"] = time.perf_counter() - started
        tensors = [*clip.text.parameters(), *clip.image_tower.parameters()]
        for tensor in tensors:
            tensor.view(-1).view(torch.uint8)[::_PAGE].sum()
        costs["touch"] = time.perf_counter() - started
    costs |= {"own": peak[0] - before["RssAnon"], "mapped": _resident("RssFile") - before["RssFile"]}
    return costs | {"weights": sum(tensor.numel() * tensor.itemsize for tensor in tensors)}


def _read(path: Path) -> float:
    """Seconds that it takes to read a file into memory that the process did not have before."""
    started = time.perf_counter()
    with path.open("rb", buffering=0) as file, mmap.mmap(-1, path.stat().st_size) as memory:
        view = memoryview(memory)
        done = 0
        while done < len(view):
            done += file.readinto(view[done:])
        view.release()
        return time.perf_counter() - started


@contextmanager
def _watched() -> Iterator[list[int]]:
    """The most anonymous memory of this process inside, in bytes, as the one element of a list."""
    peak, done = [_resident("RssAnon")], threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            peak[0] = max(peak[0], _resident("RssAnon"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        peak[0] = max(peak[0], _resident("RssAnon"))
        done.set()
        thread.join()


def _resident(kind: str) -> int:
    match = re.search(rf"{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(match[1]) * 1024 if match else 0


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="ViT-B/16", choices=SHAPES)
    parser.add_argument("--rounds", type=int, default=5, help="turns of reading and loading; the best counts")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        path, dtype, vocabulary = options.one
        measure(Path(path), dtype, int(vocabulary), options.rounds)
        return
    rows = []
    with tempfile.TemporaryDirectory() as root, counter("formats", len(FORMATS), "format") as bar:
        for name, (write, dtype) in FORMATS.items():
            folder = Path(root) / name
            folder.mkdir()
            path = write(folder, random_state(SHAPES[options.shape]))
            command = [sys.executable, __file__, "--rounds", str(options.rounds)]
            command += ["--one", str(path), dtype, str(SHAPES[options.shape].vocabulary)]
            measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            path.unlink()
            rows.append(_row(name, measured))
            bar.update(1)
    header = [
        "format",
        "file, MB",
        "read, ms",
        "load, ms",
        "load and touch, ms",
        "load / read",
        "load and touch / read",
    ]
    print(text_table([*header, "weights, MB", "own memory at most, MB", "mapped, MB"], rows))


def _row(name: str, measured: dict[str, float]) -> list[str]:
    megabytes = {key: f"{measured[key] / 1e6:,.0f}" for key in ("file", "weights", "own", "mapped")}
    times = [f"{1000 * measured[key]:,.0f}" for key in ("read", "load", "touch")]
    ratios = [f"{measured[key] / measured['read']:.2f}" for key in ("load", "touch")]
    return [name, megabytes["file"], *times, *ratios, megabytes["weights"], megabytes["own"], megabytes["mapped"]]


if __name__ == "__main__":
    main()
