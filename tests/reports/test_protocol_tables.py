"""Tables against values computed by hand from literal records."""

from pathlib import Path

import pytest
import records
from hypothesis import given, settings
from hypothesis import strategies as st

from cocoop.data import TRAINABLE, TRANSFER_TARGETS
from cocoop.reports import Difference, Published, Rate, protocol_tables
from cocoop.results import published


def made(*contents):
    """Records that lie nowhere."""
    return [records.read(Path(f"run-{i}"), content) for i, content in enumerate(contents)]


def rows_of(table):
    """(first cell, method) -> the other cells by the name of their column."""
    return {row[:2]: dict(zip(table.header[2:], row[2:], strict=True)) for row in table.rows}


def test_base_to_new_by_hand():
    (table,) = protocol_tables(
        made(
            records.record("base-to-new", "digits", "zero-shot", {"base": 60, "new": 40}),
            records.record("base-to-new", "digits", "cocoop", {"base": 80, "new": 70}, seed=1),
            records.record("base-to-new", "digits", "cocoop", {"base": 90, "new": 50}, seed=2),
        )
    )
    assert table.title == "Base to new, 16 shots, openai/clip-vit-base-patch16"
    assert table.header == ("data set", "method", "base", "new", "H")
    assert table.rows == (
        ("digits", "zero-shot", Rate(60, None, 1), Rate(40, None, 1), Rate(pytest.approx(48), None, 1)),
        # Of the means 85 and 60, as in the paper: 10200 / 145; not the mean of 74.67 and 64.29.
        ("digits", "cocoop", Rate(85, 5, 2), Rate(60, 10, 2), Rate(pytest.approx(10200 / 145), None, 2)),
    )
    assert table.notes == (
        "Accuracy in percent: mean +- population standard deviation over seeds 1, 2. Without +-: one run, or an "
        "average.",
    )


def test_the_papers_table_1_from_its_own_figures():
    """Records with the published accuracies: no difference anywhere, and the printed averages."""
    runs = [
        records.record(
            "base-to-new",
            name,
            method,
            {
                half: records.test_figures(published("base-to-new", name, half, method), name)
                for half in ("base", "new")
            },
        )
        for name in TRAINABLE
        for method in ("zero-shot", "coop", "cocoop")
    ]
    (table,) = protocol_tables(made(*runs))
    assert {cell.value for row in table.rows for cell in row if isinstance(cell, Difference)} == {0.0}
    assert [row[0] for row in table.rows[::3]] == [*TRAINABLE, "average of 11"]
    averages = {row[1]: row for row in table.rows[-3:]}
    printed = {"zero-shot": (69.34, 74.22, 71.70), "coop": (82.69, 63.22, 71.66), "cocoop": (80.47, 71.69, 75.83)}
    for method, expected in printed.items():
        ours = tuple(round(averages[method][i].mean, 2) for i in (2, 5, 8))
        theirs = tuple(round(averages[method][i].value, 2) for i in (3, 6, 9))
        assert ours == theirs == expected
    assert all(isinstance(averages["coop"][i], Published) for i in (3, 6, 9))


def test_the_papers_table_2_from_its_own_figures():
    runs = [
        records.record(
            "cross-dataset",
            "imagenet",
            method,
            {name: published("cross-dataset", "imagenet", name, method) for name in TRAINABLE},
        )
        for method in ("coop", "cocoop")
    ]
    (table,) = protocol_tables(made(*runs))
    rows = rows_of(table)
    assert table.rows[0][0] == "imagenet (source)"
    assert [row[0] for row in table.rows[2:-2:2]] == list(TRANSFER_TARGETS)
    for method, printed in (("coop", 63.88), ("cocoop", 65.74)):
        average = rows["average of 10", method]
        assert round(average["accuracy"].mean, 2) == round(average["accuracy paper"].value, 2) == printed


def test_differences_stand_beside_what_was_published():
    (table,) = protocol_tables(
        made(records.record("base-to-new", "eurosat", "cocoop", {"base": 90, "new": 60}, clip="tiny"))
    )
    row = rows_of(table)["eurosat", "cocoop"]
    assert (row["base paper"], row["new paper"]) == (Published(87.49), Published(60.04))
    assert row["base diff"].value == pytest.approx(2.51)
    assert row["H diff"].value == pytest.approx(72 - 2 * 87.49 * 60.04 / (87.49 + 60.04))
    assert len(table.notes) == 2 and table.notes[1].startswith("paper: CoCoOp (CVPR 2022), OpenAI's ViT-B/16, 16 shots")


