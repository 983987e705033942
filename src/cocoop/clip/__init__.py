"""CLIP, frozen: the towers, the tokenizer, the transforms, and the exact fast text encoder."""

from cocoop.clip.activations import ACTIVATIONS
from cocoop.clip.image.transforms import Preprocess, augment
from cocoop.clip.model import CLIP
from cocoop.clip.text.prompts import Prompts, slot
from cocoop.clip.text.replaced import Replacement

__all__ = ["ACTIVATIONS", "CLIP", "Preprocess", "Prompts", "Replacement", "augment", "slot"]
