"""The image tower: CLIP's vision transformer, filled from tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cocoop.clip.activations import ACTIVATIONS
from cocoop.clip.fill import check_layers, fill
from cocoop.errors import InputError, expect_choice

Observe = Callable[[Tensor], Tensor]
"""Is given what an image feature is pooled from, and gives back what takes its place."""


class Layer(nn.Module):
    """x + out(attention(q, k, v of layer_norm1 x)), then x + fc2(act(fc1(layer_norm2 x))): pre-norm, no mask.

    Both passes take x [B, N, D] and `scratch`: B * N times `scratch_width` numbers that all layers write into, because
    memory that is new to a process is slow. With it x is overwritten, too. It is None where gradients are recorded,
    which need all that was computed.
    """

    def __init__(self, width: int, hidden: int, heads: int, activation: str, eps: float) -> None:
        super().__init__()
        self.heads, self.activation = heads, activation
        self.self_attn: Any = nn.ModuleDict(
            {f"{name}_proj": nn.Linear(width, width) for name in ("q", "k", "v", "out")}
        )
        self.layer_norm1 = nn.LayerNorm(width, eps)
        self.mlp: Any = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})
        self.layer_norm2 = nn.LayerNorm(width, eps)

    @property
    def scratch_width(self) -> int:
        """The most numbers per token that are needed at once: queries, keys and values, or the MLP's hidden units."""
        attention, mlp = 3 * self.self_attn["q_proj"].out_features, self.mlp["fc1"].out_features
        return int(max(attention, mlp))

    def forward(self, x: Tensor, scratch: Tensor | None) -> Tensor:
        """All tokens after this layer, [B, N, D]."""
        attended = self._attend(x, scratch)
        return self._finish(x.flatten(0, 1), attended.flatten(0, 1), scratch).view(x.shape)

    def of_class_token(self, x: Tensor, scratch: Tensor | None, observe: Observe | None = None) -> Tensor:
        """The first token of every image after this layer, [B, D]; `observe` as in `ImageTower.forward`.

        With one query per head no token needs a key or value of its own: q (W_k n + b_k) is (W_k^T q) n and a number
        that is the same for all tokens, which softmax does not see, and a mean of W_v n + b_v is W_v of the mean of n,
        and b_v.
        """
        normed = self.layer_norm1(x) if observe is None else observe(self.layer_norm1(x))
        query, key, value = (self.self_attn[f"{name}_proj"] for name in "qkv")
        q = query(normed[:, 0]).unflatten(-1, (self.heads, -1))
        asked = torch.einsum("bhd,hdw->bhw", q, key.weight.unflatten(0, (self.heads, -1)))
        tokens = normed[:, None]  # the same for all heads
        seen = F.scaled_dot_product_attention(asked[:, None], tokens, tokens, scale=q.shape[-1] ** -0.5)[:, 0]
        attended = torch.einsum("bhw,hdw->bhd", seen, value.weight.unflatten(0, (self.heads, -1)))
        return self._finish(x[:, 0], attended.flatten(1) + value.bias, scratch)

    def _attend(self, x: Tensor, scratch: Tensor | None) -> Tensor:
        """Attention of all tokens to all, before its output projection. [B, N, D] -> [B, N, D]."""
        normed = self.layer_norm1(x).flatten(0, 1)
        places = (None,) * 3 if scratch is None else scratch[: 3 * normed.numel()].view(3, *normed.shape)
        q, k, v = (
            _product(normed, self.self_attn[f"{name}_proj"], 1, place)
            .view(*x.shape[:2], self.heads, -1)
            .transpose(1, 2)
            for name, place in zip("qkv", places, strict=True)
        )
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    def _finish(self, x: Tensor, attended: Tensor, scratch: Tensor | None) -> Tensor:
        """Add the attention's result and the MLP to the residual stream, inside the products. x, attended: [N, D]."""
        out, fc1, fc2 = self.self_attn["out_proj"], self.mlp["fc1"], self.mlp["fc2"]
        activation = ACTIVATIONS[self.activation]
        x = torch.add(x, out.bias, out=None if scratch is None else x).addmm_(attended, out.weight.t())
        place = None if scratch is None else scratch[: x.shape[0] * fc1.out_features].view(x.shape[0], -1)
        hidden = activation.in_place(_product(self.layer_norm2(x), fc1, activation.scale, place))
        y: Tensor = torch.add(x, fc2.bias, out=None if scratch is None else x)
        return y.addmm_(hidden, fc2.weight.t(), alpha=1 / activation.scale)


def _product(rows: Tensor, linear: nn.Linear, factor: float, place: Tensor | None) -> Tensor:
    """The linear map of the rows [N, D] times a factor, in a place for it if there is one."""
    bias = linear.bias if factor == 1 else linear.bias * factor
    return torch.addmm(bias, rows, linear.weight.t(), alpha=factor, out=place)


