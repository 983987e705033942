"""Tables and pictures from results."""

from cocoop.reports.figures import base_to_new_figure
from cocoop.reports.tables import base_to_new_rows, text_table

__all__ = ["base_to_new_figure", "base_to_new_rows", "text_table"]
