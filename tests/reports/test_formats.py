"""Every format says what the table holds; those for machines to the last digit."""

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest

from cocoop.errors import InputError
from cocoop.reports import FORMATS, Difference, Published, Rate, Table, format_table, format_tables

THIRD = 100 / 3
TABLE = Table(
    title="Base to new, tiny",
    protocol="base-to-new",
    header=("data set", "method", "seeds", "base", "base paper", "base diff"),
    rows=(
        ("dtd", "coop", 3, Rate(THIRD, 0.125, 3), Published(30.5), Difference(THIRD - 30.5)),
        ("dtd", "cocoop", "", None, "", ""),
        ("average of 1 of 2", "coop", "", Rate(THIRD, None, 1), "", Difference(-1.0)),
    ),
    notes=("mean +- std.",),
)
HOSTILE = Table(
    title=r"50 % of $x_1$ & {a}^~\ #1 | <b>",
    protocol="own-images",
    header=("run", "accuracy"),
    rows=(("<script>alert(1)</script> & \"q\" | 'a_b$' \\ %", Rate(50.0)),),
    notes=("% $ <i>",),
)


def test_text_for_people():
    assert format_table(TABLE, "table").splitlines() == [
        "Base to new, tiny",
        "",
        "data set           method  seeds           base  base paper  base diff",
        "-----------------  ------  -----  -------------  ----------  ---------",
        "dtd                coop        3  33.33 +- 0.12       30.50      +2.83",
        "                   cocoop             -",
        "average of 1 of 2  coop           33.33                          -1.00",
        "",
        "mean +- std.",
    ]


def test_markdown():
    lines = format_table(TABLE, "md").splitlines()
    assert lines[0] == "**Base to new, tiny**"
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if line.startswith("|")]
    assert cells[2] == ["dtd", "coop", "3", "33.33 ± 0.12", "30.50", "+2.83"]
    assert cells[3] == ["dtd", "cocoop", "", "-", "", ""]
    assert cells[4][-1] == "−1.00"
    assert lines[-1] == "* mean ± std."


def test_markdown_lets_no_html_and_no_column_through():
    text = format_table(HOSTILE, "md")
    assert "<script" not in text and "<b>" not in text and "<i>" not in text
    (row,) = [line for line in text.splitlines() if "script" in line]
    assert len(re.findall(r"(?<!\\)\|", row)) == 3


def test_csv_is_unrounded_and_every_number_has_a_column():
    rows = list(csv.DictReader(io.StringIO(format_table(TABLE, "csv"))))
    assert float(rows[0]["base"]) == THIRD
    assert (float(rows[0]["base std"]), int(rows[0]["base n"])) == (0.125, 3)
    assert float(rows[0]["base diff"]) == THIRD - 30.5
    assert (rows[1]["base"], rows[1]["base std"], rows[1]["base n"]) == ("", "", "")
    assert (rows[2]["base std"], rows[2]["table"]) == ("", "Base to new, tiny")


def test_csv_of_several_tables_has_one_header():
    rows = list(csv.DictReader(io.StringIO(format_tables([TABLE, HOSTILE], "csv"))))
    assert [row["table"] for row in rows] == [TABLE.title] * 3 + [HOSTILE.title]
    assert (rows[3]["run"], rows[3]["data set"]) == (HOSTILE.rows[0][0], "")
    assert float(rows[3]["accuracy"]) == 50


def test_json_round_trip():
    (first, second) = json.loads(format_tables([TABLE, HOSTILE], "json"))
    assert first["rows"][0] == {
        "data set": "dtd",
        "method": "coop",
        "seeds": 3,
        "base": {"mean": THIRD, "std": 0.125, "n": 3},
        "base paper": 30.5,
        "base diff": THIRD - 30.5,
    }
    assert first["rows"][1]["base"] is None
    assert (first["table"], first["protocol"], first["notes"]) == (TABLE.title, "base-to-new", ["mean +- std."])
    assert second["rows"][0]["run"] == HOSTILE.rows[0][0]


def test_the_interval_replaces_the_spread_for_people_and_joins_it_for_machines():
    table = Table(("data set", "a"), (("dtd", Rate(50, 2.0, 4)),), "t", "few-shot", spread="ci95")
    assert "50.00 +- 1.96" in format_table(table, "table")  # 1.96 2 / sqrt(4)
    (row,) = csv.DictReader(io.StringIO(format_table(table, "csv")))
    assert (float(row["a std"]), float(row["a ci95"])) == (2.0, 1.96)
    assert json.loads(format_table(table, "json"))[0]["rows"][0]["a"] == {"mean": 50, "std": 2.0, "n": 4, "ci95": 1.96}


