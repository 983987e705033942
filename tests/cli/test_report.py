"""`cocoop report`, on made-up runs."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest
import records


@pytest.fixture
def runs(tmp_path):
    for method, base in (("zero-shot", 60), ("cocoop", 100 / 3)):
        records.write(tmp_path / "runs", records.record("base-to-new", "dtd", method, {"base": base, "new": 50}))
    return tmp_path / "runs"


def test_a_table_with_the_published_figures(cocoop, runs):
    ran = cocoop("report", runs)
    assert ran.code == 0 and ran.err == ""
    lines = ran.out.splitlines()
    assert lines[0] == "warning: Fewer than three seeds, which say little of other seeds: cocoop (1)."
    assert lines[2:4] == ["", "Base to new, 16 shots, openai/clip-vit-base-patch16"]
    (row,) = [line.split() for line in lines if line.strip().startswith("cocoop")]
    assert row == ["cocoop", "33.33", "77.01", "-43.68", "50.00", "56.00", "-6.00", "40.00", "64.85", "-24.85"]


def test_csv_and_json_are_unrounded(cocoop, runs):
    rows = list(csv.DictReader(io.StringIO(cocoop("report", runs, "--format", "csv").out)))
    assert float(rows[1]["base"]) == 100 / 3
    ran = cocoop("report", runs, "--format", "json")
    (table,) = json.loads(ran.out)
    assert ran.err.startswith("warning: Fewer than three seeds") and ran.err.count("warning: ") == 2
    assert table["rows"][1]["base"] == {"mean": 100 / 3, "std": None, "n": 1}


@pytest.mark.parametrize(
    ("form", "sign"), [("md", "| cocoop    |"), ("latex", r"\toprule"), ("html", "<!doctype html>")]
)
def test_a_file(cocoop, runs, tmp_path, form, sign):
    ran = cocoop("report", runs, "--format", form, "--out", "figures.txt")
    assert (ran.code, ran.out) == (0, "figures.txt\n")
    assert sign in (tmp_path / "figures.txt").read_text(encoding="utf-8")


def test_html_has_a_file_of_its_own(cocoop, runs, tmp_path):
    ran = cocoop("report", "runs", "--format", "html")
    assert (ran.code, ran.out, ran.err) == (0, "report.html\n", "2 runs\n")
    assert "cocoop report runs --format html" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_one_run_is_singular(cocoop, tmp_path):
    records.write(tmp_path / "runs", records.record("few-shot", "photos/", "coop", {"test": 1}, shots=1))
    assert cocoop("report", "runs", "--format", "html").err == "1 run\n"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<title>cocoop: 1 run</title>" in page and "photos" in page and "photos/" not in page


def test_one_run_folder_is_a_page_about_it_in_the_folder(cocoop, runs):
    folder = next(runs.rglob("record.json")).parent
    ran = cocoop("report", folder)
    assert (ran.code, ran.out, ran.err) == (0, f"{folder}/report.html\n", "1 run\n")
    assert "<h1>Run seed-1</h1>" in (folder / "report.html").read_text(encoding="utf-8")
    for again in ((folder, "--format", "table"), (folder, folder)):
        assert "\n\nBase to new" in cocoop("report", *again).out
    assert cocoop("report", folder, "--out", "x.html").out == "x.html\n"


def test_where_the_run_folder_cannot_be_written_the_page_goes_here_and_a_note_says_so(cocoop, runs, tmp_path):
    folder = next(runs.rglob("record.json")).parent
    (folder / "report.html").mkdir()  # root may write into folders without the right to write
    ran = cocoop("report", folder)
    assert (ran.code, ran.out) == (0, "report.html\n") and (tmp_path / "report.html").is_file()
    assert "report.html: expected a file to write; it is a folder" in ran.err
    assert "The page goes to report.html" in ran.err


def test_the_interval(cocoop, runs):
    records.write(runs, records.record("base-to-new", "dtd", "cocoop", {"base": 43, "new": 50}, seed=2))
    assert "half the 95 % interval, 1.96 std / sqrt(n)" in cocoop("report", runs, "--ci95").out
    # 1.96 * 4.8333 / sqrt(2)
    assert "38.17 +- 6.70" in cocoop("report", runs, "--ci95").out
    assert "38.17 +- 4.83" in cocoop("report", runs).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "none: expected a run folder, or a folder that holds some; got no such folder"),
        (["."], "got no record.json. Make runs with `cocoop benchmark`"),
        (["runs", "--format", "xml"], "--format: expected one of table, md, csv, latex, html, json; got 'xml'"),
        (["runs", "--out", "none/x.md"], "none/x.md: expected a file to write; it lies in a folder that is not there"),
        (["runs", "--format", "html", "--out", "."], ".: expected a file to write; it is a folder"),
    ],
)
def test_what_cannot_work_is_one_line(cocoop, tmp_path, arguments, message):
    if arguments[0] == "runs":
        records.write(tmp_path / "runs", records.record("few-shot", "dtd", "coop", {"test": 1}))
    ran = cocoop("report", *arguments)
    assert ran.code == 2 and ran.out == ""
    assert message in ran.err and ran.err.count("\n") == 1 and "Traceback" not in ran.err


def test_a_damaged_record_is_named(cocoop, runs):
    path = next(runs.rglob("record.json"))
    path.write_text('{"method": "co')
    ran = cocoop("report", runs)
    assert ran.code == 2 and f"{path}: it is cut off" in ran.err and ran.err.count("\n") == 1


@pytest.mark.parametrize("form", ["table", "md", "json", "html"])
def test_names_that_are_no_text_are_spelled_out(tmp_path, form):
    """In a terminal that knows ASCII only."""
    records.write(tmp_path / "runs", records.record("few-shot", "caf\udce9", "coop", {"test": 1}))
    code = "from cocoop.cli import main; main()"
    command = [sys.executable, "-c", code, "report", "runs", "--format", form]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (ran.returncode, "Traceback" in ran.stderr) == (0, False), ran.stderr
    text = (tmp_path / "report.html").read_text() if form == "html" else ran.stdout
    spelled = "caf\\\\udce9" if form == "md" else "caf\\udce9"  # Markdown shows one of two backslashes
    assert spelled in text


@pytest.mark.parametrize("form", ["table", "html"])
def test_reports_import_no_torch(runs, tmp_path, form):
    code = (
        "import sys, atexit\n"
        "heavy = {'torch', 'transformers', 'sklearn', 'matplotlib'}\n"
        "atexit.register(lambda: sys.stderr.write(','.join(sorted(heavy & set(sys.modules)))))\n"
        "from cocoop.cli import main\n"
        f"sys.argv = ['cocoop', 'report', {str(runs)!r}, '--format', {form!r}, '--out', {str(tmp_path / 'out')!r}]\n"
        "main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "2 runs\n")
