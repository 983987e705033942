"""The raw layouts of the fifteen data sets, one pure reader per layout: files in, splits and class names out.

A reader takes the data set's own folder and its image folder, and returns `RawData`. It opens annotation files and
lists folders, never opens an image, checks that one exists, or writes. What it cannot read is an `InputError` that
starts with the file or folder.
"""

from cocoop.data.split import Splits

RawData = tuple[Splits, list[str]]
"""The three splits, and the K class names by label."""

SPLIT_SEED = 0
"""Seed of the splits drawn where the disk holds none, so that they are the same on every machine."""
