"""A training whose batches several ranks share learns what one process learns, but for rounding; all stop together."""

import threading
from dataclasses import replace
from functools import partial

import golden_clip
import pytest
import torch
from golden_clip import FACTS, VALUES
from hypothesis import given, settings
from hypothesis import strategies as st
from thread_ranks import in_ranks

from cocoop import METHODS, InputError
from cocoop.features import FixedFeatures
from cocoop.ranks import ALONE, Ranks
from cocoop.training import Checkpoint, DivergedError, Identity, TrainingInterrupted, Validation, train
from cocoop.training.together import check_divides, of_batch

NAMES, LABELS = FACTS["class_names"], FACTS["labels"] * 2
FEATURES = torch.cat([VALUES["image_features"], VALUES["image_features"].roll(1, 0)])
EPOCHS = 3
THIS = Identity({"seed": 1}, {})


def learn(ranks, name="cocoop", dtype="float32", batch_size=6, features=FEATURES, labels=LABELS, **more):
    """The learned tensors, the model's at the start, and the history, of a training that moves the tensors far."""
    with lock, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = METHODS[name](golden_clip.load(dtype=dtype), NAMES)
    start = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    given = {"epochs": EPOCHS, "lr": 0.1, "seed": 3} | more
    source = FixedFeatures(features.to(torch.promote_types(model.clip.dtype, torch.float32)))
    history = train(model, source, labels, batch_size=batch_size, ranks=ranks, **given)
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}, start, history


lock = threading.Lock()  # the random state is one for all threads


def difference(ours, theirs, start):
    """The largest of a tensor, in parts of how far the training has moved it."""
    return max(
        float((ours[name] - theirs[name]).abs().max() / (theirs[name] - start[name]).abs().max())
        for name in theirs
        if not torch.equal(theirs[name], start[name])
    )


@pytest.mark.parametrize(("size", "batch_size"), [(2, 5), (3, 4), (4, 40)])
@pytest.mark.parametrize("name", ["coop", "cocoop"])
def test_ranks_learn_what_one_process_learns(name, size, batch_size):
    """In float64, where rounding is 1e-16 a step: a part that counts too much or too little would show at once."""
    whole, start, history = learn(ALONE, name, "float64", batch_size)
    for learned, _, theirs in in_ranks(size, partial(learn, name=name, dtype="float64", batch_size=batch_size)):
        assert difference(learned, whole, start) < 1e-11
        for ours, one in zip(theirs, history, strict=True):
            assert ours.loss == pytest.approx(one.loss, rel=1e-12) and ours.accuracy == one.accuracy


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_all_ranks_have_the_same_bits_in_every_run(dtype):
    """And those of one process but for rounding. In float16 one more update would be skipped if parts overflowed."""
    few = partial(learn, dtype=dtype, epochs=2)
    whole, start, _ = few(ALONE)
    (first, _, history), *others = [one for _ in range(2) for one in in_ranks(2, few)]
    assert difference(first, whole, start) < 1e-4  # 1e-7 each of the float32 sums, in parts of a small movement
    for learned, _, theirs in others:
        assert all(torch.equal(learned[key], first[key]) for key in first)
        assert [replace(epoch, seconds=0) for epoch in theirs] == [replace(epoch, seconds=0) for epoch in history]


def test_a_step_exchanges_once():
    def counted(ranks):
        learn(ranks)
        return ranks.sums

    assert in_ranks(2, counted) == [EPOCHS * len(LABELS) // 6] * 2


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 99))
def test_parts_of_any_size_count_by_their_images(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    losses = torch.randn(sum(sizes), generator=generator, dtype=torch.float64)
    gradients = torch.randn(sum(sizes), 2, 3, generator=generator, dtype=torch.float64)
    ends = torch.tensor(sizes).cumsum(0).tolist()

    def mine(ranks):
        part = slice(ends[ranks.rank] - sizes[ranks.rank], ends[ranks.rank])
        hits = torch.tensor(float(ranks.rank + 1), dtype=torch.float64)
        given = sizes[ranks.rank], losses[part].mean(), [gradients[part, 0].mean(0), gradients[part].mean(0)], hits
        return of_batch(ranks, *given)

    for one in in_ranks(len(sizes), mine):
        torch.testing.assert_close(one.loss, losses.mean())
        torch.testing.assert_close(one.gradients[0], gradients[:, 0].mean(0))
        torch.testing.assert_close(one.gradients[1], gradients.mean(0))
        assert one.hits == len(sizes) * (len(sizes) + 1) / 2 and not one.asked


@pytest.mark.parametrize("count", [0, 1, 2, 5, 7, 8])
def test_parts_are_all_there_is_and_even(count):
    parts = [Ranks(rank, 3).part(count) for rank in range(3)]
    assert [number for part in parts for number in range(count)[part]] == list(range(count))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("batch_size", "images", "got"), [(1, 12, "batches of 1"), (6, 1, "1 images in all")])
