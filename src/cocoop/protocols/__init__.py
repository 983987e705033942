"""Protocols: which images are learned from, which are scored, and what is reported."""

from cocoop.protocols.base_to_new import BaseToNew
from cocoop.protocols.own_images import fit_and_score, not_trained_on

__all__ = ["BaseToNew", "fit_and_score", "not_trained_on"]
