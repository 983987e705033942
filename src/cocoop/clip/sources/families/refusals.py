"""What is not a CLIP that prompts can be learned for, told by its config or by its tensors' names, and why not."""

from __future__ import annotations

from collections.abc import Iterable

_CAUSAL = "whose text tower is causal and read at its end token"
_BIDIRECTIONAL = "its text tower is bidirectional, so that prompts share no prefix"
_BERT = "its text tower is a BERT-like encoder, which is bidirectional"

_PROMPT = (
    "it is a learned prompt, not a CLIP; make a run of it with `cocoop import FILE --clip CLIP --classes ... --out RUN`"
)

_FAMILIES = {
    "siglip": _BIDIRECTIONAL,
    "siglip2": _BIDIRECTIONAL,
    "chinese_clip": _BERT,
    "altclip": _BERT,
    "align": _BERT,
    "blip": _BERT,
    "flava": _BERT,
    "clip_text_model": "it is a text tower alone",
    "clip_vision_model": "it is an image tower alone",
    "clipseg": "it is a segmentation model on a CLIP; take the CLIP itself",
}

_SIGNS = (  # the beginning of a name -> what has such tensors
    ("visual.trunk.", "its image tower is one of timm's (visual.trunk.*)"),
    ("text.transformer.embeddings.", _BERT),
    ("text.transformer.encoder.", _BERT),
    ("logit_bias", f"it was trained with SigLIP's sigmoid loss: {_BIDIRECTIONAL}"),
    ("text_decoder.", "it is a CoCa, whose text tower is read at another place"),
    ("visual.blocks.", "its image tower is an EVA transformer"),
    ("prompt_learner.", _PROMPT),
    ("token_prefix", _PROMPT),
    ("ctx", _PROMPT),
    ("meta_net.", _PROMPT),
    ("text_model.", "its tensors have Hugging Face's names: give the folder that its config.json is in"),
    ("vision_model.", "its tensors have Hugging Face's names: give the folder that its config.json is in"),
)


def why_not_family(family: object) -> str:
    """The end of a message on a config.json with this model_type."""
    reason = _FAMILIES.get(str(family))
    return f"a CLIP {_CAUSAL} (model_type clip or metaclip_2); got model_type {family!r}" + (
        f": {reason}." if reason else "."
    )


def why_not_tensors(names: Iterable[str]) -> str | None:
    """The end of a message on tensors with such names, or None if there is no sign that they cannot work."""
    for name in names:
        plain = name.removeprefix("module.")
        for sign, reason in _SIGNS:
            if plain.startswith(sign):
                return f"a CLIP {_CAUSAL}; got the tensor {name}: {reason}."
    return None