def test_fewer_images_a_step_than_ranks_are_refused(batch_size, images, got):
    few = {"features": FEATURES[:images], "labels": LABELS[:images], "batch_size": batch_size}
    for refused in in_ranks(2, partial(learn, **few)):
        assert isinstance(refused, InputError)
        assert got in str(refused) and "cocoop benchmark --jobs 2" in str(refused)


def test_what_is_not_finite_on_one_rank_stops_all_in_the_same_step():
    damaged = FEATURES.clone()
    damaged[5] = torch.nan

    one, two = in_ranks(2, partial(learn, features=damaged))
    assert isinstance(one, DivergedError) and str(one) == str(two)
    assert all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)


def test_validation_images_are_shared_and_end_the_training_on_all_ranks():
    held_out = Validation(FEATURES[:7].double().flip(1), LABELS[:7], "best", patience=1)
    whole, start, history = learn(ALONE, "cocoop", "float64", validation=held_out)
    assert len(history) < EPOCHS
    for learned, _, theirs in in_ranks(3, partial(learn, dtype="float64", validation=held_out)):
        assert [e.validation_accuracy for e in theirs] == [e.validation_accuracy for e in history]
        assert difference(learned, whole, start) < 1e-11


def test_rank_0_keeps_the_state_and_all_go_on_from_it(tmp_path):
    """After each epoch: what `on_epoch_end` raises on rank 0 ends all, and the rest is learned to the same bits."""
    told, path = [], tmp_path / "state"

    def run(ranks, stop_after):
        def end(epoch):
            told.append((ranks.rank, epoch.epoch))
            if epoch.epoch == stop_after:
                raise ZeroDivisionError("enough")

        checkpoint = ranks.first(lambda: Checkpoint(path, THIS))
        return learn(ranks, checkpoint=checkpoint, on_epoch_end=[end])

    (whole, *_), _ = in_ranks(2, learn)
    for number in range(EPOCHS - 1):
        first, second = in_ranks(2, partial(run, stop_after=number))
        assert isinstance(first, ZeroDivisionError) and "rank 0 has ended: ZeroDivisionError: enough" in str(second)
    for learned, _, history in in_ranks(2, partial(run, stop_after=None)):
        assert len(history) == EPOCHS and all(torch.equal(learned[name], whole[name]) for name in whole)
    assert told == [(0, number) for number in range(EPOCHS)]


def test_a_damaged_state_is_refused_on_all_ranks(tmp_path):
    (tmp_path / "state").write_bytes(b"nothing")
    ran = in_ranks(2, lambda ranks: ranks.first(lambda: Checkpoint(tmp_path / "state", THIS)))
    assert all(isinstance(one, InputError) and "damaged" in str(one) for one in ran)


def test_a_rank_that_is_asked_to_stop_stops_all_in_the_same_step():
    def run(ranks):
        def ask(epoch):
            if epoch.epoch == 1:
                ranks.asked = True

        return learn(ranks, on_epoch_end=[ask])

    for one in in_ranks(2, run):
        assert isinstance(one, TrainingInterrupted) and len(one.history) == 2


def test_a_method_whose_gradients_do_not_add_up_is_refused():
    class Its(METHODS["coop"]):
        def gradients(self, image_features, labels, scale=None):
            return super().gradients(image_features, labels, scale)

    model = Its(golden_clip.load(), NAMES)
    check_divides(ALONE, model)
    with pytest.raises(InputError, match="its gradients of parts of a batch do not add up"):
        check_divides(Ranks(0, 2), model)
    for name, method in METHODS.items():
        assert method.divides() == (name != "prograd")
