"""The loop, its schedule and its features."""

import math
import random
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_clip import FACTS, VALUES
from PIL import Image

from cocoop import CoCoOp, CoOp, InputError, RunError, ZeroShot
from cocoop.clip import augment
from cocoop.features import AugmentedFeatures, FeatureStore, FixedFeatures, encode_pictures, read_pictures
from cocoop.training import learning_rate, prepare, train, warm_up_only
from cocoop.training.loop import _order

NAMES = FACTS["class_names"]
FEATURES = VALUES["image_features"]
LABELS = FACTS["labels"]


def test_learning_rates_of_the_original():
    """reference/original_protocol.md 1.2, ten epochs at lr 0.002, to the digits given there."""
    given = [1e-5, 0.002, 1.951e-3, 1.809e-3, 1.588e-3, 1.309e-3, 1e-3, 6.91e-4, 4.12e-4, 1.91e-4]
    assert [learning_rate(epoch, 10, 0.002) for epoch in range(10)] == pytest.approx(given, rel=2e-3)


def test_learning_rate_equals_torchs_cosine_after_the_warm_up():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.002)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    for epoch in range(1, 50):
        assert learning_rate(epoch, 50, 0.002) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        cosine.step()


def fitted(golden, seed=1, epochs=3, batch_size=2):
    torch.manual_seed(0)
    model = CoCoOp(golden, NAMES)
    history = train(model, FixedFeatures(FEATURES), LABELS, epochs=epochs, batch_size=batch_size, seed=seed)
    return model, history


def test_the_loop_is_the_original_step_by_step(golden):
    """Against torch's own SGD and a hand-written epoch loop."""
    model, history = fitted(golden)
    torch.manual_seed(0)
    slow = CoCoOp(golden, NAMES)
    optimizer = torch.optim.SGD(slow.parameters(), lr=0.002, momentum=0.9, weight_decay=5e-4)
    for epoch, rate in enumerate([1e-5, 0.002, 0.001 * (1 + math.cos(math.pi / 3))]):
        optimizer.param_groups[0]["lr"] = rate
        order = list(range(6))
        random.Random(f"1:{epoch}").shuffle(order)
        losses = []
        for pair in (order[:2], order[2:4], order[4:]):
            loss = torch.nn.functional.cross_entropy(slow(FEATURES[pair]), torch.tensor(LABELS)[pair])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert history[epoch].loss == pytest.approx(sum(losses) / 3, rel=1e-12)
        assert history[epoch].learning_rate == pytest.approx(rate, rel=1e-12)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), slow.parameters(), strict=True))


def test_same_seed_same_bits_and_seed_zero_is_a_seed(golden):
    tensors = {seed: list(fitted(golden, seed)[0].state_dict().values()) for seed in (0, 1, 2)}
    again = list(fitted(golden, 0)[0].state_dict().values())
    assert all(torch.equal(a, b) for a, b in zip(tensors[0], again, strict=True))
    assert not torch.equal(tensors[0][0], tensors[1][0])
    assert not torch.equal(tensors[1][0], tensors[2][0])


def test_the_loss_falls(golden):
    torch.manual_seed(0)
    model = CoOp(golden, NAMES)
    history = train(model, FixedFeatures(FEATURES), LABELS, epochs=20, batch_size=6, seed=1)
    assert history[-1].loss < history[0].loss
    assert [epoch.epoch for epoch in history] == list(range(20))


def test_only_what_is_learned_changes(golden):
    before = [parameter.clone() for parameter in golden.text.parameters()]
    fitted(golden, epochs=2)
    assert all(torch.equal(a, b) for a, b in zip(golden.text.parameters(), before, strict=True))


def test_a_method_without_parameters_has_nothing_to_learn(golden):
    assert train(ZeroShot(golden, NAMES), FixedFeatures(FEATURES), LABELS, epochs=1, batch_size=1, seed=1) == []


@pytest.mark.parametrize(
    ("images", "batch_size", "kept"), [(6, 4, 4), (6, 3, 6), (6, 7, 6), (6, 6, 6), (7, 3, 6), (1, 32, 1)]
)
def test_a_last_smaller_batch_is_dropped_unless_it_is_the_only_one(images, batch_size, kept):
    order = _order(images, 0, batch_size, seed=1)
    assert len(order) == len(set(order)) == kept
    assert set(order) <= set(range(images))


