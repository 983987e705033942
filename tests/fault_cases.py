"""Faults of the machine: what is put in the way of a command, what it says, and what it leaves.

`cli/test_faults.py` runs each row; `tools/fault_table.py` prints them as the tables of docs/robustness.md. A new row
needs no code.
"""

from __future__ import annotations

from dataclasses import dataclass

from fault_injections import (
    Injection,
    clock,
    few_files,
    full,
    limited,
    memory,
    no_shared_memory,
    nothing,
    nowhere_to_note,
    nowhere_to_print,
    out_of_memory_killer,
    overtaken,
    read_only,
    rights,
)


@dataclass(frozen=True)
class Fault:
    """A row.

    kind, where: of the fault, in words. command: in a folder with `photos`, a `run` learned from them, `features.npy`
    and an old `page.html`. inject: what puts the fault in the way. code: the exit code. said: part of the one line on
    stderr that says it. left: what is there afterwards that was not before, in words, and names: its names; all that
    was there before is as it was. again: what is added to the command, which then, without the fault, ends well; None
    where it is refused as before.
    """

    kind: str
    where: str
    command: str
    inject: Injection
    code: int
    said: str
    left: str = "nothing"
    names: frozenset[str] = frozenset()
    again: str | None = ""


TRAIN = "train photos --shots 2 --epochs 2 --lr 0.1 --device cpu --out"
PREDICT = "predict run photos --device cpu"
EMBED = "embed photos --clip tiny --device cpu --out"
BENCHMARK = "benchmark few-shot --datasets photos --methods coop --shots 1 --seeds 1 --epochs 2 --device cpu --out"
ROOM, READ, LARGE = "No space left on device", "Read-only file system", "File too large"
NOTHING = frozenset[str]()
KEPT = "the learned tensors, and the training's state: the same command ends without training"
BEFORE = "nothing: it is known before the training"
ROWS = "the rows before, all whole: the same command with `--resume` ends"

