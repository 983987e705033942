"""Class names of every spelling are tokenized as by the original: the whole prompt at once, "_" as a blank."""

import golden_clip
import pytest
import torch

from cocoop import CoCoOp, CoOp, ZeroShot
from cocoop.clip import Prompts

CONTEXT = "a photo of a"
NAMES = [
    "cat",
    "crane (bird)",
    "crane (bird)_",
    "what?",
    "what? ",
    "what? _ ",
    "St. Bernard_",
    "C++_",
    "_red_fox_",
    "a__b",
    " 's ",
    "don't!_",
    "100% ",
    "...",
    "..._",
]


@pytest.fixture(scope="module", params=["bundled", "OpenAI's"])
def clip(request, tiny):
    if request.param == "bundled":
        return tiny
    if not golden_clip.VOCABULARY.is_dir():
        pytest.skip("OpenAI's vocabulary does not lie beside the checkout")
    return golden_clip.load(golden_clip.VOCABULARY)


def tokens_of_the_original(clip, name: str, position: str) -> list[int]:
    """CoOp:trainers/coop.py, lines 98 to 104 and 141 to 190 @ ff61507c, in tokens instead of embeddings."""
    name = name.replace("_", " ")
    name_len = len(clip.token_ids(name))
    tokens = clip.token_ids(CONTEXT + " " + name + ".")
    n_ctx = len(CONTEXT.split(" "))
    ctx, suffix = tokens[:n_ctx], tokens[n_ctx:]
    class_tokens, rest = suffix[:name_len], suffix[name_len:]
    if position == "end":
        return ctx + suffix
    if position == "middle":
        return ctx[: n_ctx // 2] + class_tokens + ctx[n_ctx // 2 :] + rest
    return class_tokens + ctx + rest


def features_of_the_original(clip, position: str) -> torch.Tensor:
    prompts = [clip.prompt(tokens_of_the_original(clip, name, position)) for name in NAMES]
    with torch.no_grad():
        return Prompts(clip.text, NAMES, prompts).encode(clip.text.no_context)[0]


def assert_same(features: torch.Tensor, clip, position: str = "end") -> None:
    torch.testing.assert_close(features.detach(), features_of_the_original(clip, position), rtol=0, atol=1e-5)


@pytest.mark.parametrize("position", ["end", "middle", "front"])
def test_coop(clip, position):
    assert_same(CoOp(clip, NAMES, class_position=position).text_features(torch.empty(0))[0], clip, position)


def test_cocoop(clip):
    model = CoCoOp(clip, NAMES)
    assert_same(model.shared_text_features()[0], clip)
    with torch.no_grad():  # pi = 0: the prompt is that of the words
        model.meta_net.linear2.weight.zero_()
        model.meta_net.linear2.bias.zero_()
    features = torch.nn.functional.normalize(torch.ones(1, clip.embed_dim), dim=-1)
    assert_same(model.text_features(features)[0], clip)


def test_zero_shot(clip):
    assert_same(ZeroShot(clip, NAMES).text_features(torch.empty(0))[0], clip)


def test_a_blank_at_the_end_matters_with_openais_vocabulary():
    """Without it, the last mark of the name and the full stop are one token."""
    if not golden_clip.VOCABULARY.is_dir():
        pytest.skip("OpenAI's vocabulary does not lie beside the checkout")
    clip = golden_clip.load(golden_clip.VOCABULARY)
    for one, other in (("crane (bird)", "crane (bird)_"), ("what?", "what? "), ("...", "..._")):
        features = ZeroShot(clip, [one, other]).text_features(torch.empty(0))[0]
        assert not torch.allclose(features[0], features[1], atol=1e-3)
    same = ZeroShot(clip, ["cat", "cat_"]).text_features(torch.empty(0))[0]
    torch.testing.assert_close(same[0], same[1], rtol=0, atol=1e-6)
