"""What is done with a learned prompt: predictions of any number of pictures, from wherever they come."""

from cocoop.serving.encode import encode
from cocoop.serving.export import ExportedFile, export, load_learned
from cocoop.serving.exported import FORMS, is_exported
from cocoop.serving.feature_files import is_feature_file, new_feature_file, read_features
from cocoop.serving.pictures import named_pictures
from cocoop.serving.predictor import TEMPLATE, Prediction, Predictor
from cocoop.serving.rows import RESUMABLE, Results, check_results, format_of, open_results
from cocoop.serving.tables import Named

__all__ = [
    "FORMS",
    "RESUMABLE",
    "TEMPLATE",
    "ExportedFile",
    "Named",
    "Prediction",
    "Predictor",
    "Results",
    "check_results",
    "encode",
    "export",
    "format_of",
    "is_exported",
    "is_feature_file",
    "load_learned",
    "named_pictures",
    "new_feature_file",
    "open_results",
    "read_features",
]
