"""What a fit refuses, says and leaves alone."""

import warnings
from dataclasses import replace

import pytest
import torch
from own_photos import labelled

from cocoop import METHODS, Callback, CoOp, InputError, PromptClassifier

IMAGES, LABELS = labelled(4)


def make(clip, **parameters) -> PromptClassifier:
    return PromptClassifier("coop", clip, **{"shots": 2, "epochs": 2, "batch_size": 4} | parameters)


def test_the_states_of_gpus_are_left_alone(tiny, monkeypatch):
    """`torch.manual_seed` seeds them, and forking the state of the CPU does not put them back."""
    torch.manual_seed(0)  # imports parts of torch that could not be imported with the stand-ins below
    seeded = []
    for place in ("cuda.manual_seed_all", "mps.manual_seed", "xpu.manual_seed_all"):
        monkeypatch.setattr(f"torch.{place}", seeded.append)
    monkeypatch.setattr("cocoop.learning.train", lambda *args, **options: [])
    random_start = {"context": None, "context_length": 2}
    start = make(tiny, seed=3, settings=random_start).fit(IMAGES, LABELS).model_
    assert seeded == []
    torch.manual_seed(3)
    assert seeded
    assert torch.equal(start.ctx, CoOp(tiny, start.class_names, **random_start).ctx)


def test_a_training_of_the_warm_up_alone_warns_its_caller(tiny):
    with pytest.warns(UserWarning, match="^cocoop: the only epoch is the warm-up, .* take 2 epochs or more") as caught:
        make(tiny, epochs=1).fit(IMAGES, LABELS)
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(tiny).fit(IMAGES, LABELS)
        PromptClassifier("zero-shot", tiny).fit(IMAGES, LABELS)


class Unsavable(CoOp):
    """Turns its setting into what JSON has no word for."""

    @property
    def settings(self):
        return super().settings | {"context": {"a", "set"}}


def test_what_cannot_be_saved_is_refused_before_any_training(tiny, monkeypatch):
    monkeypatch.setitem(METHODS, "mine", Unsavable)
    monkeypatch.setattr("cocoop.learning.train", lambda *args, **options: pytest.fail("it trained"))
    with pytest.raises(InputError, match=r"context: expected what a run folder can keep: .*; got set\."):
        PromptClassifier("mine", tiny, epochs=2, shots=2).fit(IMAGES, LABELS)


class TakesLess(CoOp):
    def __init__(self, clip, class_names, context="a photo of a", weight=8.0):
        super().__init__(clip, class_names, context)
        self.weight = weight


class Forgets(CoOp):
    def __init__(self, clip, class_names, weight=8.0, **others):
        super().__init__(clip, class_names, **others)
        self.weight = weight


@pytest.mark.parametrize(
    ("method", "got"), [(TakesLess, "got context, context_length"), (Forgets, r"weight\); got context, ")]
)
def test_settings_that_do_not_build_a_method_again_are_refused_before_any_training(tiny, monkeypatch, method, got):
    monkeypatch.setitem(METHODS, "mine", method)
    monkeypatch.setattr("cocoop.learning.train", lambda *args, **options: pytest.fail("trained"))
    with pytest.raises(InputError, match=rf"^{method.__name__}.settings: expected the keywords of its .*{got}"):
        PromptClassifier("mine", tiny, epochs=2, shots=2).fit(IMAGES, LABELS)


# Held-out images and callbacks


class Told(Callback):
    """What it is told, in order."""

    def __init__(self):
        self.told = []

    def on_fit_begin(self, facts):
        self.told.append(("begin", facts))

    def on_epoch_end(self, epoch):
        self.told.append(("epoch", epoch))

    def on_fit_end(self, figures):
        self.told.append(("end", figures))


def test_held_out_images_have_an_accuracy_in_every_epoch(tiny, tmp_path):
    """That of the last epoch is what `evaluate` says of them; a run folder keeps all."""
    images, labels = labelled(7)
    new = [n for n in range(21) if n % 7 > 3]
    held_out = [images[n] for n in new], [labels[n] for n in new]
    callback = Told()
    classifier = make(tiny, lr=0.1).fit(IMAGES, LABELS, validation=held_out, callbacks=[callback])
    assert classifier.fit_.validation_images == 9 and classifier.fit_.kept_epoch == 1
    assert classifier.history_[-1].validation_accuracy == pytest.approx(classifier.evaluate(*held_out).accuracy)
    (_, facts), *epochs, (_, figures) = callback.told
    assert [epoch for _, epoch in epochs] == classifier.history_
    assert (facts["training_images"], facts["validation_images"], facts["lr"], facts["classes"]) == (6, 9, 0.1, 3)
    assert facts["settings.context"] == "a photo of a" and facts["clip"] == "tiny"
    assert figures == {
        "seconds": classifier.seconds_,
        "epoch": 1,
        **{name: getattr(classifier.history_[-1], name) for name in ("loss", "accuracy", "validation_accuracy")},
    }
    again = PromptClassifier.load(classifier.save(tmp_path / "run"), tiny)
    assert replace(again.fit_, clip_fingerprint=None) == classifier.fit_