def test_other_shots_than_16_are_compared_with_nothing():
    (table,) = protocol_tables(made(records.record("base-to-new", "dtd", "cocoop", {"base": 90, "new": 60}, shots=4)))
    assert table.header == ("data set", "method", "base", "new", "H")


def test_zero_shot_is_compared_only_beside_the_papers_shots():
    def header(*more):
        runs = [records.record("base-to-new", "dtd", "zero-shot", {"base": 50, "new": 60}), *more]
        return [len(table.header) for table in protocol_tables(made(*runs))]

    def learned(shots):
        return records.record("base-to-new", "dtd", "coop", {"base": 80, "new": 50}, shots=shots)

    assert header() == [2 + 9]
    assert header(learned(8)) == [2 + 3]
    assert header(learned(8), learned(16)) == [2 + 3, 2 + 9]


def test_a_folder_has_no_slash_at_its_end():
    results = {"my/photos/": 90, "other/": 60, "digits/": 30}
    (transfer,) = protocol_tables(made(records.record("cross-dataset", "my/photos/", "coop", results)))
    assert transfer.title.startswith("Cross-dataset from my/photos, ")
    # A folder that is called like a data set is told from it.
    assert [(row[0], row[2].mean) for row in transfer.rows] == [
        ("my/photos (source)", 90),
        ("digits/", 30),
        ("other", 60),
        ("average of 2", 45),
    ]
    few = [
        records.record("few-shot", "photos", "coop", {"test": 40}, seed=1),
        records.record("few-shot", "photos/", "coop", {"test": 60}, seed=2),
        records.record("few-shot", "dtd/", "coop", {"test": 10}, seed=1),
        records.record("few-shot", "dtd", "coop", {"test": 20}, seed=2),
    ]
    (table,) = protocol_tables(made(*few))
    assert [(row[0], row[2].mean) for row in table.rows[:-1]] == [("dtd", 20), ("dtd/", 10), ("photos", 50)]


def test_a_missing_run_is_a_gap_and_averages_say_over_how_many():
    (table,) = protocol_tables(
        made(
            records.record("base-to-new", "shapes", "coop", {"base": 60, "new": 40}),
            records.record("base-to-new", "digits", "coop", {"base": 80, "new": 20}),
            records.record("base-to-new", "digits", "cocoop", {"base": 70, "new": 70}),
        )
    )
    rows = rows_of(table)
    assert rows["shapes", "cocoop"] == {"base": None, "new": None, "H": None}
    assert table.missing == 3
    average = rows["average of 2", "coop"]
    assert (average["base"].mean, average["new"].mean) == (70, 30)
    # Of the average base and new, 2 70 30 / 100, not the average of 48 and 32.
    assert average["H"].mean == pytest.approx(42)
    assert rows["average of 1 of 2", "cocoop"]["base"].mean == 70
    assert "-: no run has this figure." in table.notes
    assert "Averages over different data sets do not compare with each other." in table.notes


def test_an_average_over_fewer_data_sets_is_not_compared_with_the_papers():
    (table,) = protocol_tables(
        made(*(records.record("base-to-new", name, "coop", {"base": 60, "new": 40}) for name in TRAINABLE[:10]))
    )
    average = rows_of(table)["average of 10", "coop"]
    assert (average["base paper"], average["base diff"]) == ("", "")


def test_a_missing_seed_shows_in_a_column_of_its_own():
    runs = [
        records.record("base-to-new", "digits", method, {"base": 60 + seed, "new": 40}, seed=seed)
        for method, seeds in (("coop", (1, 2, 3)), ("cocoop", (1, 3)))
        for seed in seeds
    ]
    (table,) = protocol_tables(made(*runs, records.record("base-to-new", "digits", "zero-shot", {"base": 1, "new": 1})))
    assert table.header[2] == "seeds"
    assert [row[2] for row in table.rows] == [1, 3, 2]
    assert "over the seeds of each run" in table.notes[0]
    assert rows_of(table)["digits", "cocoop"]["base"] == Rate(62, 1, 2)


def test_a_seed_that_is_there_twice_is_noted():
    run = records.record("base-to-new", "digits", "coop", {"base": 60, "new": 40})
    (table,) = protocol_tables(made(run, run))
    assert "coop on digits: seed 1 is there 2 times, and all count." in table.notes