FAULTS = [
    Fault(
        "disk full",
        "the first file of a run folder",
        f"{TRAIN} new",
        full("/.config.json."),
        1,
        f"new/config.json: expected to write a file; got {ROOM}",
        KEPT,
        frozenset({".new.state", "new.learned.safetensors"}),
    ),
    Fault(
        "disk full",
        "the last file of a run folder",
        f"{TRAIN} new",
        full(".record.json."),
        1,
        f"new/record.json: expected to write a file; got {ROOM}",
        KEPT,
        frozenset({".new.state", "new.learned.safetensors"}),
    ),
    Fault(
        "disk full",
        "the state of a training",
        f"{TRAIN} new",
        full("/..new.state."),
        0,
        f"the training goes on, but its state is not kept: .new.state: expected to write tensors; got {ROOM}",
        "the run",
        frozenset({"new"}),
        None,
    ),
    Fault("disk full", "all of it, before a training", f"{TRAIN} new", full(""), 2, f"got {ROOM} below", BEFORE),
    Fault(
        "disk full",
        "image features",
        f"{TRAIN} new --feature-cache cache",
        full("/cache/"),
        1,
        f"expected to write image features; got {ROOM}",
        "the empty folder of the cache",
        frozenset({"cache"}),
    ),
    Fault(
        "disk full",
        "a record that gets a temperature",
        "evaluate run more --calibrate --device cpu",
        full(".record.json."),
        1,
        f"run/record.json: expected to write a file; got {ROOM}",
    ),
    Fault(
        "disk full",
        "a record of a benchmark",
        f"{BENCHMARK} trials",
        full(".record.json."),
        1,
        f"seed-1/record.json: expected to write a file; got {ROOM}",
        "the state of the run: the same command ends without training",
        frozenset({"trials"}),
    ),
    Fault(
        "disk full",
        "a page that takes the place of one",
        "report run --out page.html",
        full("/.page.html."),
        1,
        f"page.html: expected to write a file; got {ROOM}",
        "the page before",
    ),
    Fault(
        "disk full",
        "predictions, CSV",
        f"{PREDICT} --out rows.csv",
        limited(400),
        1,
        f"rows.csv: expected to write the results; got {LARGE}",
        ROWS,
        frozenset({"rows.csv"}),
        "--resume",
    ),
    Fault(
        "disk full",
        "predictions, JSON lines",
        f"{PREDICT} --out rows.jsonl",
        limited(400),
        1,
        f"rows.jsonl: expected to write the results; got {LARGE}",
        ROWS,
        frozenset({"rows.jsonl"}),
        "--resume",
    ),
    Fault(
        "disk full",
        "predictions, Parquet",
        f"{PREDICT} --out rows.parquet --embeddings",
        limited(400),
        1,
        f"rows.parquet: expected to write the results; got Error writing bytes to file. Detail: [errno 27] {LARGE}",
    ),
    Fault(
        "disk full",
        "features and their names, npy",
        f"{EMBED} new.npy",
        full("/.new.npy."),
        1,
        f"new.npy.keys.jsonl: expected to write the features' names; got {ROOM}",
    ),
    Fault(
        "disk full",
        "features, Parquet",
        f"{EMBED} new.parquet",
        limited(400),
        1,
        f"new.parquet: expected to write the results; got Error writing bytes to file. Detail: [errno 27] {LARGE}",
    ),
    Fault(
        "disk full",
        "an exported head",
        "export run --to safetensors-head --out model",
        limited(1000),
        1,
        f"model: expected to write an exported model; got {LARGE}",
    ),
    Fault(
        "disk full",
        "an exported program",
        "export run --to torch-export --features --out model",
        limited(1000),
        1,
        f"model: expected to write an exported model; got {LARGE}",
    ),
    Fault(
        "disk full",
        "a miniature of a data set",
        "datasets sample eurosat --data-root small",
        limited(1000),
        1,
        f"expected to write a folder of small images; got {LARGE}",
        "the empty data root",
        frozenset({"small"}),
    ),
    Fault(
        "disk full",
        "what a command prints, when it ends",
        PREDICT,
        nowhere_to_print,
        1,
        f"stdout: expected to print the results; got {ROOM}",
    ),
    Fault(
        "disk full",
        "what a command prints, before it ends",
        "datasets list",
        nowhere_to_print,
        1,
        f"stdout: expected to print the results; got {ROOM}",
    ),
    Fault(
        "disk full",
        "what a command says beside its results",
        PREDICT,
        nowhere_to_note,
        0,
        "",
        "the results, printed",
        NOTHING,
        None,
    ),
    Fault("read-only", "the place of a run folder", f"{TRAIN} new", read_only(""), 2, f"got {READ} below", BEFORE),
    Fault(
        "read-only",
        "a run folder, from the training on",
        f"{TRAIN} new",
        read_only("/.config.json."),
        1,
        f"new/config.json: expected to write a file; got {READ}",
        KEPT,
        frozenset({".new.state", "new.learned.safetensors"}),
    ),
    Fault(
        "read-only",
        "image features",
        f"{TRAIN} new --feature-cache cache",
        read_only("/cache"),
        1,
        f"expected to write image features; got {READ}",
    ),
    Fault(
        "read-only",
        "a record that gets a temperature",
        "evaluate run more --calibrate --device cpu",
        read_only("/run/"),
        1,
        f"run/record.json: expected to write a file; got {READ}",
    ),
    Fault(
        "read-only",
        "a benchmark",
        f"{BENCHMARK} trials",
        read_only("/trials"),
        1,
        f"expected to write a file; got {READ}",
    ),
    Fault(
        "read-only",
        "a page",
        "report run --out page.html",
        read_only(".page.html."),
        2,
        f"page.html: expected a file to write; it cannot be written ({READ})",
        "the page before",
    ),
    Fault(
        "read-only",
        "predictions",
        f"{PREDICT} --out rows.csv",
        read_only("rows.csv"),
        1,
        f"rows.csv: expected to write the results; got {READ}",
    ),
    Fault(
        "read-only",
        "features",
        f"{EMBED} new.npy",
        read_only("new.npy"),
        1,
        f"new.npy.keys.jsonl: expected to write the features' names; got {READ}",
    ),
    Fault(
        "no rights",
        "the folder of a run folder",
        f"{TRAIN} locked/new",
        rights,
        2,
        "locked is a folder without the right to write",
        BEFORE,
    ),
    Fault("a place that cannot be", "a device", f"{TRAIN} /dev/null", nothing, 2, "it exists", BEFORE, again=None),
    Fault(
        "a place that cannot be",
        "a name of 240 characters",
        f"{TRAIN} {'n' * 240}",
        nothing,
        2,
        "File name too long",
        BEFORE,
        again=None,
    ),
    Fault(
        "a place that cannot be",
        "a name of 300 characters",
        f"{TRAIN} {'n' * 300}",
        nothing,
        2,
        "File name too long",
        BEFORE,
        again=None,
    ),
    Fault(
        "a place that cannot be",
        "a link into nothing that may not be made",
        f"{TRAIN} dangling",
        nothing,
        2,
        "below /proc",
        BEFORE,
        again=None,
    ),
    Fault(
        "a race",
        "another makes the folder during the training",
        f"{TRAIN} new",
        overtaken,
        1,
        "new: expected a new or empty folder for the run; it exists.",
        "the other's folder, the learned tensors, and the state: the same command ends when that folder is gone",
        frozenset({"new", ".new.state", "new.learned.safetensors"}),
        None,
    ),
    Fault(
        "64 open files at most",
        "a training with a feature cache",
        f"{TRAIN} new --feature-cache cache --augment",
        few_files,
        0,
        "",
        "the run",
        frozenset({"new", "cache"}),
        None,
    ),
    Fault(
        "64 open files at most",
        "predictions",
        f"{PREDICT} --out rows.parquet",
        few_files,
        0,
        "",
        "the rows",
        frozenset({"rows.parquet"}),
        None,
    ),
    Fault(
        "no memory",
        "a step of a training",
        f"{TRAIN} new",
        memory,
        1,
        "memory: expected enough of it for this command; got RuntimeError",
    ),
    Fault(
        "killed for memory",
        "the processes of a benchmark",
        f"{BENCHMARK} trials --jobs 2",
        out_of_memory_killer,
        1,
        "its process was killed (exit code -9), perhaps for want of memory",
        "what is done: the same command goes on",
        frozenset({"trials"}),
        "--jobs 1",
    ),
    Fault(
        "no shared memory",
        "a container without /dev/shm",
        f"{TRAIN} new",
        no_shared_memory,
        0,
        "",
        "the run; threads decode",
        frozenset({"new"}),
        None,
    ),
    Fault(
        "a clock that jumps",
        "by a year, back and forth",
        f"{TRAIN} new --feature-cache cache",
        clock,
        0,
        "",
        "the run",
        frozenset({"new", "cache"}),
        None,
    ),
]

