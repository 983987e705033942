"""What is done with a learned prompt: predictions of any number of pictures, from wherever they come."""

from cocoop.serving.encode import encode
from cocoop.serving.export import ExportedFile, export, load_learned
from cocoop.serving.exported import FORMS, is_exported
from cocoop.serving.feature_files import feature_files, new_feature_file, read_features
from cocoop.serving.parquet import ParquetTable, clip_head
from cocoop.serving.pictures import TARS, archived, named_pictures
from cocoop.serving.predictor import TEMPLATE, Prediction, Predictor
from cocoop.serving.rows import RESUMABLE, Results, check_results, format_of, open_results
from cocoop.serving.tables import Named, of_row_groups
from cocoop.serving.text_rows import COLUMNS, csv_of, entry_of

__all__ = [
    "COLUMNS",
    "FORMS",
    "RESUMABLE",
    "TARS",
    "TEMPLATE",
    "ExportedFile",
    "Named",
    "ParquetTable",
    "Prediction",
    "Predictor",
    "Results",
    "archived",
    "check_results",
    "clip_head",
    "csv_of",
    "encode",
    "entry_of",
    "export",
    "feature_files",
    "format_of",
    "is_exported",
    "load_learned",
    "named_pictures",
    "new_feature_file",
    "of_row_groups",
    "open_results",
    "read_features",
]
