"""How fast both towers are, beside their floors and the plain path, on random weights of any published size."""

from cocoop.bench.encoding import Encoding, class_names
from cocoop.bench.floor import Floor, ImageFloor
from cocoop.bench.images import ImageCell
from cocoop.bench.measure import Cell
from cocoop.bench.run import Bench, bench
from cocoop.bench.shapes import SHAPES, Shape, random_clip, random_state
from cocoop.bench.table import (
    CELL_HEADER,
    IMAGE_HEADER,
    TRAINING_HEADER,
    cell_rows,
    image_rows,
    remarks,
    summary,
    training_rows,
)
from cocoop.bench.training import TrainingImage
from cocoop.clip.text.typical import CONTEXT_LENGTH, SUFFIX_LENGTHS, suffix_lengths

__all__ = [
    "CELL_HEADER",
    "CONTEXT_LENGTH",
    "IMAGE_HEADER",
    "SHAPES",
    "SUFFIX_LENGTHS",
    "TRAINING_HEADER",
    "Bench",
    "Cell",
    "Encoding",
    "Floor",
    "ImageCell",
    "ImageFloor",
    "Shape",
    "TrainingImage",
    "bench",
    "cell_rows",
    "class_names",
    "image_rows",
    "random_clip",
    "random_state",
    "remarks",
    "suffix_lengths",
    "summary",
    "training_rows",
]