RESUME, BESIDE = "cli/test_train_resume.py", "cli/test_side_by_side.py"
ELSEWHERE = [
    (
        "disk full",
        "a file system of 32 kB, really, in the last write",
        "the state: the same command ends without training when there is room",
        "cli/test_faults.py",
        "test_a_disk_that_is_really_full",
    ),
    (
        "SIGKILL",
        "a training, after each step of each epoch",
        "the state: what is learned is the same to the bit",
        "training/test_checkpoint.py",
        "test_killed_inside_every_epoch_it_learns_the_same_bits",
    ),
    (
        "SIGKILL",
        "the process of a training",
        "the state: the same command goes on, to the same bits",
        RESUME,
        "test_a_process_that_is_killed",
    ),
    (
        "SIGKILL",
        "a benchmark, at random",
        "finished runs, and states of others: the same command goes on",
        "protocols/test_benchmark.py",
        "test_killed_at_random_moments_and_finished",
    ),
    (
        "SIGKILL",
        "in the write of a file or folder",
        "a hidden one, which the next process that writes there removes",
        "test_atomic.py",
        "test_a_process_killed_in_the_write_leaves_nothing_after_the_next_start",
    ),
    (
        "killed for memory",
        "a process that decodes pictures",
        "the state, if a training has begun; the error says so in a line",
        "features/test_pixels.py",
        "test_a_process_that_is_killed_is_said",
    ),
    (
        "Ctrl-C, SIGTERM",
        "a training",
        "the state after the step under way; exit code 130 or 143",
        RESUME,
        "test_stopped_by_hand_the_same_command_goes_on",
    ),
    (
        "Ctrl-C twice",
        "a training",
        "the last state that was kept; the second ends at once",
        RESUME,
        "test_a_second_ctrl_c_does_not_wait_for_the_step",
    ),
    (
        "two at once",
        "trainings to one `--out`",
        "the first is not disturbed; the second is refused, exit code 2",
        BESIDE,
        "test_a_second_training_to_the_same_place_is_refused",
    ),
    (
        "two at once",
        "benchmarks in one folder",
        "the first is not disturbed; the second is refused, exit code 2",
        "protocols/test_benchmark.py",
        "test_two_benchmarks_in_one_folder",
    ),
    (
        "eight at once",
        "processes on one feature cache",
        "one whole cache, and the same features in all",
        BESIDE,
        "test_eight_processes_on_one_feature_cache",
    ),
    (
        "two at once",
        "predictions, and reports of the same run",
        "whole pages, whole rows",
        BESIDE,
        "test_predictions_while_reports_are_made",
    ),
]
"""Kind, where, what is left, and the test that holds it to that."""
