"""Where the original code leaves a prompt: OUTPUT_DIR/prompt_learner/model.pth.tar-EPOCH, with OUTPUT_DIR/log.txt."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from cocoop.errors import InputError, plainly
from cocoop.reading import read_text

FOLDER, POINTER = "prompt_learner", "checkpoint"
"""The folder of what the original learns, and the text file in it that names the last checkpoint."""

_LOG = "log.txt"
_HEAD = 2**20  # bytes of a log, at the beginning of which the configuration stands
_CHECKPOINT = re.compile(r"model\.pth\.tar-(\d{1,9})|model-best\.pth\.tar")
_SETTING = re.compile(r"((?:  )*)([A-Z][A-Z0-9_]*):[ ]?(.*)")


class Told(NamedTuple):
    """What a log says of a training; None of what it does not say.

    dataset: as its configuration file is called. class_position: of CoOp, as its setting has it.
    """

    seed: int | None = None
    shots: int | None = None
    dataset: str | None = None
    class_position: str | None = None


def checkpoint_name(epoch: int) -> str:
    """The name of the checkpoint after so many epochs."""
    return f"model.pth.tar-{epoch}"


def find_checkpoint(place: str | os.PathLike[str]) -> Path:
    """The checkpoint that is meant: the file itself, or of an output folder the one that its pointer names.

    Of an output folder without a pointer it is the one after the most epochs, or the best one. `InputError` if there is
    none.
    """
    path = Path(place)
    if not os.path.isdir(path):
        return path
    if (path / "prompt.safetensors").is_file():
        raise InputError(f"{path}: expected a prompt of the original code; got a run folder, which needs no import.")
    inside = path / FOLDER if (path / FOLDER).is_dir() else path
    there = {name: match for name in sorted(os.listdir(inside)) if (match := _CHECKPOINT.fullmatch(name))}
    name = _pointed_at(inside / POINTER) or max(there, key=lambda name: int(there[name][1] or -1), default=None)
    if name is None:
        raise InputError(
            f"{path}: expected an output folder of the original code, with {FOLDER}/{checkpoint_name(10)} or the like; "
            f"got {', '.join(sorted(os.listdir(inside))[:5]) or 'an empty folder'}. Give the checkpoint itself."
        )
    return inside / name


def _pointed_at(pointer: Path) -> str | None:
    if not pointer.is_file():
        return None
    try:
        name = read_text(pointer, 1_000).partition("\n")[0].strip()
    except (OSError, ValueError) as error:
        raise InputError(f"{pointer}: expected the name of a checkpoint; got {plainly(error)}.") from error
    if not _CHECKPOINT.fullmatch(name):
        raise InputError(f"{pointer}: expected the name of a checkpoint, such as {checkpoint_name(10)}; got {name!r}.")
    return name


def read_log(checkpoint: Path) -> Told:
    """What the log beside a checkpoint's folder says; nothing if there is none, or none of the original's."""
    log = checkpoint.absolute().parents[1] / _LOG
    if not log.is_file():
        return Told()
    with log.open("rb") as file:
        text = file.read(_HEAD).decode(errors="replace")
    settings = _settings(text)
    dataset = re.search(r"^dataset_config_file: .*?([\w-]+)\.yaml$", text, re.MULTILINE)
    return Told(
        seed=_count(settings.get("SEED")),
        shots=_count(settings.get("DATASET.NUM_SHOTS")),
        dataset=dataset[1] if dataset else None,
        class_position=settings.get("TRAINER.COOP.CLASS_TOKEN_POSITION"),
    )


def _settings(text: str) -> dict[str, str]:
    """Dotted name -> value, from the configuration that a log prints, indented by two blanks a level."""
    names: list[str] = []
    found: dict[str, str] = {}
    for match in filter(None, map(_SETTING.fullmatch, text.splitlines())):
        names[len(match[1]) // 2 :] = [match[2]]
        found.setdefault(".".join(names), match[3].strip().strip("'\""))
    return found


def _count(text: str | None) -> int | None:
    """A number of 0 or more; the original says -1 for a seed that nobody set and for all images."""
    return int(text) if text is not None and re.fullmatch(r"\d{1,9}", text) else None
