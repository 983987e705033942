"""Whatever is wrong with a record, a user gets one line and no traceback."""

import copy
import json

import numpy as np
import records
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from cocoop.errors import InputError
from cocoop.reports import FORMATS, format_tables, html_report, protocol_tables
from cocoop.results import read_records

MISTAKE = {"image": "a.png", "label": "a", "predicted": "b", "confidence": 0.5}
RECORD = records.record(
    "own-images",
    "photos",
    "coop",
    {test: records.test_figures(50.0, mistakes=[MISTAKE]) for test in ("test", "base", "new")},
    zero_shot={"test": records.test_figures(40.0)},
)
ODD = [None, "x", -1, 10**6, 0.5, True, [], [1], {}, {"x": 1}]


def places(content, above=()):
    """The way to every value in nested dicts and lists."""
    children = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [way for key, value in children for way in [(*above, key), *places(value, (*above, key))]]


GONE = object()
"""Instead of a value: its key is not there."""


def replaced(content, way, value):
    changed = copy.deepcopy(content)
    inner = changed
    for key in way[:-1]:
        inner = inner[key]
    if value is GONE:
        del inner[way[-1]]
    else:
        inner[way[-1]] = value
    return changed


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(places(RECORD)),
    st.sampled_from([*ODD, GONE]),
    st.sampled_from(["few-shot", "base-to-new", "own-images"]),
)
def test_any_odd_value_makes_a_report_or_one_line(tmp_path_factory, way, value, protocol):
    folder = tmp_path_factory.mktemp("run")
    (folder / "record.json").write_text(json.dumps(replaced({**RECORD, "protocol": protocol}, way, value)))
    of_one = {"label": np.array([0, 1]), "predicted": np.array([1, 1]), "confidence": np.ones(2)}
    arrays = {f"{test}/{name}": values for test in ("test", "base", "new") for name, values in of_one.items()}
    save_file(arrays, folder / "predictions.safetensors")
    try:
        runs = read_records([folder])
        tables = protocol_tables(runs)
        assert all(format_tables(tables, form) for form in FORMATS)
        html_report(runs)
    except InputError as error:
        assert "\n" not in str(error)
        assert "record.json" in str(error) or "predictions.safetensors" in str(error)
