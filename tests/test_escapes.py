"""What a name may hold does nothing where it is shown: to terminals, Markdown, spreadsheets; and JSON stays JSON."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cocoop.errors import InputError
from cocoop.escapes import dumps, markdown, read_back, shortened, spreadsheet, visible


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\tb", r"a\tb"),
        ("a\nb\r", r"a\nb\r"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202eevil", r"\u202eevil"),
        ("\u200b", r"\u200b"),
        ("\ufeff", r"\ufeff"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\U000e0041"),  # a tag, which nothing shows
        ("שלום café\u0301 日本 \u00a0", "שלום café\u0301 日本 \u00a0"),
        ("\U0001f469\u200d\U0001f680", "\U0001f469\u200d\U0001f680"),
    ],
)
def test_what_a_terminal_gets(text, seen):
    assert visible(text) == seen


@given(st.text())
def test_visible_text_is_visible_and_stays_so(text):
    assert visible(visible(text)) == visible(text)
    assert not set(visible(text)) & {chr(number) for number in (*range(32), *range(0x7F, 0xA0), 0x202E, 0x2066)}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("[x](javascript:alert(1))", r"\[x\](javascript:alert(1))"),
        ("![x](http://x/y)", r"!\[x\](http://x/y)"),
        ("<script>", "&lt;script&gt;"),
        ("&nbsp;", "&amp;nbsp;"),
        ("a|b\n# c", r"a\|b # c"),
        ("\\[x]", r"\\\[x\]"),
        ("`x` **y**", r"\`x\` \*\*y\*\*"),
    ],
)
def test_what_markdown_gets(text, written):
    assert markdown(text) == written


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(1)", "'=1", "''-"])
def test_a_spreadsheet_computes_nothing(text):
    assert spreadsheet(text) == f"'{text}" and read_back(f"'{text}") == text


@pytest.mark.parametrize("cell", ["cat", "'cat'", "a=1", "", None, -1.5, 3])
def test_other_cells_stay(cell):
    assert spreadsheet(cell) == cell


@given(st.text())
def test_a_cell_of_csv_comes_back(text):
    file = io.StringIO(newline="")
    csv.writer(file).writerow([spreadsheet(text), "x"])
    [[cell, _]] = csv.reader(io.StringIO(file.getvalue(), newline=""))
    assert read_back(cell) == text and not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


@given(st.dictionaries(st.text(), st.text()), st.sampled_from([None, 2]))
def test_json_comes_back_and_shows_nothing_else(content, indent):
    text = dumps(content, indent)
    assert json.loads(text) == content
    assert all(visible(line) == line for line in text.split("\n"))


def test_json_keeps_letters_of_all_scripts():
    assert dumps({"é": "日本\x9b\U000e0041"}) == r'{"é": "日本\u009b\udb40\udc41"}'


def test_a_message_is_one_visible_line_of_a_length_that_is_read():
    told = str(InputError(f"{'x' * 10_000}\x1b: expected a name; got none. Give one."))
    assert len(told) < 1300 and told.startswith("xxx") and told.endswith(r"\x1b: expected a name; got none. Give one.")
    assert "letters left out" in told
    assert shortened("abc", 3) == "abc"