def test_every_epoch_has_an_order_of_its_own():
    orders = {(s, e): tuple(_order(20, e, 5, s)) for s in (0, 1) for e in range(3)}
    assert len(set(orders.values())) == 6
    assert all(sorted(order) == list(range(20)) for order in orders.values())


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"batch_size": 0}, {"epochs": 1.5}, {"batch_size": "2"}])
def test_counts_that_cannot_be(golden, bad):
    ((name, value),) = bad.items()
    with pytest.raises(InputError, match=f"training: expected {name} to be an integer of 1 or more; got {value!r}"):
        train(CoOp(golden, NAMES), FixedFeatures(FEATURES), LABELS, **({"epochs": 1, "batch_size": 1, "seed": 1} | bad))


def test_a_loss_that_is_not_finite_stops_the_run(golden):
    model = CoOp(golden, NAMES)
    with pytest.raises(RunError, match="finite loss; got nan"):
        train(model, FixedFeatures(FEATURES * math.nan), LABELS, epochs=1, batch_size=2, seed=1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Seven noise pictures, some as files and some open."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    images = [Image.fromarray(generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)) for _ in range(7)]
    for number, image in enumerate(images[:4]):
        image.save(folder / f"{number}.png")
    return [*(folder / f"{number}.png" for number in range(4)), *images[4:]]


@pytest.mark.parametrize(("count", "batch_size"), [(5000, 1), (5000, 3), (7, 32), (5000, 3000)])
def test_many_batches_are_gathered_at_once(count, batch_size):
    """Each gathering makes a GPU wait."""
    values, gathered = torch.randn(count, 4, generator=torch.Generator().manual_seed(0)), []

    class Noting:
        def __getitem__(self, numbers):
            gathered.append(len(numbers))
            return values[numbers]

    order = list(range(count))[::-1]
    batches = list(FixedFeatures(Noting()).batches(0, order, batch_size))
    assert [len(batch) for batch in batches] == [len(batch) for batch in values.split(batch_size)]
    assert torch.equal(torch.cat(batches), values.flip(0))
    assert len(gathered) <= 3 and max(gathered) <= max(2048, batch_size)


def test_plain_features_are_those_of_the_test_transform(golden, pictures):
    opened = [Image.open(picture) if not isinstance(picture, Image.Image) else picture for picture in pictures]
    expected = golden.encode_images(torch.stack([golden.preprocess(image) for image in opened]))
    torch.testing.assert_close(encode_pictures(golden, pictures), expected, rtol=0, atol=1e-6)


def augmented(golden, pictures, order, batch_size, seed=1, epochs=1, **more):
    """Epoch -> image -> feature."""
    source = AugmentedFeatures(golden, pictures, seed, epochs, **more)
    features = []
    for epoch in range(epochs):
        batches = list(source.batches(epoch, order, batch_size))
        assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
        features.append(dict(zip(order, torch.cat(batches), strict=True)))
    return features


def literal_view(golden, picture, seed, number):
    """One image in one view, by itself."""
    image = picture if isinstance(picture, Image.Image) else Image.open(picture)
    image = image.convert("RGB")
    key = f"{seed}:{number}:{image.size}:{zlib.crc32(np.asarray(image).tobytes())}"
    return golden.encode_images(augment(image, golden.preprocess, random.Random(key))[None])[0]


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("views", [None, 1, 2, 9])
def test_augmented_features_are_those_of_each_view_by_itself(golden, pictures, tmp_path, monkeypatch, views, kept):
    monkeypatch.setattr("cocoop.features.sources._AHEAD", 20)  # of seven images two views at a time
    monkeypatch.setattr("cocoop.features.encode._BLOCK", 5)
    store = FeatureStore(tmp_path, golden) if kept else None
    features = augmented(golden, pictures, [6, 0, 3], 2, epochs=5, views=views, store=store)
    for epoch in range(5):
        for number, feature in features[epoch].items():
            expected = literal_view(golden, pictures[number], 1, epoch % (views or 5))
            torch.testing.assert_close(feature, expected, rtol=0, atol=1e-6)


def test_no_feature_depends_on_those_beside_it(golden, pictures, tmp_path):
    """To the bit: other images, another order, batch and number of views; as files or open; with a store or not."""
    opened = [Image.open(p).copy() if not isinstance(p, Image.Image) else p for p in pictures]
    (all_of_them,) = augmented(golden, pictures, range(7), 7)
    for some, numbers, epochs, store in (
        ([pictures[5], pictures[2]], (5, 2), 1, None),
        (opened[::-1], (6, 5, 4, 3, 2, 1, 0), 3, None),
        (pictures[3:], (3, 4, 5, 6), 2, FeatureStore(tmp_path, golden)),
        (pictures[::-1], (6, 5, 4, 3, 2, 1, 0), 2, FeatureStore(tmp_path, golden)),
    ):
        first = augmented(golden, some, range(len(some)), 3, epochs=epochs, store=store)[0]
        assert all(torch.equal(first[place], all_of_them[number]) for place, number in enumerate(numbers))
    fixed = encode_pictures(golden, pictures * 4)
    stored = encode_pictures(golden, pictures[2:4], FeatureStore(tmp_path, golden))
    assert torch.equal(read_pictures(golden, pictures[2:5], fill=True).features, fixed[2:5])
    assert torch.equal(stored[:], fixed[2:4]) and torch.equal(stored[[1]], fixed[3:4]) and len(stored) == 2


def test_another_seed_or_epoch_is_another_view(golden, pictures):
    one, other = augmented(golden, pictures, [3], 1, epochs=2)
    (seed,) = augmented(golden, pictures, [3], 1, seed=2)
    for different in (other, seed):
        assert not torch.allclose(different[3], one[3], atol=1e-3)


def test_views_are_dropped_when_no_epoch_needs_them_any_more(golden, pictures, monkeypatch):
    monkeypatch.setattr("cocoop.features.sources._AHEAD", 1)
    for views, left in ((None, [1, 1, 1, 1]), (2, [1, 2, 2, 1])):
        source = AugmentedFeatures(golden, pictures, 1, epochs=4, views=views)
        held = [(list(source.batches(epoch, [0], 1)), len(source._ready))[1] for epoch in range(4)]
        assert held == left


def test_the_first_epoch_may_be_asked_for_again(golden, pictures, monkeypatch):
    """As by a method that looks at the images before it is trained."""
    source, encoded = AugmentedFeatures(golden, pictures, 1, epochs=3), []
    original = golden.encode_images
    monkeypatch.setattr(golden, "encode_images", lambda pixels: encoded.append(len(pixels)) or original(pixels))
    first = torch.cat([*source.batches(0, range(7), 7)])
    batches = len(encoded)
    assert torch.equal(torch.cat([*source.batches(0, range(7), 3)]), first)
    assert batches > 0 and len(encoded) == batches


def test_a_damaged_image_is_found_before_the_first_batch(golden, pictures, tmp_path):
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(Path(pictures[0]).read_bytes()[:100])
    for store in (None, FeatureStore(tmp_path / "features", golden)):
        source = AugmentedFeatures(golden, [*pictures, damaged], 1, epochs=2, store=store)
        with pytest.raises(InputError, match=r"damaged\.png: expected an image that Pillow can decode"):
            next(source.batches(0, [0], 1))


@pytest.mark.parametrize("wrong", [LABELS[:-1], [*LABELS, 0], []])
def test_one_label_for_each_image(golden, wrong):
    model = CoOp(golden, NAMES)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(InputError, match=rf"expected one label for each of {len(FEATURES)} images; got {len(wrong)}\."):
        train(model, FixedFeatures(FEATURES), wrong, epochs=1, batch_size=2, seed=1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("wrong", [-100, len(NAMES), 1.0, "1"], ids=repr)
def test_a_label_is_the_number_of_a_class(golden, wrong):
    """-100 means "no label" to torch's cross-entropy."""
    message = f"training: expected labels 0..{len(NAMES) - 1}, .*; got {re.escape(repr(wrong))}"
    for labels in ([*LABELS[:-1], wrong], [wrong] * len(LABELS)):
        with pytest.raises(InputError, match=message):
            train(CoOp(golden, NAMES), FixedFeatures(FEATURES), labels, epochs=1, batch_size=2, seed=1)
        with pytest.raises(InputError, match=message):
            prepare(CoOp(golden, NAMES), FixedFeatures(FEATURES), labels)


def test_a_training_of_the_warm_up_alone_is_cautioned():
    assert learning_rate(0, 1, 0.002) == 1e-5
    assert "learning rate of 1e-05; take 2 epochs or more" in (warm_up_only(1) or "")
    assert [warm_up_only(epochs) for epochs in (2, 10)] == [None, None]
