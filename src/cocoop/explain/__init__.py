"""What a learned prompt has learned, and what it makes of images: words, pi, evidence; as tables and as one page."""

from cocoop.explain.explain import explain
from cocoop.explain.explanation import Explanation
from cocoop.explain.given import Given, dataset_given, is_labelled, pictures_given
from cocoop.explain.page import explanation_page
from cocoop.explain.pictures import Seen
from cocoop.explain.tables import explanation_tables

__all__ = [
    "Explanation",
    "Given",
    "Seen",
    "dataset_given",
    "explain",
    "explanation_page",
    "explanation_tables",
    "is_labelled",
    "pictures_given",
]
