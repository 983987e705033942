"""Tables and pictures from results. Imports no torch."""

from cocoop.reports.cells import Cell, Difference, Published, Rate, Table
from cocoop.reports.figures import base_to_new_figure
from cocoop.reports.formats import FORMATS, format_table, format_tables
from cocoop.reports.groups import Group, group_records
from cocoop.reports.page.html_report import html_report
from cocoop.reports.protocol_tables import protocol_tables
from cocoop.reports.tables import base_to_new_rows, text_table
from cocoop.results import Record, read_records

__all__ = [
    "Cell",
    "Difference",
    "FORMATS",
    "Group",
    "Published",
    "Rate",
    "Record",
    "Table",
    "base_to_new_figure",
    "base_to_new_rows",
    "format_table",
    "format_tables",
    "group_records",
    "html_report",
    "protocol_tables",
    "read_records",
    "text_table",
]
