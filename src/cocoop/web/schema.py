"""What goes over the wire, for OpenAPI."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class Error(BaseModel):
    """Whatever went wrong, in one line."""

    error: str


class ClassProbability(BaseModel):
    """A class, and its probability, 0..1."""

    class_: str = Field(alias="class")
    probability: float


class Row(BaseModel):
    """What came of a picture: what `cocoop predict --format jsonl` writes."""

    image: str
    class_: str | None = Field(alias="class", default=None)
    probability: float | None = None
    top: list[ClassProbability] = []
    error: str | None = None

    def best(self) -> list[tuple[str, float]]:
        """The classes of `top`, or where none are given the one class, with their probabilities."""
        if not self.top and self.class_ is not None and self.probability is not None:
            return [(self.class_, self.probability)]
        return [(one.class_, one.probability) for one in self.top]


class Predicted(BaseModel):
    """Of each way a row for each picture, in their order; and how it was computed, in words, if there is a choice."""

    run: str
    results: dict[str, list[Row]]
    inference: dict[str, str | None]


class Rows(BaseModel):
    """Rows to write as CSV."""

    rows: list[Row]


class RunInfo(BaseModel):
    """A run.

    ways: how pictures can be classified with it. refused: the other ways, and why. bound: why it takes no other
    classes. learns: whether POST /learn takes it. learned: whether it was learned here, so that /run.zip has it.
    """

    name: str
    method: str
    clip: str | None
    classes: list[str]
    ways: list[str]
    refused: dict[str, str]
    bound: str | None
    learns: bool
    learned: bool


class Runs(BaseModel):
    """What is served, and what a request may hold."""

    runs: list[RunInfo]
    limits: dict[str, float]


class Health(BaseModel):
    """That it answers."""

    status: str
    runs: int
    version: str


class LearningInfo(BaseModel):
    """How the last training goes: "learning", "done" or "failed"."""

    state: str
    run: str
    pictures: int
    epoch: int
    epochs: int | None
    seconds: float
    learned: str | None
    error: str | None


def form_schema(fields: dict[str, dict[str, Any]], required: list[str]) -> dict[str, Any]:
    """OpenAPI's words for a form of pictures in "image" and these other fields."""
    pictures = {"type": "array", "items": {"type": "string", "format": "binary"}, "description": "The files."}
    schema = {"type": "object", "required": required, "properties": {"image": pictures, **fields}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
