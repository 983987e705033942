"""The table of sensitivity: leads, what words bring zero-shot, and shares, counted by hand from predictions."""

import numpy as np
import pytest
import records

from cocoop.reports import format_tables, html_report, protocol_tables
from cocoop.reports.cells import Difference
from cocoop.results import Paired, paired_difference, read_records

LABELS = np.arange(60) % 2
TEMPLATE = "an image of a {}."


def rights(seed, share):
    return np.random.default_rng(seed).random(len(LABELS)) < share


RIGHT = {  # method, seed, words or draw, shots -> which images are right
    ("zero-shot", 1, "own", None, "even", 0): rights(0, 0.5),
    ("zero-shot", 1, "plain", None, "even", 0): rights(0, 0.4),
    ("zero-shot", 1, "own", TEMPLATE, "even", 0): rights(0, 0.7),
    **{("coop", seed, "own", None, "even", 4): rights(0, 0.5) | rights(seed, 0.8) for seed in (1, 2)},
    **{("coop", seed, "own", None, "even", 1): rights(seed + 5, 0.5) for seed in (1, 2)},
    **{("coop", seed, "plain", None, "even", 4): rights(0, 0.5) | rights(seed, 0.6) for seed in (1, 2)},
    **{("coop", seed, "own", None, "lopsided", 4): rights(0, 0.4) | rights(seed, 0.5) for seed in (1, 2)},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for number, ((method, seed, names, template, draw, shots), right) in enumerate(RIGHT.items()):
        test = {"name": "test", "dataset": "dtd", "classes": "all"}
        trial = {
            **{"protocol": "sensitivity", "method": method, "dataset": "dtd", "classes": "all", "tests": [test]},
            **{"shots": shots, "seed": seed, "settings": {}, "names": names, "template": template, "draw": draw},
            **{"calibration": None, "coverage": None},
        }
        figures = records.test_figures(100 * right.mean(), n=len(right))
        content = records.record("sensitivity", "dtd", method, {"test": figures}, shots=shots, seed=seed, trial=trial)
        if template is not None:
            content["settings"] = content["settings"] | {"templates": [template]}
        predicted = np.where(right, LABELS, 1 - LABELS)
        confidence = np.full(len(LABELS), 0.5, np.float32)
        predictions = {"test/label": LABELS, "test/predicted": predicted, "test/confidence": confidence}
        records.write(root / str(number), content, predictions)
    return read_records([root])


def of(method, names="own", template=None, draw="even", shots=0):
    return np.stack(
        [right for key, right in RIGHT.items() if (key[0], *key[2:]) == (method, names, template, draw, shots)]
    )


def test_every_row_by_hand(runs):
    (table,) = protocol_tables(runs)
    rows = {row[2]: dict(zip(table.header[3:], row[3:], strict=True)) for row in table.rows}
    assert table.title == "Sensitivity, openai/clip-vit-base-patch16" and {row[:2] for row in table.rows} == {
        ("dtd", "coop")
    }
    words = f"template {TEMPLATE!r}"
    assert list(rows) == ["nothing", "plain names", words, "lopsided draw", "1 shot"]
    zero_shot = of("zero-shot")
    unchanged = 100 * (of("coop", shots=4).mean() - zero_shot.mean())
    for changed, mine, theirs in (
        ("nothing", of("coop", shots=4), zero_shot),
        ("plain names", of("coop", "plain", shots=4), of("zero-shot", "plain")),
        (words, of("coop", shots=4), of("zero-shot", template=TEMPLATE)),  # it takes no template
        ("lopsided draw", of("coop", draw="lopsided", shots=4), zero_shot),
        ("1 shot", of("coop", shots=1), zero_shot),
    ):
        row, lead = rows[changed], paired_difference([Paired(mine, theirs)])
        assert row["zero-shot"].mean == pytest.approx(100 * theirs.mean())
        assert row["accuracy"].mean == pytest.approx(100 * mine.mean()) and row["accuracy"].n == 2
        assert row["lead"].value == pytest.approx(100 * (mine.mean() - theirs.mean()))
        assert (row["lead, 95 %"].low, row["lead, 95 %"].high) == pytest.approx((lead.low, lead.high))
        if changed in ("plain names", words):
            brought = paired_difference([Paired(theirs, zero_shot)], seeded=False)
            assert row["words bring zero-shot"] == Difference(pytest.approx(brought.value))
            assert row["words, 95 %"].low == pytest.approx(brought.low)
            share = 100 * (unchanged - row["lead"].value) / unchanged
            assert row["of the lead, %"] == str(round(share))
        else:
            assert (row["words bring zero-shot"], row["words, 95 %"], row["of the lead, %"]) == ("", "", "")
    assert rows["nothing"]["lead, 95 %"].low > 0, "else there is no share to test"
    assert float(rows[words]["of the lead, %"]) > 50, "of words that bring zero-shot most of the lead"


def test_the_table_goes_into_every_format_and_the_page(runs):
    tables = protocol_tables(runs)
    for form in ("table", "md", "latex", "csv", "json"):
        assert "lopsided draw" in format_tables(tables, form)
    page = html_report(runs)
    assert "Accuracy over shots" in page and "Plain names are those of the annotations" in page


def test_no_share_where_the_lead_may_be_nothing(runs):
    """With one seed of coop no interval is known."""
    few = [record for record in runs if record.seed == 1]
    (table,) = protocol_tables(few)
    rows = {row[2]: dict(zip(table.header[3:], row[3:], strict=True)) for row in table.rows}
    assert rows["nothing"]["lead, 95 %"] == "" and rows["plain names"]["of the lead, %"] == ""
