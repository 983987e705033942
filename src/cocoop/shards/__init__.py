"""Any number of pictures on any number of machines: an input shard gives one output, whoever works it."""

from cocoop.shards.listing import LIST_SIZE, shards_of
from cocoop.shards.outputs import done_of
from cocoop.shards.places import output_folder
from cocoop.shards.run import ATTEMPTS, Tally, work_shards
from cocoop.shards.runners import Here, Processes, Runner, devices_for
from cocoop.shards.shard import Shard, pictures_of
from cocoop.shards.work import Embedding, Job, Line, Predicting, Work

__all__ = [
    "ATTEMPTS",
    "LIST_SIZE",
    "Embedding",
    "Here",
    "Job",
    "Line",
    "Predicting",
    "Processes",
    "Runner",
    "Shard",
    "Tally",
    "Work",
    "devices_for",
    "done_of",
    "output_folder",
    "pictures_of",
    "shards_of",
    "work_shards",
]