class Embeddings(nn.Module):
    """One token for the class and one for every patch, each with its position."""

    def __init__(self, width: int, channels: int, patch: int, positions: int) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.patch_embedding = nn.Conv2d(channels, width, patch, patch, bias=False)
        self.position_embedding = nn.Embedding(positions, width)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, N, N] -> [B, 1 + patches, D]."""
        kernel = self.patch_embedding.weight
        # A convolution whose patches do not overlap is one product, and faster so on a CPU.
        cells = pixels.unflatten(2, (-1, kernel.shape[2])).unflatten(4, (-1, kernel.shape[3]))
        patches = F.linear(cells.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2), kernel.flatten(1))
        tokens = torch.cat([self.class_embedding.expand(pixels.shape[0], 1, -1), patches], dim=1)
        x: Tensor = tokens + self.position_embedding.weight
        return x


class ImageTower(nn.Module):
    """CLIP's vision transformer and its projection: pixels [B, 3, N, N] -> [B, E] (arXiv 2103.00020, section 2.4).

    The modules have the names of transformers' `CLIPVisionModel`, and compute the same up to rounding.

    Attributes:
        image_size: N, pixels. grid: G patches in a row.
        formula: the settings that the tensors do not show, by transformers' names: heads, activation, eps.
    """

    def __init__(
        self,
        width: int,
        channels: int,
        patch: int,
        grid: int,
        layers: int,
        hidden: int,
        joint_width: int,
        heads: int,
        activation: str,
        eps: float,
    ) -> None:
        super().__init__()
        self.patch, self.grid, self.image_size = patch, grid, grid * patch
        self.formula: dict[str, Any] = {"num_attention_heads": heads, "hidden_act": activation, "layer_norm_eps": eps}
        blocks = nn.ModuleList(Layer(width, hidden, heads, activation, eps) for _ in range(layers))
        self.vision_model = nn.ModuleDict(
            {
                "embeddings": Embeddings(width, channels, patch, grid * grid + 1),
                "pre_layrnorm": nn.LayerNorm(width, eps),
                "encoder": nn.ModuleDict({"layers": blocks}),
                "post_layernorm": nn.LayerNorm(width, eps),
            }
        )
        self.projection = nn.Linear(width, joint_width, bias=False)

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor], heads: int, activation: str, eps: float) -> ImageTower:
        """A tower with these very tensors.

        Args:
            weights: under the names of transformers' `CLIPVisionModel`, and `projection.weight` [E, D]; sizes are
                theirs. Images are square, and patches fill them.
            heads: of every layer.
            activation: a name of `ACTIVATIONS`.
            eps: of the layer norms.

        Raises:
            InputError: a tensor is missing or does not fit the others, or the activation is unknown.
        """
        width, channels, patch = _patches(weights["embeddings.patch_embedding.weight"])
        positions = len(weights["embeddings.position_embedding.weight"])
        grid = math.isqrt(max(positions - 1, 0))
        if positions != grid * grid + 1:
            raise InputError(
                f"image tower: expected positions for a class token and a square grid of patches; got {positions}."
            )
        check_layers("image tower", width, heads, eps)
        expect_choice("image activation", activation, list(ACTIVATIONS))
        hidden, joint_width = len(weights["encoder.layers.0.mlp.fc1.weight"]), len(weights["projection.weight"])
        sizes = (width, channels, patch, grid, _layers(weights), hidden, joint_width)
        return fill("image tower", lambda: cls(*sizes, heads, activation, eps), _placed(weights))

    def forward(self, pixels: Tensor, observe: Observe | None = None) -> Tensor:
        """Image features before the unit norm.

        `observe` is given the tokens that the last layer's attention reads, behind their norm, [B, 1 + G * G, D]: the
        class's and then the patches', row by row. What it returns takes their place.
        """
        parts: Any = self.vision_model
        x = parts["pre_layrnorm"](parts["embeddings"](pixels))
        *inner, last = parts["encoder"]["layers"]
        tokens = x.shape[0] * x.shape[1]
        scratch = None if torch.is_grad_enabled() else x.new_empty(tokens * last.scratch_width)
        for layer in inner:
            x = layer(x, scratch)
        features: Tensor = self.projection(parts["post_layernorm"](last.of_class_token(x, scratch, observe)))
        return features

    def describe(self) -> dict[str, Any]:
        """Its kind and sizes, by name."""
        layers: Any = self.vision_model["encoder"]["layers"]  # type: ignore[index]
        return {
            "kind": "vision transformer",
            "layers": len(layers),
            "width": self.projection.in_features,
            "hidden": layers[0].mlp["fc1"].out_features,
            "heads": self.formula["num_attention_heads"],
            "patch": self.patch,
            "image_size": self.image_size,
            "activation": self.formula["hidden_act"],
            "joint_width": self.projection.out_features,
        }


def _patches(kernel: Tensor) -> tuple[int, int, int]:
    """Width, channels and side of the patches of their embedding's kernel [D, 3, P, P]."""
    if kernel.dim() != 4 or kernel.shape[1] != 3 or kernel.shape[2] != kernel.shape[3]:
        raise InputError(
            f"image tower: expected square patches of three colours, [D, 3, P, P]; got {list(kernel.shape)}."
        )
    width, channels, patch, _ = kernel.shape
    return width, channels, patch


def _layers(weights: Mapping[str, Tensor]) -> int:
    return sum(name.startswith("encoder.layers.") and name.endswith(".layer_norm1.weight") for name in weights)


def _placed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = {name: tensor for name, tensor in weights.items() if name.startswith("projection.")}
    return own | {f"vision_model.{name}": tensor for name, tensor in weights.items() if name not in own}
