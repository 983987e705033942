"""`train --search`: what it prints and keeps, and that it needs images to choose on."""

import json
from dataclasses import asdict

from cocoop.results import read_record


def test_search_needs_validate_and_says_what_it_chose(cocoop, photos):
    ran = cocoop("train", "photos", "--out", "run", "--method", "tip-adapter", "--shots", 2, "--validate", "--search")
    assert ran.code == 0, ran.err
    search = read_record("run").search
    assert f"of {search.tried} on {search.images} validation images" in ran.out
    ran = cocoop("train", "photos", "--out", "other", "--method", "tip-adapter", "--shots", 2, "--search", "--json")
    assert (ran.code, ran.out) == (2, "") and "search: expected validation images" in ran.err
    told = cocoop(
        *("train", "photos", "--out", "again", "--method", "tip-adapter", "--shots", 2),
        *("--validate", "--search", "--json"),
    )
    assert json.loads(told.out)["search"] == asdict(search)