@pytest.mark.parametrize("table", [TABLE, HOSTILE], ids=["plain", "hostile"])
def test_latex_is_well_formed(table):
    text = "\n".join(re.sub(r"(?<!\\)%.*", "", line) for line in format_table(table, "latex").splitlines())
    stack = []
    for which, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if which == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    bare = re.sub(r"\\[\\{}$&#_%]", "", text)  # without escaped signs and line ends
    depth = 0
    for sign in bare:
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[#_^~|<>\"]", bare)
    columns = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)[1])
    rows = re.findall(r"^(.*) \\\\$", text, re.MULTILINE)
    assert len(rows) == 1 + len(table.rows)
    assert all(len(re.findall(r"(?<!\\)&", row)) == columns - 1 for row in rows)


def test_latex_rows_do_not_start_with_what_belongs_to_the_row_before():
    r"""`\\[...]` is a space between rows, and `\\*` no page break."""
    table = Table(("data set", "a"), (("[old]", Rate(1.0)), ("*new", Rate(2.0))), "t", "few-shot")
    rows = format_table(table, "latex").splitlines()
    assert [row for row in rows if "old" in row or "new" in row] == [
        r"{[}old] & $1.00$ \\",
        r"{*}new & $2.00$ \\",
    ]


def test_latex_sets_averages_apart():
    lines = format_table(TABLE, "latex").splitlines()
    assert lines[lines.index(r"\bottomrule") - 2] == r"\midrule"
    assert r"dtd & coop & $3$ & $33.33 \pm 0.12$ & $30.50$ & $+2.83$ \\" in lines
    assert r"dtd & cocoop &  & -- &  &  \\" in lines


def test_latex_sets_all_numbers_in_one_type():
    table = Table(("a", "b"), (("x 1", 12345), ("y", Published(1.5)), ("z", Difference(-2.0))), "t", "few-shot")
    rows = format_table(table, "latex").splitlines()
    assert [row for row in rows if "$" in row] == [
        r"x 1 & $12{,}345$ \\",
        r"y & $1.50$ \\",
        r"z & $-2.00$ \\",
    ]


def test_latex_leaves_room_between_data_sets_and_rules_off_averages():
    names = ("dtd", "dtd", "eurosat", "eurosat", "average of 2", "average of 1 of 2")
    table = Table(("data set", "a"), tuple((name, Rate(1.0)) for name in names), "t", "few-shot")
    lines = format_table(table, "latex").splitlines()
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert [line.partition(" &")[0] for line in body] == [
        *("dtd", "dtd", r"\addlinespace", "eurosat", "eurosat", r"\midrule", "average of 2", "average of 1 of 2")
    ]
    # Nothing to set apart: one row for each.
    table = Table(("run", "a"), (("x", Rate(1.0)), ("y", Rate(2.0))), "t", "own-images")
    assert r"\addlinespace" not in format_table(table, "latex")


def test_latex_has_its_notes_below_the_table():
    notes = ("mean +- std, 95 % of x_1.", "-: no run has this figure.")
    table = Table(("data set", "a"), (("dtd", None),), "t", "few-shot", notes)
    lines = format_table(table, "latex").splitlines()
    assert lines[lines.index(r"\end{tabular}") + 1 :] == [
        r"\par\smallskip",
        r"{\footnotesize\raggedright mean $\pm$ std, 95 \% of x\_1. --: no run has this figure.\par}",
        r"\end{table}",
    ]


class Elements(HTMLParser):
    """Names of the elements and all text; fails where they do not nest."""

    def __init__(self, text):
        super().__init__()
        self.names, self.words, self.open = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_html_nests_and_escapes():
    page = Elements(format_tables([TABLE, HOSTILE], "html"))
    assert page.names.count("table") == 2
    assert set(page.names) <= {"table", "caption", "thead", "tbody", "tr", "th", "td", "small", "ul", "li"}
    assert HOSTILE.rows[0][0] in page.words and HOSTILE.title in page.words
    assert page.names.count("td") == 18 + 2


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "csv"])
def test_a_table_without_rows(form):
    assert format_table(Table(("data set",), (), "t", "few-shot"), form)


def test_an_unknown_format():
    with pytest.raises(InputError, match="format: expected one of table, md, csv, latex, html, json; got 'xml'"):
        format_table(TABLE, "xml")
