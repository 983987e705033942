"""Evidence in a picture: against differences of the logits, on pictures in known places, and with other weights."""

import copy
import random

import numpy as np
import pytest
import torch
from PIL import Image
from random_states import random_resnet_state, random_text_state
from scipy.stats import spearmanr
from torch.nn.functional import normalize

from cocoop import CLIP, METHODS, CoCoOp, ZeroShot, read_dataset
from cocoop.clip.sources.load import BUNDLED
from cocoop.explain.evidence import evidence, strongest

NAMES = ["seven", "one", "red circle"]
GREY = (122, 116, 104)  # the mean of what CLIPs are given


@pytest.fixture(scope="module", params=["ViT", "ResNet"])
def double(request):
    """Each kind of image tower, in float64."""
    if request.param == "ViT":
        return CLIP.load("tiny", device="cpu", dtype="float64")
    return CLIP.load(
        random_resnet_state(grid=3) | random_text_state(), tokenizer=BUNDLED["tiny"], device="cpu", dtype="float64"
    )


def conditional(clip):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = CoCoOp(clip, NAMES)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
    return model


@torch.no_grad()
def margin(model, pixels, k, cell, factor):
    """The logit of class k above the mean with one cell scaled, with prompts that the image makes where it does."""
    tower = model.clip.image_tower

    def scaled(tokens):
        factors = torch.ones(tokens.shape[1], 1, dtype=tokens.dtype)
        factors[cell - tower.grid**2] = factor
        return tokens * factors

    logits = model(normalize(tower(pixels[None], scaled), dim=-1))[0]
    return float(logits[k] - logits.mean())


@pytest.mark.parametrize("build", [ZeroShot, conditional])
def test_it_is_how_the_logit_follows_each_cell(double, build):
    """A cell's share is the derivative by its own size: central differences, with prompts that follow the image."""
    model = build(double, NAMES) if build is ZeroShot else build(double)
    size, tower = double.preprocess.size, double.image_tower
    pixels = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = evidence(model, pixels, [2, 0])
    assert found.shape == (2, tower.grid, tower.grid) and found.dtype == torch.float64
    step = 1e-4
    for i, k in enumerate([2, 0]):
        ahead, behind = (
            [margin(model, pixels[i], k, cell, 1 + way) for cell in range(tower.grid**2)] for way in (step, -step)
        )
        slopes = (np.array(ahead) - behind) / (2 * step)
        positive = np.clip(slopes, 0, None)
        assert positive.any()
        assert found[i].flatten().tolist() == pytest.approx(positive / positive.sum(), rel=1e-4, abs=1e-5)


def test_who_observes_changes_nothing_unless_he_means_to(double):
    size, tower = double.preprocess.size, double.image_tower
    pixels = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        plain = tower(pixels)
        assert torch.equal(tower(pixels, lambda tokens: tokens), plain)
        assert not torch.equal(tower(pixels, lambda tokens: 2 * tokens), plain)


def test_the_prompts_dependence_on_the_image_counts(tiny):
    model, pixels = conditional(tiny), torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        fixed = model.text_features(tiny.encode_images(pixels))
    frozen = copy.copy(model)
    frozen.text_features = lambda image_features: fixed
    assert (evidence(model, pixels, [1]) - evidence(frozen, pixels, [1])).abs().max() > 1e-3


def canvases(clip, names, count):
    """Pictures of half the size in one corner of a grey ground: pixels, classes, corners."""
    dataset, draw, side = read_dataset(names), random.Random(0), clip.preprocess.size // 2
    pixels, classes, corners = [], [], []
    for example in draw.sample(dataset.test, count):
        corner, canvas = draw.randrange(4), Image.new("RGB", (2 * side, 2 * side), GREY)
        small = Image.open(example.path).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        canvas.paste(small, (corner % 2 * side, corner // 2 * side))
        pixels.append(clip.preprocess(canvas))
        classes.append(example.label)
        corners.append(corner)
    return dataset, torch.stack(pixels), classes, corners


@pytest.fixture(scope="module")
def in_corners(tiny):
    return canvases(tiny, "digits", 40)


def test_evidence_lies_where_the_picture_is(tiny, in_corners):
    """Chance is a quarter. `python benchmarks/evidence.py` has other data sets and ways."""
    dataset, pixels, classes, corners = in_corners
    cells = evidence(ZeroShot(tiny, dataset.class_names), pixels, classes)
    whole = cells.sum(dim=(1, 2))
    assert (((whole - 1).abs() < 1e-9) | (whole == 0)).all() and float((whole == 0).double().mean()) < 0.1
    quarters = cells.view(40, 2, 2, 2, 2).sum(dim=(2, 4)).flatten(1)
    there = quarters[torch.arange(40), corners]
    assert float(there.mean()) > 0.7 and float((quarters.argmax(dim=1) == torch.tensor(corners)).double().mean()) > 0.8


def test_other_weights_give_other_evidence(tiny, in_corners):
    """The sanity check of Adebayo et al., NeurIPS 2018: a map that the weights do not change explains no weights."""
    dataset, pixels, classes, _ = in_corners
    other = CLIP.load("tiny", device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in other.image_tower.parameters():
            shuffled = torch.randperm(parameter.numel(), generator=generator)
            parameter.copy_(parameter.flatten()[shuffled].view_as(parameter))
    maps = [evidence(ZeroShot(clip, dataset.class_names), pixels, classes).flatten(1) for clip in (tiny, other)]
    pairs = [pair for pair in zip(*map(torch.Tensor.numpy, maps), strict=True) if all(map(np.any, pair))]
    similar = [spearmanr(own, theirs).statistic for own, theirs in pairs]
    assert len(similar) > 20 and np.mean(similar) < 0.3
    again = evidence(ZeroShot(tiny, dataset.class_names), pixels, classes).flatten(1)
    assert torch.equal(again, maps[0])


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_it(name, tiny, in_corners):
    _, pixels, _, _ = in_corners
    model = METHODS[name](tiny, NAMES)
    model.prepare(tiny.encode_images(pixels[:6]), torch.arange(6) % 3)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    cells = evidence(model, pixels[:3], [0, 1, 2])
    assert cells.shape == (3, 4, 4) and cells.isfinite().all() and (cells >= 0).all()
    assert all(torch.equal(one, now) for one, now in zip(before, model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("grid", "place", "name", "share"),
    [
        (3, (0, 0), "top left", 100),
        (3, (1, 1), "middle", 100),
        (3, (1, 2), "middle right", 100),
        (6, (5, 2), "bottom middle", 100),
        (4, (0, 3), "top right", 100),
        (2, (0, 0), "top left", 100 * 4 / 9),
    ],
)
def test_the_ninth_with_the_most(grid, place, name, share):
    cells = torch.zeros(grid, grid, dtype=torch.float64)
    cells[place] = 1
    found = strongest(cells)
    assert (found.name, found.share) == (name, pytest.approx(share))
    assert strongest(torch.zeros(grid, grid, dtype=torch.float64)) is None
