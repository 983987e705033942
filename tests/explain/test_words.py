"""The words nearest to context vectors, against brute force in NumPy."""

import numpy as np
import pytest
import torch

from cocoop import CLIP, CoOp
from cocoop.clip.sources.load import BUNDLED
from cocoop.explain.words import NEAREST, nearest_words, token_text


@pytest.fixture(scope="module")
def embeddings(tiny):
    return tiny.text.token_embedding.weight.detach().double().numpy()


def brute_force(vector, embeddings):
    """The distance of every token, one after the other."""
    return np.array([np.sqrt(sum((a - b) ** 2 for a, b in zip(vector, row, strict=True))) for row in embeddings])


def test_distances_are_those_of_brute_force(tiny, embeddings):
    generator = torch.Generator().manual_seed(0)
    vectors = 0.05 * torch.randn(3, tiny.text.width, generator=generator)
    words = nearest_words(tiny, ["one", "two", "three"], vectors)
    assert [vector.name for vector in words.vectors] == ["one", "two", "three"]
    for vector, found in zip(vectors.double().numpy(), words.vectors, strict=True):
        distances = brute_force(vector, embeddings)
        order = distances.argsort()[:NEAREST]
        assert [near.distance for near in found.nearest] == pytest.approx(distances[order], rel=1e-12)
        assert [near.word for near in found.nearest] == [token_text(tiny.tokenizer, int(token)) for token in order]
        assert found.median == pytest.approx(np.sort(distances)[(len(distances) - 1) // 2], rel=1e-9)
        assert found.length == pytest.approx(np.linalg.norm(vector))


def test_how_far_words_are_from_each_other(tiny, embeddings):
    words = nearest_words(tiny, ["v"], torch.zeros(1, tiny.text.width))
    sample = range(0, len(embeddings), 5)  # 2,125 tokens, of which every fifth are fewer than 512
    nearest = [np.sort(np.linalg.norm(embeddings - embeddings[token], axis=1))[1] for token in sample]
    assert words.apart == pytest.approx(np.sort(nearest)[(len(nearest) - 1) // 2], rel=1e-6)
    assert words.length == pytest.approx(np.sort(np.linalg.norm(embeddings, axis=1))[len(embeddings) // 2])
    assert words.vocabulary == len(embeddings) == 2125


def test_a_context_of_words_has_these_words_at_no_distance(tiny):
    words = nearest_words(tiny, list("abcd"), CoOp(tiny, ["x", "y"], context="a photo of a").context_vectors())
    assert [vector.nearest[0].word for vector in words.vectors] == ["a", "photo", "of", "a"]
    assert [vector.nearest[0].distance for vector in words.vectors] == [0.0] * 4


def test_how_tokens_read(tiny):
    [whole] = tiny.token_ids("photo")
    first, *_ = tiny.token_ids("photophotophoto")
    assert token_text(tiny.tokenizer, whole) == "photo"
    assert token_text(tiny.tokenizer, first).endswith("…")
    assert token_text(tiny.tokenizer, tiny.tokenizer.bos_token_id).startswith("<|startoftext|>")

    class Mute:
        """What the package asks of a tokenizer, and no more."""

    assert token_text(Mute(), 7) == "token 7"


def test_transformers_tokenizer_has_words_too(tiny):
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(str(BUNDLED["tiny"]))
    clip = CLIP.load("tiny", tokenizer=theirs, device="cpu")
    ours, others = (
        nearest_words(of, ["v"], of.text.token_embedding.weight[tiny.token_ids("photo")]).vectors[0].nearest[0]
        for of in (tiny, clip)
    )
    assert ours == others and ours.word == "photo"
