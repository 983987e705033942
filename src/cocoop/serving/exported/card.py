"""The README.md of an exported model: what it is, how well the file agrees with what it was made of, how to run it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cocoop.escapes import markdown
from cocoop.results.card import escaped
from cocoop.serving.exported.description import OUTPUT, Description, Transform
from cocoop.serving.exported.form import Form

_SHOWN_CLASSES = 20

_CARD = """\
# {count} classes as {words}

{what} for {count} classes ({names}). They are fixed; `classes.json` has all of them, in the order of the probabilities.

| | |
|---|---|
{rows}
{more}
Run it in this folder:

```python
{code}```

Or, with the same answers for pictures of any kind:

```sh
cocoop predict this-folder image.jpg
```
"""

_MORE = """
The method makes prompts of its own for every image. Here they are a first-order function of the image, without a text
tower: how far that agrees with exact inference stands above.
"""
_SHORTEST = """\
w, h = image.size
w, h = (n, int(n * h / w)) if w <= h else (int(n * w / h), n)
left, top = round((w - n) / 2), round((h - n) / 2)
image = image.resize((w, h), Image.Resampling.{resampling}).crop((left, top, left + n, top + n))
"""
_SQUASH = "image = image.resize((n, n), Image.Resampling.{resampling})\n"
_OPEN = {"apply": 'ImageOps.exif_transpose(Image.open("image.jpg"))'}
_PICTURE = """\
how, n = json.loads(Path("preprocess.json").read_bytes()), {size}
image = {opened}.convert("RGB")
{resize}\
pixels = (np.asarray(image, np.float32) / 255 - how["mean"]) / how["std"]
batch = pixels.astype(np.float32).transpose(2, 0, 1)[None]  # [B, 3, {size}, {size}]
"""
_FEATURES = """\
batch = np.load("features.npy")  # unit-norm image features [B, {width}] float32 of this CLIP, as `cocoop embed` writes
"""
_IMPORTS = {
    "model.onnx": "import onnxruntime",
    "model.pt2": "import torch",
    "head.safetensors": "from safetensors.numpy import load_file",
}
_RUN = {
    "model.onnx": 'probabilities = onnxruntime.InferenceSession("model.onnx").run(None, {{"{input}": batch}})[0]\n',
    "model.pt2": 'probabilities = torch.export.load("model.pt2").module()(torch.from_numpy(batch)).numpy()\n',
    "head.safetensors": """\
head = load_file("head.safetensors")
{logits}\
probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
probabilities /= probabilities.sum(axis=1, keepdims=True)
""",
}
_TANGENT = """\
d = np.maximum(batch @ head["code_weight"].T + head["code_bias"], 0)[:, None] - head["anchors"]
nearest = np.einsum("bah,ahi,bai->ba", d, head["metric"], d).argmin(axis=1)
products = np.einsum("be,aek->bak", batch, head["features"])
products += np.einsum("be,aekh,bah->bak", batch, head["slopes"], d, optimize=True)
squares = head["squares"] + np.einsum("ahk,bah->bak", head["lines"], d)
squares += np.einsum("ahik,bah,bai->bak", head["curves"], d, d, optimize=True)
logits = ({compared})[np.arange(len(batch)), nearest]
"""
_LOGITS = {
    "linear": 'logits = batch @ head["weight"].T + head["bias"]\n',
    "tangent": _TANGENT.format(compared="products / np.sqrt(squares)"),
    "tangent-plain": _TANGENT.format(compared="products - squares"),
}
_END = """\
classes = json.loads(Path("classes.json").read_bytes())
print(classes[probabilities[0].argmax()], probabilities[0].max())
"""


def export_card(form: Form, description: Description, classes: Sequence[Any], transform: Transform, width: int) -> str:
    """Markdown for an exported model; `width` is E."""
    names = [escaped(str(name)) for name in classes[:_SHOWN_CLASSES]] + ["..."] * (len(classes) > _SHOWN_CLASSES)
    return _CARD.format(
        count=len(classes),
        words=form.words,
        what="Pictures to probabilities" if description.input == "pixels" else "Image features to probabilities",
        names=", ".join(names),
        rows="\n".join(f"| {name} | {value} |" for name, value in _facts(form, description, transform, width).items()),
        more=_MORE if description.tangent is not None else "",
        code=_code(form, description, transform, width),
    )


def _facts(form: Form, description: Description, transform: Transform, width: int) -> dict[str, str]:
    n = transform.size
    shape = f"[B, 3, {n}, {n}], as `preprocess.json` says" if description.input == "pixels" else f"[B, {width}], unit"
    facts = {
        "file": f"`{form.file}`",
        "input": f"`{description.input}` {shape}, float32, any B",
        "output": f"`{OUTPUT}` [B, {description.classes}] float32",
        "method": markdown(description.method),
        "CLIP": f"{markdown(description.clip)}, fingerprint `{description.clip_fingerprint}`",
        "temperature": f"{description.temperature:g}" + (", not calibrated" if description.temperature == 1 else ""),
        "written by": f"cocoop {description.cocoop}",
    }
    tangent = description.tangent
    if tangent is not None:
        facts["the same class as by exact inference"] = f"{tangent.agreement:.4g} % of {tangent.images} training images"
        facts["difference of a probability from exact inference"] = (
            f"{tangent.largest_difference:.2g} at most, {tangent.mean_difference:.2g} in the mean, on these images"
        )
    if description.verification is not None:
        facts["largest difference of a probability from what was written"] = (
            f"{description.verification.largest_difference:.1e}, on {description.verification.images} random images"
        )
    return facts


def _code(form: Form, description: Description, transform: Transform, width: int) -> str:
    imports = f"import json\nfrom pathlib import Path\n\nimport numpy as np\n{_IMPORTS[form.file]}\n"
    run = _RUN[form.file].format(input=description.input, logits=_LOGITS[description.head]) + _END
    if description.input != "pixels":
        return f"{imports}\n{_FEATURES.format(width=width)}{run}"
    resize = _SHORTEST if transform.resize_mode == "shortest" else _SQUASH
    opened = _OPEN.get(transform.exif, 'Image.open("image.jpg")')
    resized = resize.format(resampling=transform.interpolation.upper())
    picture = _PICTURE.format(size=transform.size, opened=opened, resize=resized)
    pillow = "from PIL import Image, ImageOps" if transform.exif == "apply" else "from PIL import Image"
    return f"{imports}{pillow}\n\n{picture}{run}"
