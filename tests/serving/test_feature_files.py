"""Files of features: what was encoded comes back, with names and errors, and only for its own CLIP."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from cocoop import CLIP, InputError, Predictor
from cocoop.data import LeftOut
from cocoop.features import encode_pictures
from cocoop.serving import encode, feature_files, named_pictures, new_feature_file, read_features

ENDINGS = ["npy", "parquet"]


@pytest.fixture(scope="module")
def clip():
    return CLIP.load("tiny", device="cpu")


def write(clip, learned, out: Path) -> list:
    sources = [*learned.paths[:20], str(learned.run / "config.json"), *learned.paths[20:]]
    rows = [row for part in encode(clip, named_pictures(sources, LeftOut())) for row in part]
    with new_feature_file(out, clip) as file:
        for row in rows:
            file.add(row)
    return rows


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_written_is_read(clip, learned, tmp_path, ending):
    out = tmp_path / f"new/features.{ending}"
    wrote = write(clip, learned, out)
    read = [row for part in read_features(str(out), clip) for row in part]
    assert feature_files(str(out)) and [row.key for row in read] == [row.key for row in wrote]
    assert [str(row.error) for row in read] == [str(row.error) for row in wrote]
    features = np.stack([row.feature.numpy() for row in read if row.feature is not None])
    assert np.array_equal(features, encode_pictures(clip, learned.paths).numpy())
    if ending == "npy":
        assert np.array_equal(np.load(out), features) and features.dtype == np.float32
    else:
        column = pyarrow.parquet.read_table(out)["embedding"].to_pylist()
        assert column[20] is None and column[0] == features[0].tolist()


@pytest.mark.parametrize("ending", ENDINGS)
def test_predictions_from_them_are_those_from_pictures(clip, learned, tmp_path, ending):
    out = tmp_path / f"features.{ending}"
    write(clip, learned, out)
    predictor = Predictor.load(learned.run, device="cpu")
    rows = list(predictor.stream_features(read_features(str(out), predictor.clip_)))
    expected = learned.classifier.predict_proba(learned.paths)
    good = [row for row in rows if row.error is None]
    assert [row.key for row in good] == learned.paths and len(rows) == 37
    assert [row.probability for row in good] == pytest.approx(expected.max(axis=1).tolist(), abs=1e-6)


@pytest.mark.parametrize("ending", ENDINGS)
def test_those_of_another_clip_are_refused(clip, learned, tmp_path, ending):
    out = tmp_path / f"features.{ending}"
    write(clip, learned, out)
    other = CLIP.load("tiny", device="cpu")
    other.text.plain = True  # computes the same
    assert list(read_features(str(out), other))
    other.__dict__.pop("fingerprint", None)
    other.logit_scale += 1
    with pytest.raises(InputError, match=r"expected features of this CLIP \(tiny, fingerprint .*Embed the pictures"):
        read_features(str(out), other)


def test_what_was_not_written_so_is_refused(clip, learned, tmp_path):
    np.save(tmp_path / "mine.npy", np.zeros((2, 128), dtype=np.float32))
    with pytest.raises(InputError, match=r"mine\.npy: expected features as `cocoop embed` writes them"):
        read_features(str(tmp_path / "mine.npy"), clip)
    out = tmp_path / "features.npy"
    write(clip, learned, out)
    np.save(out, np.load(out)[:5])
    with pytest.raises(InputError, match="more names than its 5 features"):
        list(read_features(str(out), clip))
    np.save(out, np.zeros((36, 5), dtype=np.float32))
    with pytest.raises(InputError, match=r"shape \[36, 5\] of float32"):
        read_features(str(out), clip)
    keys = Path(f"{out}.keys.jsonl")
    keys.write_text(json.dumps({"clip": "tiny"}) + "\n")
    with pytest.raises(InputError, match="no word of its CLIP"):
        read_features(str(out), clip)
    pyarrow.parquet.write_table(pyarrow.table({"image": ["a.png"]}), tmp_path / "table.parquet")
    assert not feature_files(str(tmp_path / "table.parquet")) and not feature_files(str(tmp_path / "none.npy"))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_was_not_finished_is_not_there(clip, tmp_path, ending):
    out = tmp_path / f"features.{ending}"
    with pytest.raises(KeyboardInterrupt), new_feature_file(out, clip):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match=r"expected a file that ends in \.npy or \.parquet"):
        new_feature_file(tmp_path / "features.pt", clip)
    out.touch()
    with pytest.raises(InputError, match="expected a new file"):
        new_feature_file(out, clip)
