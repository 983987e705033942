"""Agreement with the original code of the later methods, in float32, within the tolerances stated beside the values."""

from __future__ import annotations

import golden_later as golden
import pytest
import torch
from golden_later import GRADIENT, LOGITS, LOSS, close, facts, trained_close, values
from torch import Tensor
from torch.nn import functional as F

from cocoop import CLIP, Method
from cocoop.methods import CLAP, TCP, ZSLP, CLIPAdapter, KgCoOp, ProGrad, TaskRes, TipAdapter, TipAdapterF
from cocoop.methods.heads.clap import CONSTRAINTS
from cocoop.training import learning_rate

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


NETWORK = {f"meta_net.linear{n}.{kind}": f"meta_net.linear{n}.{kind}" for n in (1, 2) for kind in ("weight", "bias")}


def test_tcp(both_paths):
    clip, images, told = both_paths("tcp"), golden.images("tcp"), facts()["methods"]["tcp"]
    model = TCP(clip, names(), template=told["teacher_template"], block=told["replaced_at_text_block"])
    tensors = CTX | NETWORK
    assert [tensors[name] for name, _ in model.named_parameters()] == list(tensors)
    at_the_start(model, "tcp", tensors)
    close(model.teacher, "tcp.teacher")
    close(model.class_tokens(), "tcp.class_tokens")
    close(model.distance(model.text_features(images)), "tcp.loss.kg", LOSS)
    loss, logits, gradients = model.gradients(images, labels("tcp"))
    close(logits, "tcp.logits", LOGITS)
    close(loss, "tcp.loss", LOSS)
    close(F.cross_entropy(logits, labels("tcp")), "tcp.loss.ce", LOSS)
    for name, gradient in zip(tensors.values(), gradients, strict=True):
        close(gradient, f"tcp.grad.{name}", GRADIENT)
    optimizer = golden.optimizer_of("tcp")
    assert optimizer == {name: getattr(model.recipe, name) for name in optimizer}
    losses = golden.learn(model, images, labels("tcp"), **optimizer)
    close(torch.tensor(losses), "tcp.train.losses", LOSS)
    trained_close(model, "tcp", tensors)
    close(model(images), "tcp.train.logits", LOGITS)
    model.set_classes(facts()["new_class_names"])
    close(model(images), "tcp.new_classes.logits", LOGITS)


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


RESIDUAL = {"residual": "prototypes"}


def test_taskres():
    model = TaskRes(golden.clip("small"), names(), head_template())
    assert model.alpha == facts()["methods"]["taskres"]["alpha"]
    check_head(model, "taskres", RESIDUAL)


def test_taskres_away_from_its_start():
    model = TaskRes(golden.clip("small"), names(), head_template())
    model.load_state_dict({"residual": values()["taskres.probe.prototypes"]})
    assert_step(model, "taskres.probe", RESIDUAL)


ADAPTER = {"adapter.linear1.weight": "mlp.0.weight", "adapter.linear2.weight": "mlp.2.weight"}


def test_clip_adapter():
    model = CLIPAdapter(golden.clip("small"), names(), head_template())
    assert model.ratio == facts()["methods"]["clipadapter"]["ratio"]
    check_head(at_the_start(model, "clipadapter", ADAPTER), "clipadapter", ADAPTER)


def test_clip_adapter_of_features_that_are_not_unit():
    """As the original has them: the network scales with its input."""
    model = at_the_start(CLIPAdapter(golden.clip("small"), names(), head_template()), "clipadapter", ADAPTER)
    close(model(values()["heads.query_features"]), "clipadapter.logits", LOGITS)


TIP_LOGITS = 3e-4


def tip(method: type[TipAdapter], **settings: float) -> TipAdapter:
    """With the golden keys, which are means of three passes, in it."""
    model = method(golden.clip("tip"), names(), facts()["methods"]["tipadapter"]["templates"], **settings)
    model.prepare(values()["tip.keys"].T, values()["tip.values"].argmax(dim=1))
    return model


def tip_query() -> Tensor:
    return F.normalize(values()["tip.query_features"], dim=-1)


def tip_close(ours: Tensor, key: str) -> None:
    assert (ours.detach() - values()[key]).abs().max() <= TIP_LOGITS


def test_the_keys_of_the_cache():
    passes = golden.support("tip").unflatten(0, (facts()["support_passes"], -1))
    close(F.normalize(passes.mean(dim=0), dim=-1).T, "tip.keys")


def test_tip_adapter():
    told = facts()["methods"]["tipadapter"]
    model = tip(TipAdapter)
    assert (model.alpha, model.beta) == (told["alpha"], told["beta"]) and model.trainable_parameters == 0
    close(model.text_features(tip_query())[0].T, "tip.text_weights")
    tip_close(model(tip_query()), "tipadapter.logits")
    tip_close(tip(TipAdapter, alpha=told["alpha2"], beta=told["beta2"])(tip_query()), "tipadapter.logits2")
    tip_close(tip(TipAdapter, alpha=0.0)(tip_query()), "tip.zeroshot.logits")


def test_tip_adapter_f():
    model, rates = tip(TipAdapterF), values()["tipadapterf.train.learning_rates"].tolist()
    assert torch.equal(model.keys.T, values()["tipadapterf.init.keys"])
    loss, _, (gradient,) = model.gradients(tip_query(), labels("tipadapterf"))
    close(loss, "tipadapterf.loss", LOSS)
    close(gradient.T, "tipadapterf.grad.keys", GRADIENT)
    told, recipe = golden.optimizer_of("tipadapterf"), model.recipe
    assert told == {name: getattr(recipe, name) for name in ("optimizer", "lr", "weight_decay", "eps")}
    assert rates == pytest.approx([learning_rate(step, 6, recipe.lr, recipe.schedule) for step in range(6)])
    unit = F.normalize(golden.support("tip"), dim=-1)
    losses = golden.learn(model, unit, golden.support_labels(), rates, **told)
    close(torch.tensor(losses), "tipadapterf.train.losses", LOSS)
    trained_close(model, "tipadapterf", {"keys": "keys"}, transposed=True)
    tip_close(model(tip_query()), "tipadapterf.train.logits")


@pytest.mark.parametrize(("method", "name"), [(TipAdapter, "tipadapter"), (TipAdapterF, "tipadapterf")])
def test_the_search_of_the_original(method, name):
    """Its own grid, on 30 images whose labels are made up so that there is something to find."""
    told = facts()["methods"]["tipadapter"]
    model = tip(method)
    if method is TipAdapterF:
        model.load_state_dict({"keys": values()["tipadapterf.train.keys"].T, "labels": model.labels})
    model.betas, model.alphas = (
        [0.1 + step * (most - 0.1) / count for step in range(count)]
        for most, count in zip(told["search_scale"], told["search_step"], strict=True)
    )
    wanted = values()["tip.search_labels"]
    images = F.normalize(golden.support("tip"), dim=-1)
    before = 100 * float((model(images).argmax(dim=1) == wanted).float().mean())
    found = model.search(images, wanted)
    assert [model.beta, model.alpha] == pytest.approx(values()[f"{name}.search.beta_alpha"].tolist(), rel=1e-6)
    assert found.settings == {"alpha": model.alpha, "beta": model.beta} and found.tried == 4000
    assert found.before == pytest.approx(before) and found.accuracy > found.before
    assert found.accuracy == pytest.approx(100 * float((model(images).argmax(dim=1) == wanted).float().mean()))