def test_fewer_runs_behind_a_few_shot_cell_are_noted():
    runs = [
        records.record("few-shot", "digits", "coop", {"test": 50}, shots=shots, seed=seed)
        for shots, seeds in ((1, (1, 2, 3)), (4, (1, 2)))
        for seed in seeds
    ]
    (table,) = protocol_tables(made(*runs))
    assert "Fewer than 3 runs: coop on digits, 4 shots (2)." in table.notes


def test_runs_on_other_test_images_are_noted():
    """As where miniatures lie beside the data themselves."""
    small = {half: records.test_figures(50, n=10) for half in ("base", "new")}
    runs = [
        records.record("base-to-new", "digits", "zero-shot", small),
        records.record("base-to-new", "digits", "coop", {"base": 60, "new": records.test_figures(50, n=10)}),
    ]
    (table,) = protocol_tables(made(*runs))
    assert [note for note in table.notes if "test images" in note] == [
        "digits, base: runs with 10 and 100 test images stand together; they do not compare."
    ]


def test_two_clips_are_two_tables():
    tables = protocol_tables(
        made(
            records.record("few-shot", "digits", "coop", {"test": 10}, clip="tiny"),
            records.record("few-shot", "digits", "coop", {"test": 90}, clip="large"),
        )
    )
    assert [(table.title, table.rows[0][2].mean) for table in tables] == [
        ("Few-shot, large", 90),
        ("Few-shot, tiny", 10),
    ]


def test_one_clip_under_two_names_is_one_and_two_under_one_name_are_two():
    def run(clip, mark, seed):
        return records.record("few-shot", "digits", "coop", {"test": 50}, clip=clip, clip_fingerprint=mark, seed=seed)

    (table,) = protocol_tables(made(run("here/vit", "a" * 64, 1), run("there/vit", "a" * 64, 2)))
    assert (table.title, table.rows[0][2].n) == ("Few-shot, here/vit", 2)
    tables = protocol_tables(made(run("vit", "a" * 64, 1), run("vit", "b" * 64, 2)))
    assert [table.title for table in tables] == ["Few-shot, vit (aaaaaaaa)", "Few-shot, vit (bbbbbbbb)"]


def test_two_settings_are_never_averaged():
    longer = records.SETTINGS["coop"] | {"context": None, "context_length": 16}
    (table,) = protocol_tables(
        made(
            records.record("few-shot", "digits", "coop", {"test": 10}),
            records.record("few-shot", "digits", "coop", {"test": 90}, settings=longer),
            records.record("few-shot", "shapes", "coop", {"test": 50}, settings=longer),
            records.record("few-shot", "shapes", "zero-shot", {"test": 5}),
        )
    )
    rows = rows_of(table)
    long, short = "coop, context None, context length 16", "coop, context a photo of a, context length 4"
    assert rows["digits", long]["16 shots"].mean == 90
    assert rows["digits", short]["16 shots"].mean == 10
    assert rows["shapes", short]["16 shots"] is None
    assert rows["average of 2", long]["16 shots"].mean == 70
    assert rows["average of 2", short]["16 shots"] is None


def test_settings_that_differ_only_between_data_sets_need_no_words():
    """As the papers have it: each data set has its own template, and CoOp learns for 50 epochs on ImageNet."""
    (table,) = protocol_tables(
        made(
            records.record("few-shot", "dtd", "zero-shot", {"test": 1}, settings={"templates": ["{} texture."]}),
            records.record("few-shot", "eurosat", "zero-shot", {"test": 3}, settings={"templates": ["a {}."]}),
        )
    )
    assert [row[1] for row in table.rows] == ["zero-shot"] * 3
    assert table.rows[-1][2].mean == 2


def test_few_shot_by_hand():
    runs = [
        records.record("few-shot", "digits", "coop", {"test": 50 + shots + seed}, shots=shots, seed=seed)
        for shots in (1, 4)
        for seed in (1, 2)
    ]
    runs += [records.record("few-shot", "digits", "zero-shot", {"test": 30})]
    (table,) = protocol_tables(made(*runs))
    assert table.header == ("data set", "method", "0 shots", "1 shot", "4 shots")
    assert table.rows == (
        ("digits", "zero-shot", Rate(30, None, 1), "", ""),
        ("digits", "coop", "", Rate(52.5, 0.5, 2), Rate(55.5, 0.5, 2)),
    )


