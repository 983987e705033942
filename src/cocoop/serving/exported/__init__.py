"""An exported model: a folder with one file that needs neither text tower nor tokenizer, its classes and transform."""

from cocoop.serving.exported.card import export_card
from cocoop.serving.exported.description import Description, TangentFigures, Transform, Verification, write_beside
from cocoop.serving.exported.form import Form, extra_package
from cocoop.serving.exported.forms import FORMS
from cocoop.serving.exported.heads import FromPixels, LinearHead
from cocoop.serving.exported.models import HeadModel, PixelModel, is_exported, load_exported, read_exported
from cocoop.serving.exported.tangent_head import TangentHead, verified_head

__all__ = [
    "FORMS",
    "Description",
    "Form",
    "FromPixels",
    "HeadModel",
    "LinearHead",
    "PixelModel",
    "TangentFigures",
    "TangentHead",
    "Transform",
    "Verification",
    "export_card",
    "extra_package",
    "is_exported",
    "load_exported",
    "read_exported",
    "verified_head",
    "write_beside",
]
