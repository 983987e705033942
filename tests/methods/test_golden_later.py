"""Agreement with the original code of the later methods, in float32, within the tolerances stated beside the values."""

from __future__ import annotations

import golden_later as golden
import pytest
import torch
from golden_later import GRADIENT, LOGITS, LOSS, close, facts, trained_close, values
from torch import Tensor
from torch.nn import functional as F

from cocoop import CLIP, Method
from cocoop.methods import CLAP, ZSLP, KgCoOp, ProGrad
from cocoop.methods.heads.clap import CONSTRAINTS

pytestmark = golden.needed


@pytest.fixture(params=["packed", "plain"])
def both_paths(request):
    """Models whose text towers run one way or the other."""

    def load(name: str) -> CLIP:
        clip = golden.clip(name)
        clip.text.plain = request.param == "plain"
        used.append(clip)
        return clip

    used: list[CLIP] = []
    yield load
    for clip in used:
        clip.text.plain = False


def names() -> list[str]:
    return facts()["class_names"]


def labels(method: str) -> Tensor:
    return torch.tensor(facts()["methods"][method].get("labels", facts()["labels"]))


def at_the_start(model: Method, case: str, tensors: dict[str, str]) -> Method:
    model.load_state_dict({name: values()[f"{case}.init.{theirs}"] for name, theirs in tensors.items()})
    return model


# On the text side


CTX = {"ctx": "ctx"}


def test_kgcoop(both_paths):
    clip, images, told = both_paths("small"), golden.images("small"), facts()["methods"]["kgcoop"]
    model = KgCoOp(clip, names(), template=told["teacher_template"])
    assert torch.equal(model.ctx, values()["kgcoop.init.ctx"]) and model.weight == told["weight"]
    close(model.teacher, "kgcoop.teacher")
    distance = model.distance(model.text_features(images))
    close(distance, "kgcoop.loss.kg", LOSS)
    close(torch.autograd.grad(distance, model.ctx)[0], "kgcoop.grad.kg.ctx", GRADIENT)
    loss, logits, (gradient,) = model.gradients(images, labels("kgcoop"))
    close(logits, "kgcoop.logits", LOGITS)
    close(loss, "kgcoop.loss", LOSS)
    close(gradient, "kgcoop.grad.ctx", GRADIENT)
    losses = golden.learn(model, images, labels("kgcoop"), **golden.optimizer_of("kgcoop"))
    close(torch.tensor(losses), "kgcoop.train.losses", LOSS)
    trained_close(model, "kgcoop", CTX)
    close(model(images), "kgcoop.train.logits", LOGITS)
    model.set_classes(facts()["new_class_names"])
    close(model(images), "kgcoop.new_classes.logits", LOGITS)


def prograd(clip: CLIP, case: str) -> ProGrad:
    """The original's fixed word between context and name is the first word of every name here."""
    told = facts()["methods"][case]
    specific = told["class_specific"]
    given = names() if specific else [f"a {name}" for name in names()]
    template = told["teacher_template"] if specific else told["teacher_template"].replace("a {}", "{}")
    model = ProGrad(clip, given, class_specific=specific, template=template, strength=told["lambda"])
    at_the_start(model, case, CTX)
    return model


@pytest.mark.parametrize("case", ["prograd", "prograd_csc"])
def test_prograd(both_paths, case):
    clip, images = both_paths("small"), golden.images("small")
    model = prograd(clip, case)
    close(model.teacher, f"{case}.teacher")
    close(model.teacher_logits(images), f"{case}.teacher_logits", LOGITS)
    loss, logits = model.loss(images, labels(case))
    divergence = model.divergence(images, logits)
    close(logits, f"{case}.logits", LOGITS)
    close(loss, f"{case}.loss.ce", LOSS)
    close(divergence, f"{case}.loss.kl", LOSS)
    close(torch.autograd.grad(loss, model.ctx, retain_graph=True)[0], f"{case}.grad.ce.ctx", GRADIENT)
    close(torch.autograd.grad(divergence, model.ctx)[0], f"{case}.grad.kl.ctx", GRADIENT)
    close(model.gradients(images, labels(case))[2][0], f"{case}.grad.ctx", GRADIENT)
    losses = golden.learn(model, images, labels(case), **golden.optimizer_of(case))
    close(torch.tensor(losses), f"{case}.train.losses", LOSS)
    assert (values()[f"{case}.train.cosines"] < 0).any()  # so that the projection matters for what is trained
    trained_close(model, case, CTX)
    close(model(images), f"{case}.train.logits", LOGITS)
    if case == "prograd":
        model.set_classes([f"a {name}" for name in facts()["new_class_names"]])
        close(model(images), "prograd.new_classes.logits", LOGITS)


def test_prograd_starts_from_words_behind_zeros():
    """All but the word that the original leaves out, which moves the others by one."""
    model = ProGrad(golden.clip("small"), names(), context="a type of pet, a photo of")
    assert torch.equal(model.ctx, values()["prograd.init.ctx"])


# On features


def head_template() -> str:
    return facts()["methods"]["zslp"]["template"]


def query() -> Tensor:
    return F.normalize(values()["heads.query_features"], dim=-1)


def support() -> Tensor:
    return F.normalize(values()["heads.support_features"], dim=-1)


def check_head(model: Method, case: str, tensors: dict[str, str], **optimizer: float) -> None:
    """At the start and after the golden steps."""
    assert_step(model, case, tensors)
    losses = golden.learn(model, support(), golden.support_labels(), **golden.optimizer_of(case) | optimizer)
    close(torch.tensor(losses), f"{case}.train.losses", LOSS)
    trained_close(model, case, tensors)
    close(model(query()), f"{case}.train.logits", LOGITS)


def assert_step(model: Method, case: str, tensors: dict[str, str]) -> None:
    loss, logits, gradients = model.gradients(query(), labels("zslp"))
    close(logits, f"{case}.logits", LOGITS)
    close(loss, f"{case}.loss", LOSS)
    for theirs, gradient in zip(tensors.values(), gradients, strict=True):
        close(gradient, f"{case}.grad.{theirs}", GRADIENT)


WEIGHT = {"weight": "prototypes"}


def test_features_of_the_heads():
    clip = golden.clip("small")
    assert (golden.support("small") - values()["heads.support_features"]).abs().max() < 1e-5
    model = ZSLP(clip, names(), head_template())
    close(model.prototypes, "heads.text_prototypes")
    close(model(support()), "heads.support_logits", LOGITS)


def test_zs_lp():
    model = ZSLP(golden.clip("small"), names(), head_template())
    close(model.weight, "zslp.init.prototypes")
    check_head(model, "zslp", WEIGHT)


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_claps_multipliers(constraint):
    model = CLAP(golden.clip("small"), names(), head_template(), constraint)
    model.prepare(support(), golden.support_labels())
    close(model.multipliers, "clap.lambda" if constraint == "l2" else f"clap.lambda.{constraint}")


def test_clap():
    model = CLAP(golden.clip("small"), names(), head_template())
    model.prepare(support(), golden.support_labels())
    check_head(model, "clap", WEIGHT)


def test_clap_away_from_its_start():
    model = CLAP(golden.clip("small"), names(), head_template())
    model.prepare(support(), golden.support_labels())
    model.load_state_dict({"weight": values()["clap.probe.prototypes"]})
    assert_step(model, "clap.probe", WEIGHT)
    close(model.penalty(), "clap.probe.loss.constraint", LOSS)
