"""Weights of the small random CLIP behind the golden values, in OpenAI's parameter names.

Every tensor is a pure function of its name and shape, so no weight file is needed.
"""

import zlib

import numpy as np

EMBED_DIM = 32  # joint space E
IMAGE_SIZE, PATCH_SIZE, VISION_WIDTH, VISION_LAYERS, VISION_HEADS = 32, 8, 128, 2, 2  # heads = width // 64
CONTEXT_LENGTH, VOCAB_SIZE, TEXT_WIDTH, TEXT_HEADS, TEXT_LAYERS = 77, 49408, 128, 2, 3
# Activation: QuickGELU. Layer norm eps: 1e-5.


def shapes() -> dict[str, tuple[int, ...]]:
    """Name -> shape of every parameter."""
    v, t, e = VISION_WIDTH, TEXT_WIDTH, EMBED_DIM
    out: dict[str, tuple[int, ...]] = {
        "positional_embedding": (CONTEXT_LENGTH, t),
        "text_projection": (t, e),
        "logit_scale": (),
        "token_embedding.weight": (VOCAB_SIZE, t),
        "ln_final.weight": (t,),
        "ln_final.bias": (t,),
        "visual.class_embedding": (v,),
        "visual.positional_embedding": ((IMAGE_SIZE // PATCH_SIZE) ** 2 + 1, v),
        "visual.proj": (v, e),
        "visual.conv1.weight": (v, 3, PATCH_SIZE, PATCH_SIZE),
    }
    for ln in ("visual.ln_pre", "visual.ln_post"):
        out[f"{ln}.weight"] = out[f"{ln}.bias"] = (v,)
    for prefix, layers, w in (("transformer", TEXT_LAYERS, t), ("visual.transformer", VISION_LAYERS, v)):
        for i in range(layers):
            b = f"{prefix}.resblocks.{i}"
            out |= {
                f"{b}.attn.in_proj_weight": (3 * w, w),
                f"{b}.attn.in_proj_bias": (3 * w,),
                f"{b}.attn.out_proj.weight": (w, w),
                f"{b}.attn.out_proj.bias": (w,),
                f"{b}.ln_1.weight": (w,),
                f"{b}.ln_1.bias": (w,),
                f"{b}.mlp.c_fc.weight": (4 * w, w),
                f"{b}.mlp.c_fc.bias": (4 * w,),
                f"{b}.mlp.c_proj.weight": (w, 4 * w),
                f"{b}.mlp.c_proj.bias": (w,),
                f"{b}.ln_2.weight": (w,),
                f"{b}.ln_2.bias": (w,),
            }
    return out


def seeded(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Standard normal float32 array that depends only on (name, shape, seed)."""
    return np.random.RandomState(zlib.crc32(f"{seed}:{name}".encode())).standard_normal(shape).astype(np.float32)


def state_dict(seed: int = 0) -> dict[str, np.ndarray]:
    """All parameters, float32. logit_scale is ln(100), as in the released models."""
    out = {}
    for name, shape in shapes().items():
        noise = seeded(name, shape, seed)
        if name == "logit_scale":
            out[name] = np.float32(np.log(100.0)).reshape(())
        elif ".ln_" in name or name.startswith("ln_"):
            out[name] = (1.0 if name.endswith("weight") else 0.0) + np.float32(0.1) * noise
        elif name.endswith("bias"):
            out[name] = np.float32(0.05) * noise
        elif name in (
            "token_embedding.weight",
            "positional_embedding",
            "visual.class_embedding",
            "visual.positional_embedding",
        ):
            out[name] = np.float32(0.3) * noise
        elif name in ("text_projection", "visual.proj"):
            out[name] = noise * np.float32(shape[0] ** -0.5)
        else:
            fan_in = int(np.prod(shape[1:]))
            out[name] = noise * np.float32(fan_in**-0.5)
        out[name] = np.asarray(out[name], dtype=np.float32)
    return out