def test_numbers_into_class_names_count_for_held_out_images_too(tiny):
    names = ["three", "one", "seven"]
    numbers = [names.index(label) for label in LABELS]
    images, labels = labelled(5)
    by_name = make(tiny).fit(IMAGES, LABELS, validation=(images[4::5], labels[4::5]))
    by_number = make(tiny).fit(
        IMAGES, numbers, names, validation=(images[4::5], [names.index(label) for label in labels[4::5]])
    )
    assert by_name.fit_.validation_images == by_number.fit_.validation_images == 3


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (IMAGES, r"validation: expected a pair \(images, labels\); got \["),
        ((IMAGES, LABELS[1:]), "validation: labels: expected one per image; got 12 images and 11 labels"),
        ((IMAGES[:1], ["cat"]), "validation: labels: expected classes of this model .*; got 'cat'"),
        (([], []), "validation: images: expected a list of at least one image"),
    ],
)
def test_held_out_images_that_cannot_be(tiny, monkeypatch, validation, message):
    monkeypatch.setattr("cocoop.learning.train", lambda *args, **options: pytest.fail("trained"))
    with pytest.raises(InputError, match=f"^{message}"):
        make(tiny).fit(IMAGES, LABELS, validation=validation)


def test_only_copies_of_what_is_learned_from(tiny):
    classifier = make(tiny, shots=None)
    with pytest.raises(InputError, match=r"^validation: expected images that are not learned from; got 12 copies"):
        classifier.fit(IMAGES, LABELS, validation=(IMAGES, LABELS))


def test_a_callback_needs_one_method_and_what_it_raises_ends_the_fit(tiny):
    class Small:
        def on_epoch_end(self, epoch):
            raise LookupError("mine")

    with pytest.raises(LookupError, match=r"^mine$"):
        make(tiny).fit(IMAGES, LABELS, callbacks=[Small()])
    with pytest.raises(InputError, match=r"callbacks: expected objects with a method on_epoch_end\(epoch\).*; got 3"):
        make(tiny).fit(IMAGES, LABELS, callbacks=[3])
    with pytest.raises(InputError, match=r"got the class <class .*Small'>\. Give an instance of it\.$"):
        make(tiny).fit(IMAGES, LABELS, callbacks=[Small])
    with pytest.raises(InputError, match=r"^callbacks: expected a list of them; got <.*Small object.*>\. Put it into"):
        make(tiny).fit(IMAGES, LABELS, callbacks=Small())


def test_an_earlier_fit_outlives_ctrl_c(tiny):
    class Stops:
        def on_epoch_end(self, epoch):
            raise KeyboardInterrupt

    classifier = make(tiny).fit(IMAGES, LABELS)
    before = classifier.model_, classifier.fit_
    with pytest.raises(KeyboardInterrupt) as caught:
        classifier.fit(IMAGES, LABELS, callbacks=[Stops()])
    assert (classifier.model_, classifier.fit_) == before
    assert caught.value.tensors.keys() == {"ctx"} and len(caught.value.history) == 1


class Prepared(CoOp):
    """Learns on images less their mean, which it has from `prepare` alone: no tensor of its state."""

    def prepare(self, image_features, labels):
        self.mean = image_features.mean(dim=0)

    def loss(self, image_features, labels):
        return super().loss(torch.nn.functional.normalize(image_features - self.mean / 2, dim=1), labels)


class Kill(Callback):
    def __init__(self, after):
        self.after = after

    def on_epoch_end(self, epoch):
        if epoch.epoch == self.after:
            raise LookupError


@pytest.mark.parametrize("augment", [True, False])
def test_a_fit_that_was_killed_goes_on_as_it_was_prepared(tiny, monkeypatch, tmp_path, augment):
    """Views of epochs after the stop are encoded anew, in other batches."""
    monkeypatch.setitem(METHODS, "mine", Prepared)
    state = tmp_path / "a" / "state"

    def new():
        return PromptClassifier("mine", tiny, shots=3, epochs=3, batch_size=4, lr=0.1, augment=augment)

    def figures(fitted):
        return [replace(epoch, seconds=0) for epoch in fitted.history_]

    whole, again = new().fit(IMAGES, LABELS), new()
    for after in (0, 1):
        with pytest.raises(LookupError):
            new().fit(IMAGES, LABELS, callbacks=[Kill(after)], checkpoint=state)
    for _ in range(2):  # from the second epoch; and at once, from the end
        again.fit(IMAGES, LABELS, checkpoint=str(state))
        assert torch.equal(again.model_.ctx, whole.model_.ctx) and figures(again) == figures(whole)
        assert again.seconds_ > sum(epoch.seconds for epoch in again.history_)
    told = r"a/state: expected the state of this training, .*; got one with other training images\. Repeat"
    for images, labels in ((IMAGES[::-1], LABELS[::-1]), (IMAGES, LABELS[4:] + LABELS[:4])):
        with pytest.raises(InputError, match=told):
            again.fit(images, labels, checkpoint=state)
    assert [path.name for path in state.parent.iterdir()] == ["state"]


def test_balanced_weights_change_what_is_learned_where_counts_differ(tiny):
    """With equal counts every weight is 1, and the tensors differ by rounding alone."""
    learned = {}
    for name, count in (("equal", 12), ("unequal", 9)):
        for weight in (None, "balanced"):
            fitted = make(tiny, shots=None, lr=0.1, class_weight=weight).fit(IMAGES[:count], LABELS[:count])
            learned[name, weight] = fitted.model_.ctx
    torch.testing.assert_close(learned["equal", None], learned["equal", "balanced"], rtol=0, atol=1e-5)
    assert (learned["unequal", None] - learned["unequal", "balanced"]).abs().max() > 1e-4
