"""CoOp: context vectors that are learned, the same for every image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from cocoop.class_names import prompt_name
from cocoop.clip import CLIP, Prompts, slot
from cocoop.errors import InputError, expect_choice
from cocoop.methods.base import Recipe
from cocoop.methods.context import initial_context
from cocoop.methods.prompt_method import PromptMethod

ClassPosition = Literal["end", "middle", "front"]


class CoOp(PromptMethod):
    """Context Optimization (Zhou et al., IJCV 2022, arXiv 2109.01134; CoOp:trainers/coop.py).

    The prompt of class i is [SOS, v_1 .. v_M, name_i, ".", EOT], with v_m = `ctx[m]` learned.

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space.
        context: words to start from, or None for random vectors.
        context_length: M; needed with `context=None`.
        class_specific: learn a context of its own for every class (CSC), `ctx` [K, M, D] instead of [M, D].
            Such a prompt cannot be used with other classes.
        class_position: where the name stands: "end"; "middle" (after the first M // 2 vectors); "front".
        similarity: "cosine" (the paper's), "dot" or "euclidean"; see `PromptMethod`.
    """

    recipe: ClassVar[Recipe] = Recipe(epochs=200, batch_size=32)

    def __init__(
        self,
        clip: CLIP,
        class_names: Sequence[str],
        context: str | None = "a photo of a",
        context_length: int | None = None,
        class_specific: bool = False,
        class_position: ClassPosition = "end",
        similarity: str = "cosine",
    ) -> None:
        super().__init__(clip, class_names, similarity)
        expect_choice("class_position", class_position, get_args(ClassPosition))
        if not isinstance(class_specific, bool | np.bool_):
            raise InputError(f"class_specific: expected True or False; got {class_specific!r}. Leave it out for False.")
        self.context = context
        self.class_specific = bool(class_specific)
        if self.class_specific:
            self.bound = "every class has a context of its own (class_specific=False has one for all)"
        self.class_position = class_position
        # Class-specific random vectors are drawn for each class; words are the same start for all.
        draws = len(self.class_names) if class_specific else 1
        start = torch.stack([self._start(context, context_length) for _ in range(draws)])
        self.ctx = nn.Parameter(start if class_specific else start[0])
        self.take_classes()

    def _start(self, context: str | None, context_length: int | None) -> Tensor:
        """One context to start from, [M, D]."""
        return initial_context(self.clip, context, context_length)

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that build this method again."""
        return {
            "context": self.context,
            "context_length": self.ctx.shape[-2],
            "class_specific": self.class_specific,
            "class_position": self.class_position,
            "similarity": self.similarity,
        }

    def take_classes(self) -> None:
        """Make the prompts, with M slots before, around or behind every name."""
        prompts = [self.clip.prompt(self._symbols(k, name)) for k, name in enumerate(self.class_names)]
        self._prompts = Prompts(self.clip.text, self.class_names, prompts)

    def _symbols(self, k: int, class_name: str) -> list[int]:
        """Class k's prompt between SOS and EOT: its name's tokens with the context slots at their place."""
        length = self.ctx.shape[-2]
        first = k * length if self.class_specific else 0
        context = [slot(first + m) for m in range(length)]
        name = prompt_name(class_name)
        tokens = self.clip.token_ids(name + ".")
        # "crane (bird)." ends in one token ")."; the original cuts after as many tokens as the bare name has.
        cut = len(self.clip.token_ids(name))
        before = {"end": length, "middle": length // 2, "front": 0}[self.class_position]
        return [*context[:before], *tokens[:cut], *context[before:], *tokens[cut:]]

    def context_vectors(self) -> Tensor:
        """v_1 .. v_M, [M, D], or [K, M, D] of class-specific contexts."""
        return self.ctx

    def text_features(self, image_features: Tensor) -> Tensor:
        """The same [1, K, E] for all images."""
        return self.encode(self._prompts, self.ctx.flatten(0, -2)[None])
