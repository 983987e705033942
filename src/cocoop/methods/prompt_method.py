"""Methods whose weights are text features of class prompts: `p(y|x) = softmax_i(sim(x, g(t_i(x))) / tau)`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from cocoop.class_names import prompt_name
from cocoop.clip import CLIP, Prompts, slot
from cocoop.errors import InputError, expect_choice
from cocoop.methods.base import Method
from cocoop.methods.context import initial_context

SIMILARITIES = ("cosine", "dot", "euclidean")
"""How prompts and images are compared; see `PromptMethod`."""

_TYPICAL = "a photo of a ."  # a prompt without a name: its text feature is as long as those of prompts are


class PromptMethod(Method):
    """A classifier whose weights are text features of class prompts.

    logits_i = sim(x, w_i) / tau, with 1/tau the CLIP's own, x the unit image feature and w_i the text feature:

    | similarity | sim(x, w_i) | w_i |
    |---|---|---|
    | "cosine" (all papers) | x . w_i | g(t_i) / length of g(t_i) |
    | "dot" | x . w_i | g(t_i) / r |
    | "euclidean" | -(length of (x - w_i))^2 / 2 | g(t_i) / r |

    r is one number of the CLIP, the length of g("a photo of a ."), so that tau keeps its meaning: where every g(t_i)
    had that length, all three would give the same probabilities. x is a unit vector in all of them, since image
    features are kept so; under "dot" its length would be a temperature of the image and change no ranking.

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space.
        similarity: "cosine", "dot" or "euclidean".
    """

    def __init__(self, clip: CLIP, class_names: Sequence[str], similarity: str = "cosine") -> None:
        super().__init__(clip, class_names)
        expect_choice("similarity", similarity, SIMILARITIES)
        self.similarity = similarity
        self._length = 1.0 if similarity == "cosine" else _typical_length(clip)
        self._known: _Known | None = None

    @abstractmethod
    def text_features(self, image_features: Tensor) -> Tensor:
        """W of the formula, [B, E] -> [B, K, E] where `conditional` is True, else [1, K, E]."""

    def logits(self, image_features: Tensor, text_features: Tensor) -> Tensor:
        """Image features [B, E], text features [B, K, E] or [1, K, E] -> logits [B, K] (CoCoOp eq. 1 and 3)."""
        scale = self.clip.logit_scale
        if len(text_features) == 1:
            logits = scale * image_features @ text_features[0].T
        else:
            logits = scale * torch.einsum("be,bke->bk", image_features, text_features)
        if self.similarity == "euclidean":
            squares = image_features.square().sum(dim=-1, keepdim=True) + text_features.square().sum(dim=-1)
            logits = logits - scale / 2 * squares
        return logits

    def logits_of_products(self, image_features: Tensor, products: Tensor, squares: Tensor) -> Tensor:
        """`logits` where no text feature is at hand, only its product with the image and its length.

        Args:
            image_features: x [B, E].
            products: x . g(t_i), [B, K], with g before the unit norm.
            squares: the length of g(t_i) squared, [B, K].

        Returns:
            [B, K].
        """
        if self.similarity == "cosine":
            return self.clip.logit_scale * products * squares.rsqrt()
        logits = self.clip.logit_scale / self._length * products
        if self.similarity == "euclidean":
            lengths = image_features.square().sum(dim=-1, keepdim=True) + squares / self._length**2
            logits = logits - self.clip.logit_scale / 2 * lengths
        return logits

    def forward(self, image_features: Tensor) -> Tensor:
        """Unit-norm image features [B, E] -> logits [B, K]."""
        self.expect_features(image_features)
        with self.clip.products():
            text_features = self._current_text_features(image_features)
        return self.logits(image_features, text_features)

    def encode(self, prompts: Prompts, context: Tensor) -> Tensor:
        """Text features w [G, K, E] of prompts whose slots hold G values of the context [G, N, D]."""
        features = prompts.encode(context, unit=self.similarity == "cosine")
        return features if self.similarity == "cosine" else features / self._length

    def _current_text_features(self, image_features: Tensor) -> Tensor:
        """Where no image changes them and no gradient is taken, they are encoded once for a class list and prompt."""
        if self.conditional:
            return self.text_features(image_features)
        if torch.is_grad_enabled():
            return self._shared_text_features(image_features)
        learned = [parameter.detach() for parameter in self.parameters()]
        known, plain = self._known, self.clip.text.plain
        if known is None or known.names != self.class_names or known.plain != plain or not known.holds(learned):
            text_features = self._shared_text_features(image_features)
            self._known = known = _Known(list(self.class_names), plain, [t.clone() for t in learned], text_features)
        return known.text_features

    def _shared_text_features(self, image_features: Tensor) -> Tensor:
        """Those [1, K, E] of a method that is not conditional, which sees two images of zeros in place of its own."""
        text_features = self.text_features(image_features.new_zeros(2, self.clip.embed_dim))
        if len(text_features) != 1:
            raise InputError(
                f"{type(self).__name__}: expected text features of shape [1, K, E], the same for every image; got "
                f"{list(text_features.shape)} of two. Declare conditional = True in the class."
            )
        return text_features


class _Known(NamedTuple):
    """Text features, and all that they follow from.

    By value, since parameters can change in ways that leave no trace on them, such as the replay of a CUDA graph.
    """

    names: list[str]
    plain: bool
    learned: list[Tensor]
    text_features: Tensor

    def holds(self, learned: Sequence[Tensor]) -> bool:
        return all(torch.equal(own, now) for own, now in zip(self.learned, learned, strict=True))


class ConditionalPrompts(PromptMethod):
    """Prompts [SOS, c_1(x) .. c_M(x), name_i, ".", EOT], whose context every image makes for itself.

    A subclass says `context(x)`; training, fast encoding and other classes follow from it. Where the image enters the
    context through few numbers, it says those, too, `code(x)` and `context_of(code)`; tangent prompts follow from them.

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space.
        context: words that the vectors `ctx` [M, D] start from, or None for random ones.
        context_length: M; needed with `context=None`.
        similarity: see `PromptMethod`.
    """

    conditional: ClassVar[bool] = True

    def __init__(
        self,
        clip: CLIP,
        class_names: Sequence[str],
        context: str | None = "a photo of a",
        context_length: int | None = None,
        similarity: str = "cosine",
    ) -> None:
        super().__init__(clip, class_names, similarity)
        self._words = context
        self.ctx = nn.Parameter(initial_context(clip, context, context_length))
        self.take_classes()

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that build this method again."""
        return {"context": self._words, "context_length": len(self.ctx), "similarity": self.similarity}

    def context_vectors(self) -> Tensor:
        """`ctx` [M, D], without what an image adds."""
        return self.ctx

    @abstractmethod
    def context(self, image_features: Tensor) -> Tensor:
        """Each image's context vectors, unit-norm image features [B, E] -> [B, M, D]."""

    def code(self, image_features: Tensor) -> Tensor:
        """The few numbers through which an image enters its context, [B, E] -> [B, H]; not every method has them.

        Raises:
            InputError: the method says none.
        """
        raise InputError(
            f"{type(self).__name__}: expected a method that says through which few numbers an image enters its "
            "context; this one does not. Take exact inference, or give it code(image_features) and context_of(code)."
        )

    def context_of(self, code: Tensor) -> Tensor:
        """What `context` is of images with these codes, [B, H] -> [B, M, D]; errors as in `code`."""
        return self.code(code)  # which says what is missing

    def code_layer(self) -> tuple[Tensor, Tensor]:
        """W [H, E] and b [H] of a code that is ReLU(W x + b), by which the method can be exported.

        Raises:
            InputError: the method has no such code.
        """
        raise InputError(
            f"{type(self).__name__}: expected a method whose code is one layer, ReLU(W x + b), to write it down; this "
            "one does not say that. Export another, or give it code_layer()."
        )

    def take_classes(self) -> None:
        """Make the prompts, with M slots before every name."""
        context = [slot(m) for m in range(len(self.ctx))]
        names = [self.clip.token_ids(prompt_name(name) + ".") for name in self.class_names]
        prompts = [self.clip.prompt([*context, *name]) for name in names]
        self._prompts = Prompts(self.clip.text, self.class_names, prompts)

    def text_features(self, image_features: Tensor) -> Tensor:
        """Each image's own text features, [B, K, E]."""
        return self.encode(self._prompts, self.context(image_features))

    def text_features_of(self, image_features: Tensor, classes: Sequence[int]) -> Tensor:
        """`text_features` of some classes only, at their cost: numbers of k classes -> [B, k, E]."""
        return self.encode(self._prompts.select(classes), self.context(image_features))

    def raw_text_features(self, code: Tensor) -> Tensor:
        """G(t_i) before it is made unit, of the contexts of G codes: [G, H] -> [G, K, E]."""
        return self._prompts.encode(self.context_of(code), unit=False)

    @torch.no_grad()
    def shared_text_features(self, sample: Tensor | None = None) -> Tensor:
        """Text features [1, K, E] of the prompts with one context for every image; takes no gradient.

        It is the mean context of a sample of image features [N, E], or `ctx` alone.
        """
        context = self.ctx if sample is None else self.context(sample.to(self.ctx.device, self.ctx.dtype)).mean(dim=0)
        return self.encode(self._prompts, context[None])


def _typical_length(clip: CLIP) -> float:
    prompts = Prompts(clip.text, [_TYPICAL], [clip.prompt(clip.token_ids(_TYPICAL))])
    with torch.no_grad(), clip.products():
        return float(prompts.encode(clip.text.no_context, unit=False).norm())
