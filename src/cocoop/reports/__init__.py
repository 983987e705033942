"""Tables and pictures from results. Imports no torch."""

from cocoop.reports.base_to_new import base_to_new_figure, base_to_new_table
from cocoop.reports.cautions import cautions
from cocoop.reports.cells import Cell, Difference, Interval, Published, Rate, Table
from cocoop.reports.formats import FORMATS, format_table, format_tables, text_table
from cocoop.reports.groups import Group, group_records
from cocoop.reports.page.html_report import html_report
from cocoop.reports.page.run_report import run_report
from cocoop.reports.protocol_tables import protocol_tables

__all__ = [
    "Cell",
    "Difference",
    "FORMATS",
    "Group",
    "Interval",
    "Published",
    "Rate",
    "Table",
    "base_to_new_figure",
    "base_to_new_table",
    "cautions",
    "format_table",
    "format_tables",
    "group_records",
    "html_report",
    "protocol_tables",
    "run_report",
    "text_table",
]
