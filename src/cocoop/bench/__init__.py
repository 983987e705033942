"""How fast both towers are, beside their floors and the plain path, on random weights of any published size."""

from cocoop.bench.encoding import Encoding, class_names
from cocoop.bench.floor import Floor, ImageFloor
from cocoop.bench.images import ImageCell
from cocoop.bench.inference import InferenceCell, measure_inference
from cocoop.bench.measure import Cell
from cocoop.bench.plan import Part, Plan, check_gpus, plan
from cocoop.bench.rates import WAYS, Rates, TextSide, measure_rates, measure_text, photographs
from cocoop.bench.run import Bench, bench
from cocoop.bench.shapes import SHAPES, Shape, random_clip, random_state, shape_of
from cocoop.bench.table import (
    CELL_HEADER,
    IMAGE_HEADER,
    INFERENCE_HEADER,
    RATES_HEADER,
    TRAINING_HEADER,
    cell_rows,
    image_rows,
    inference_rows,
    rates_rows,
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
    "RATES_HEADER",
    "Part",
    "Plan",
    "Rates",
    "Shape",
    "TextSide",
    "TrainingImage",
    "WAYS",
    "bench",
    "cell_rows",
    "check_gpus",
    "class_names",
    "image_rows",
    "inference_rows",
    "measure_inference",
    "measure_rates",
    "measure_text",
    "photographs",
    "plan",
    "random_clip",
    "random_state",
    "rates_rows",
    "remarks",
    "shape_of",
    "suffix_lengths",
    "summary",
    "training_rows",
]
