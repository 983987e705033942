"""How fast both towers are, beside their floors and the plain path, on random weights of any published size."""

from cocoop.bench.encoding import Encoding, class_names
from cocoop.bench.floor import Floor, ImageFloor
from cocoop.bench.images import ImageCell
from cocoop.bench.inference import InferenceCell, measure_inference
from cocoop.bench.measure import Cell
from cocoop.bench.run import Bench, bench
from cocoop.bench.shapes import SHAPES, Shape, random_clip, random_state
from cocoop.bench.table import (
    CELL_HEADER,
    IMAGE_HEADER,
    INFERENCE_HEADER,
    TRAINING_HEADER,
    cell_rows,
    image_rows,
    inference_rows,
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
    "INFERENCE_HEADER",
    "SHAPES",
    "SUFFIX_LENGTHS",
    "TRAINING_HEADER",
    "Bench",
    "Cell",
    "Encoding",
    "Floor",
    "ImageCell",
    "ImageFloor",
    "InferenceCell",
    "Shape",
    "TrainingImage",
    "bench",
    "cell_rows",
    "class_names",
    "image_rows",
    "inference_rows",
    "measure_inference",
    "random_clip",
    "random_state",
    "remarks",
    "suffix_lengths",
    "summary",
    "training_rows",
]