def test_transfer_has_a_table_per_source():
    tables = protocol_tables(
        made(
            records.record(
                "domain-generalization", "shapes", "coop", {"shapes": 90, "shapes_blur": 60, "shapes_noise": 40}
            ),
            records.record("domain-generalization", "digits", "coop", {"digits": 90, "digits_blur": 50}),
        )
    )
    assert [table.title.partition(",")[0] for table in tables] == [
        "Domain generalization from digits",
        "Domain generalization from shapes",
    ]
    assert [row[0] for row in tables[1].rows] == ["shapes (source)", "shapes_blur", "shapes_noise", "average of 2"]
    assert tables[1].rows[-1][2].mean == 50  # the source is not in it
    assert [row[0] for row in tables[0].rows] == ["digits (source)", "digits_blur"]


def test_own_images_are_one_row_per_run():
    beside = {"test": records.test_figures(55.0)}
    (table,) = protocol_tables(
        made(
            records.record("own-images", "photos", "cocoop", {"test": 80}, seed=1, zero_shot=beside),
            records.record("own-images", "photos", "cocoop", {"test": 90}, seed=2),
            records.record("own-images", "photos", "zero-shot", {"test": 60}),
            records.record("own-images", "photos", "coop", {}),
        )
    )
    last = [row[-1] for row in table.rows]
    assert [row[:4] for row in table.rows] == [
        ("run-2", "zero-shot", 0, 1),
        ("run-3", "coop", 16, 1),
        ("run-0", "cocoop", 16, 1),
        ("run-1", "cocoop", 16, 2),
    ]
    assert last == [Rate(60), None, Rate(55), None]
    assert table.rows[1][4:] == (None,) * 6


def test_the_interval():
    runs = [records.record("few-shot", "digits", "coop", {"test": value}, seed=value) for value in (1, 2, 3, 4)]
    (table,) = protocol_tables(made(*runs), ci95=True)
    rate = table.rows[0][2]
    # Population std of 1..4 is sqrt(1.25); CoOp:parse_test_res.py: 1.96 * std / sqrt(n).
    assert (rate.mean, rate.ci95) == (2.5, pytest.approx(1.96 * 1.25**0.5 / 2))
    assert "half the 95 % interval, 1.96 std / sqrt(n)" in table.notes[0]


GRID = [(name, method) for name in ("digits", "shapes", "dtd") for method in ("zero-shot", "coop", "cocoop")]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(GRID), st.integers(1, 3)), min_size=1, unique=True))
def test_any_subset_of_runs_makes_a_table_with_a_gap_for_every_missing_one(chosen):
    runs = [
        records.record("base-to-new", name, method, {"base": 50, "new": 60}, seed=seed)
        for (name, method), seed in chosen
    ]
    (table,) = protocol_tables(made(*runs))
    there = {place for place, _ in chosen}
    names, methods = ({place[i] for place in there} for i in (0, 1))
    gaps = len(names) * len(methods) - len(there)
    # A method's average can only miss if it has no data set at all.
    assert table.missing == 3 * gaps
    assert sum(not str(row[0]).startswith("average") for row in table.rows) == len(names) * len(methods)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["digits", "dtd"]), st.sampled_from(["coop", "cocoop"]), st.sampled_from([1, 2, 16])),
        min_size=1,
        unique=True,
    )
)
def test_any_subset_of_shots_makes_a_table(chosen):
    runs = [records.record("few-shot", name, method, {"test": 50}, shots=shots) for name, method, shots in chosen]
    (table,) = protocol_tables(made(*runs))
    names, methods, shots = ({place[i] for place in chosen} for i in (0, 1, 2))
    gaps = len(names) * len(methods) * len(shots) - len(chosen)
    holes = {(method, count) for method in methods for count in shots} - {
        (method, count)
        for method in methods
        for count in shots
        if all((name, method, count) in chosen for name in names)
    }
    assert table.missing == gaps + (len(holes) if len(names) > 1 else 0)


def test_every_table_names_its_protocol_and_clip():
    results = {
        "base-to-new": {"base": 1, "new": 2},
        "cross-dataset": {"dtd": 1, "shapes": 2},
        "domain-generalization": {"dtd": 1, "shapes": 2},
        "few-shot": {"test": 1},
        "own-images": {"test": 1},
    }
    runs = [records.record(protocol, "dtd", "coop", tests, clip="tiny") for protocol, tests in results.items()]
    assert [(table.protocol, table.clip) for table in protocol_tables(made(*runs))] == [(p, "tiny") for p in results]
