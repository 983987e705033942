"""From tensors by name to the towers of a CLIP. A family is a file with a `read`, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cocoop.clip.sources.families import hugging_face, open_clip, openai
from cocoop.clip.sources.families.base import Checkpoint, Towers
from cocoop.clip.sources.families.refusals import why_not_family, why_not_tensors
from cocoop.errors import InputError

FAMILIES: dict[str, Callable[[Checkpoint], Towers]] = {
    "clip": hugging_face.read,
    "metaclip_2": hugging_face.read,
    "open_clip": open_clip.read,
    "openai": openai.read,
}
"""By "model_type" of a config.json; open_clip's checkpoints and OpenAI's have none."""


def check_family(name: str, family: object, config: Mapping[str, Any] | None) -> None:
    """`InputError` with the reason unless models of this family can be read, as far as its config file says."""
    if not isinstance(family, str) or family not in FAMILIES:
        raise InputError(f"{name}: expected {why_not_family(family)}")
    if family == "open_clip" and config is not None:
        open_clip.check_config(name, config)


def read_towers(family: str, checkpoint: Checkpoint) -> Towers:
    """The towers that a checkpoint of this family holds.

    Raises:
        InputError: it is not a whole CLIP of its family, or of a kind that cannot work; the message says why.
    """
    check_family(checkpoint.name, family, checkpoint.config)
    reason = why_not_tensors(checkpoint.tensors) if family in ("open_clip", "openai") else None
    if reason is not None:
        raise InputError(f"{checkpoint.name}: expected {reason}")
    try:
        towers = FAMILIES[family](checkpoint)
    except InputError as error:  # of one tower, which knows no names of files
        if str(error).startswith(checkpoint.name):
            raise
        raise InputError(f"{checkpoint.name}: {error}") from error
    joint_widths = towers.text.projection.out_features, towers.image.describe()["joint_width"]
    if joint_widths[0] != joint_widths[1]:
        raise InputError(
            f"{checkpoint.name}: expected two towers with one joint width; got {joint_widths[0]} of the text tower and "
            f"{joint_widths[1]} of the image tower."
        )
    return towers


__all__ = ["FAMILIES", "Checkpoint", "Towers", "check_family", "read_towers"]
