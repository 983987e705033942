"""Labelled images: folders, splits, few-shot samples, the demo's digits. Imports no torch and no model."""

from cocoop.data.base_new import HALVES, base_to_new
from cocoop.data.digits import DIGIT_COUNTS, read_digits, write_digits
from cocoop.data.examples import Example, by_label, class_names
from cocoop.data.few_shot import MAX_VAL_SHOTS, few_shot_indices, sample_few_shot
from cocoop.data.fingerprint import Fingerprint, fingerprint
from cocoop.data.folder import IMAGE_SUFFIXES, read_folder
from cocoop.data.images import check_images, open_image
from cocoop.data.split import Splits, random_split, read_split_json, split_hash

__all__ = [
    "DIGIT_COUNTS",
    "Example",
    "Fingerprint",
    "HALVES",
    "IMAGE_SUFFIXES",
    "MAX_VAL_SHOTS",
    "Splits",
    "base_to_new",
    "by_label",
    "check_images",
    "class_names",
    "few_shot_indices",
    "fingerprint",
    "open_image",
    "random_split",
    "read_digits",
    "read_folder",
    "read_split_json",
    "sample_few_shot",
    "split_hash",
    "write_digits",
]
