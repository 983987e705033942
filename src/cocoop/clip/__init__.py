"""CLIP, frozen: the towers, the tokenizer, the transforms, and the exact fast text encoder."""

from cocoop.clip.image.transforms import Preprocess, augment
from cocoop.clip.model import CLIP
from cocoop.clip.text.prompts import Prompts, slot

__all__ = ["CLIP", "Preprocess", "Prompts", "augment", "slot"]
