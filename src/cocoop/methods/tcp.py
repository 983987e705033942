"""TCP: KgCoOp whose prompts are told, inside the text tower, which class they are of."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

from torch import Tensor, nn

from cocoop.class_names import prompt_name
from cocoop.clip import ACTIVATIONS, CLIP, Replacement, slot
from cocoop.errors import InputError
from cocoop.methods.base import Recipe
from cocoop.methods.kgcoop import KgCoOp
from cocoop.methods.template import PLAIN

_BOTTLENECK = 4  # the hidden layer is E // 4 wide


class TCP(KgCoOp):
    """Textual-based Class-aware Prompt tuning (Yao et al., CVPR 2024, arXiv 2311.18231; TCP:trainers/tcp.py).

    The prompt of class k is [SOS, v_1 .. v_M, name_k, tail, EOT] with the tail of the data set's template, such as
    ", a type of pet.". At the input of text block `block` its positions 1 to M become c_k1 .. c_kM, without positions,

        c_k = W2 quick_gelu(W1 t_k + b1) + b2, cut into M vectors,

    and the blocks after it run on. What training makes small is KgCoOp's.

    | paper | here |
    |---|---|
    | v_1 .. v_M | `ctx` [M, D] |
    | W_k^clip, unit | t_k, `teacher` [K, E] |
    | Textual Knowledge Embedding | `meta_net`: E -> E // 4 -> M * D, `linear1` and `linear2` |
    | T_i, the class-aware prompt | `class_tokens()` [K, M, D] |
    | omega, the loss's weight | `weight`, 8 |
    | the layer of the insertion | `block`, counted from 0: 8 of 12 |

    Up to that block all classes share SOS and context, which run once; from it on each has tokens of its own, and only
    SOS is shared. So every class takes M positions more in the last third of the blocks; nothing is approximate.

    Teacher and prompts have the data set's template. Its last M tokens before the name at most make room for the
    context, and the rest stays: "a photo of a person doing {}." learns [v_1 .. v_4, person, doing, name_k, "."]. The
    original has lists of its own for both, which differ from that in a few words on four data sets (EuroSAT, Cars,
    DTD, Aircraft). Its `W`, which the code does not read, is `weight` here.

    Args:
        clip: a frozen `CLIP`, of two text blocks or more.
        class_names: [K] names; "_" counts as a space.
        context: words to start from, or None, as the paper, for random vectors.
        context_length: M.
        template: of teacher and prompts, a text with "{}" where the class name goes.
        weight: of the distance from the teacher, 0 or more.
        block: where the class tokens enter, 1 or more; None is after two thirds of the tower.
    """

    recipe: ClassVar[Recipe] = Recipe(epochs=50, batch_size=32, optimizer="adam", eps=1e-3)

    def __init__(
        self,
        clip: CLIP,
        class_names: Sequence[str],
        context: str | None = None,
        context_length: int = 4,
        template: str = PLAIN,
        weight: float = 8.0,
        block: int | None = None,
    ) -> None:
        super().__init__(clip, class_names, context, context_length, template, weight)
        layers = len(clip.text.blocks)
        self.block = max(1, 2 * layers // 3) if block is None else block
        if not isinstance(self.block, Integral) or not 0 < self.block < layers:
            raise InputError(
                f"block: expected a text block of this CLIP behind the first, 1 to {layers - 1}; got {self.block!r}."
            )
        hidden = max(1, clip.embed_dim // _BOTTLENECK)
        network = {
            "linear1": nn.Linear(clip.embed_dim, hidden),
            "linear2": nn.Linear(hidden, self.ctx.numel()),
        }
        self.meta_net: nn.ModuleDict = nn.ModuleDict(network).to(self.ctx.device, self.ctx.dtype)

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that build this method again."""
        return {**super().settings, "block": int(self.block)}

    def _symbols(self, k: int, class_name: str) -> list[int]:
        """Class k's prompt between SOS and EOT: the template's, whose first tokens are context slots."""
        words, _, tail = self.template.partition("{}")
        length = len(self.ctx)
        kept = self.clip.token_ids(words)[length:]
        return [*map(slot, range(length)), *kept, *self.clip.token_ids(prompt_name(class_name) + tail)]

    def class_tokens(self) -> Tensor:
        """What the network makes of the teacher's features, [K, M, D]."""
        hidden = ACTIVATIONS["quick_gelu"].defined(self.meta_net["linear1"](self.teacher))
        tokens: Tensor = self.meta_net["linear2"](hidden)
        return tokens.view(-1, *self.ctx.shape)

    def text_features(self, image_features: Tensor) -> Tensor:
        """The same [1, K, E] for all images."""
        return self._prompts.encode(self.ctx[None], replacement=Replacement(self.block, self.class_tokens()))
