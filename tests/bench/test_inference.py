"""An image's way to its class: what is measured, what is scaled, and how it is shown."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from cocoop import CoCoOp
from cocoop.bench import class_names, inference, inference_rows, measure_inference, random_clip
from cocoop.methods import Expansion


@pytest.fixture(scope="module")
def clip():
    return random_clip("tiny", "cpu")


def test_times_are_of_one_image(clip, monkeypatch):
    """Every work runs once here and is said to take a fixed time, so that only the arithmetic is left."""
    taken = {"tower": 0.8, "exact": 0.4, "shortlist": 0.1, "expansion": 0.064, "refining": 0.02}
    monkeypatch.setattr(
        inference, "best_seconds", lambda works, rounds: {name: run() and taken[name] for name, run in works.items()}
    )
    clock = iter([10.0, 12.0])
    monkeypatch.setattr(inference.time, "perf_counter", lambda: next(clock, 12.0))
    monkeypatch.setattr(inference, "timed", lambda work, device: lambda: work() is not None)
    cell = measure_inference(clip, 250, 1, exact_images=2)
    assert (cell.tower_ms, cell.exact_ms, cell.shortlist_ms) == pytest.approx((100, 200, 50))
    assert (cell.expansion_ms, cell.refining_ms) == pytest.approx((1, 20))
    assert cell.tangent_ms == pytest.approx(1 + 0.05 * 20) and cell.tangent_of_tower == pytest.approx(0.02)
    assert cell.made_of_classes == 100
    assert cell.making_s == pytest.approx(2 * 250 / 100 + 64 * 0.2)
    assert cell.pays_from == pytest.approx(cell.making_s * 1000 / (200 - 2))
    slopes = 128 * 250 * 8 * 4 / 1e6
    assert slopes < cell.kept_mb < 1.6 * slopes
    (row,) = inference_rows([cell])
    assert row[:6] == ["250", "100", "200", "50.0", "2.00", "2.00%"]
    never = dataclasses.replace(cell, exact_ms=1.0)
    assert never.pays_from is None and inference_rows([never])[0][-1] == "-"


def test_a_repeated_expansion_is_that_of_repeated_classes(clip):
    torch.manual_seed(0)
    model = CoCoOp(clip, class_names(3)).requires_grad_(False)
    features = F.normalize(torch.randn(4, clip.embed_dim), dim=-1)
    codes = model.code(features)
    with torch.no_grad():
        expansion = Expansion(model, codes.mean(dim=0), float(codes.std()))
        few = expansion.logits(model, features, codes)
        inference._repeat(expansion, 8)
        assert torch.equal(expansion.logits(model, features, codes), few[:, [0, 1, 2, 0, 1, 2, 0, 1]])
