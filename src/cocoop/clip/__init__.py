"""CLIP, frozen: the towers, the tokenizer, the transforms, and the exact fast text encoder."""

from cocoop.clip.model import CLIP
from cocoop.clip.prompts import Prompts, slot
from cocoop.clip.transforms import Preprocess, augment

__all__ = ["CLIP", "Preprocess", "Prompts", "augment", "slot"]
