"""Labelled images: the papers', drawn ones and the user's; splits, few-shot samples. Imports no torch and no model."""

from cocoop.data.base_new import HALVES, base_to_new
from cocoop.data.cache import cache_folder
from cocoop.data.dataset import Classes, Dataset
from cocoop.data.drawn.offline import OFFLINE, OFFLINE_VARIANTS, SHIFTS, list_offline_dataset, read_offline_dataset
from cocoop.data.examples import Example, class_names, labelled, positions_by_label
from cocoop.data.few_shot import MAX_VAL_SHOTS, few_shot_indices, sample_few_shot, sample_lopsided
from cocoop.data.fingerprint import fingerprint
from cocoop.data.folder import images_below, read_folder, read_folder_dataset
from cocoop.data.formats import IMAGE_FORMATS, IMAGE_SUFFIXES
from cocoop.data.images import ImageError, check_images, open_image, read_bytes, undecoded
from cocoop.data.left_out import HIDDEN, OTHER, LeftOut
from cocoop.data.manifest import read_manifest
from cocoop.data.names import read_class_names
from cocoop.data.own import OWN_TEMPLATE, picked_hash
from cocoop.data.papers.check import Finding, check_dataset
from cocoop.data.papers.guide import GUIDES, OFFLINE_ABOUT, Guide, Part, layout_tree
from cocoop.data.papers.miniature import write_miniature
from cocoop.data.papers.read import read_paper_dataset
from cocoop.data.papers.table import IMAGENET_VARIANTS, PAPER_DATASETS, TRAINABLE, TRANSFER_TARGETS, PaperDataset, Sizes
from cocoop.data.sources import Labelled, read_dataset
from cocoop.data.split import Splits, halves, hold_out, random_split, read_split_json, split_content, split_hash
from cocoop.data.words import PLAIN_NAMES, reworded

__all__ = [
    "Classes",
    "Dataset",
    "Example",
    "Finding",
    "GUIDES",
    "Guide",
    "HALVES",
    "IMAGENET_VARIANTS",
    "IMAGE_FORMATS",
    "IMAGE_SUFFIXES",
    "HIDDEN",
    "LeftOut",
    "OTHER",
    "images_below",
    "ImageError",
    "Labelled",
    "MAX_VAL_SHOTS",
    "OFFLINE",
    "OFFLINE_ABOUT",
    "OFFLINE_VARIANTS",
    "OWN_TEMPLATE",
    "PAPER_DATASETS",
    "PLAIN_NAMES",
    "PaperDataset",
    "Part",
    "SHIFTS",
    "Sizes",
    "Splits",
    "TRAINABLE",
    "TRANSFER_TARGETS",
    "base_to_new",
    "cache_folder",
    "check_dataset",
    "check_images",
    "class_names",
    "few_shot_indices",
    "fingerprint",
    "halves",
    "hold_out",
    "layout_tree",
    "labelled",
    "list_offline_dataset",
    "open_image",
    "picked_hash",
    "positions_by_label",
    "random_split",
    "read_bytes",
    "read_class_names",
    "read_dataset",
    "read_folder",
    "read_folder_dataset",
    "read_manifest",
    "read_offline_dataset",
    "read_paper_dataset",
    "read_split_json",
    "reworded",
    "sample_few_shot",
    "sample_lopsided",
    "split_content",
    "split_hash",
    "undecoded",
    "write_miniature",
]
