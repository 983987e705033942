"""The routes: a page, and the JSON that it and programs ask."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

from cocoop.data import ImageError
from cocoop.errors import InputError, RunError, expect_choice
from cocoop.reading import parse_json
from cocoop.serving import Named, Prediction, csv_of, entry_of
from cocoop.web import schema
from cocoop.web.batching import MOST, ModelThread
from cocoop.web.forms import Form, classes_of, form_of, number_of, table_of
from cocoop.web.guard import Guard, Json, own_names, refusal, while_there
from cocoop.web.limits import PICTURES, Budgets, Limits, check_pixels, check_training
from cocoop.web.models import WAYS, Answer, Models, Question, ServedRun
from cocoop.web.trainer import Trainer
from cocoop.web.training import zipped

_TOP = 5  # classes of a row, where nobody says
_PAGE = {
    "": ("page.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}
_RUN = {"run": {"type": "string", "description": "A name of GET /runs. Default: the first."}}
_CLASSES = {
    "classes": {"type": "string", "description": 'A JSON list of names. Default: the run\'s own. ["cat", "dog"]'}
}
_ERRORS: dict[int | str, dict[str, Any]] = {code: {"model": schema.Error} for code in ("4XX", 422, "5XX")}


@dataclass(frozen=True)
class Services:
    """What the routes use."""

    models: Models
    thread: ModelThread[Question, Answer]
    trainer: Trainer
    limits: Limits
    budgets: Budgets


router = APIRouter(responses=_ERRORS)


def make_app(services: Services, host: str) -> FastAPI:
    """The application; `host` is where it listens."""
    app = FastAPI(
        title="cocoop serve",
        version=version("cocoop"),
        description="Classifies pictures with learned prompts. Nothing that is sent is kept on the disk.",
        docs_url=None,  # its pages fetch scripts from elsewhere
        redoc_url=None,
    )
    app.state.services = services
    app.include_router(router)
    for path, (name, kind) in _PAGE.items():
        content = files("cocoop.web").joinpath(name).read_bytes()
        app.add_api_route(f"/{path}", _static(content, kind), include_in_schema=False, response_class=Response)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _refused)
    app.add_exception_handler(InputError, _refused)
    app.add_exception_handler(RunError, _refused)
    app.add_exception_handler(TimeoutError, _refused)
    app.add_middleware(Guard, names=own_names(host))
    return app


def _static(content: bytes, kind: str) -> Any:
    async def page() -> Response:
        return Response(content, media_type=kind)

    return page


async def _refused(request: Request, error: Exception) -> Json:
    """The one line of an error, with its status."""
    if isinstance(error, StarletteHTTPException):
        told = error.detail if "expected" in str(error.detail) else _of_route(request, error.status_code)
        return refusal(error.status_code, str(told))
    if isinstance(error, RequestValidationError):
        name = error.errors()[0]["loc"][-1]  # of the one field that is not read from a form
        return refusal(422, f"{name}: expected a value; got none. /openapi.json lists what is taken.")
    if isinstance(error, TimeoutError):
        seconds = _services(request).limits.seconds
        return refusal(503, f"expected an answer within {seconds:g} seconds; others are before you. Ask again later.")
    return refusal(400 if isinstance(error, InputError) else 500, str(error))


def _of_route(request: Request, status: int) -> str:
    asked = f"{request.method} {request.url.path}"[:200]
    if status == 405:
        return f"expected another method for this address; got {asked}. /openapi.json lists all."
    return f"expected an address of this server; got {asked}. /openapi.json lists all."


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


@router.get("/health", response_model=schema.Health)
async def health(request: Request) -> Json:
    """Whether it answers."""
    return Json({"status": "ok", "runs": len(_services(request).models.runs), "version": version("cocoop")})


@router.get("/runs", response_model=schema.Runs)
async def runs(request: Request) -> Json:
    """The runs that are served, and what a request may hold."""
    services = _services(request)
    limits = {name: getattr(services.limits, name) for name in ("upload", "pixels", "classes", "seconds")}
    told = [_told(run) for run in services.models.runs.values()]
    return Json({"runs": told, "limits": limits | {"pictures": PICTURES}})


def _told(run: ServedRun) -> dict[str, Any]:
    return {
        "name": run.name,
        "method": run.method,
        "clip": None if run.clip is None else Path(run.clip.name).name,
        "classes": [str(name) for name in run.classes],
        "ways": run.able,
        "refused": {way: refusal for way, refusal in run.ways.items() if refusal is not None},
        "bound": run.bound,
        "learns": run.learns,
        "learned": run.learned,
    }


@router.post(
    "/predict",
    response_model=schema.Predicted,
    openapi_extra=schema.form_schema(
        _RUN
        | _CLASSES
        | {
            "ways": {"type": "string", "description": f"Of {','.join(WAYS)}, with commas. Default: exact."},
            "top": {"type": "integer", "description": f"Classes of each row, best first. Default: {_TOP}."},
        },
        ["image"],
    ),
)
async def predict(request: Request) -> Json:
    """Classify pictures; one that cannot be read is a row with its error."""
    services = _services(request)
    async with asyncio.timeout(services.limits.seconds), form_of(request, services.limits, services.budgets) as form:
        run, top = services.models.run(form.one("run")), number_of(form, "top", _TOP)
        pictures, ways = await _pictures(form, services.limits), _ways(form)
        question = Question(run.name, _classes(form, run, services.limits), ways, pictures)
        answers = await while_there(request, _answers(services, question))
    results = {
        way: [entry_of(row._replace(top=row.top[:top]), False) for answer in answers for row in answer.rows[way]]
        for way in ways
    }
    return Json({"run": run.name, "results": results, "inference": answers[-1].inference})


async def _answers(services: Services, question: Question) -> list[Answer]:
    async with services.budgets.pictures.taken(question.size):
        return await asyncio.gather(*map(services.thread.ask, question.parts(MOST)))


def _ways(form: Form) -> tuple[str, ...]:
    ways = [way.strip() for way in (form.one("ways") or "exact").split(",")]
    for way in ways:
        expect_choice("ways", way, WAYS)
    return tuple(dict.fromkeys(ways))


def _classes(form: Form, run: ServedRun, limits: Limits) -> tuple[str, ...] | None:
    """The classes that are asked for; None is the run's own."""
    classes = classes_of(form, limits.classes)
    return None if classes == tuple(map(str, run.classes)) else classes


async def _pictures(form: Form, limits: Limits) -> tuple[Named, ...]:
    return tuple(await asyncio.to_thread(lambda: [_checked(*picture, limits) for picture in form.pictures]))


def _checked(name: str, content: bytes, limits: Limits) -> Named:
    try:
        check_pixels(name, content, limits.pixels)
    except ImageError as error:
        return Named(name, error)
    return Named(name, content)


@router.post("/csv", openapi_extra={"requestBody": {"content": {"application/json": {}}}}, response_class=Response)
async def csv(request: Request) -> Response:
    """Rows of POST /predict, {"rows": [...]}, as the CSV that `cocoop predict` writes."""
    services = _services(request)
    async with asyncio.timeout(services.limits.seconds), table_of(request, services.limits, services.budgets) as body:
        text = await asyncio.to_thread(lambda: csv_of(_rows(body)))
    headers = {"content-disposition": 'attachment; filename="predictions.csv"'}
    return Response(text.encode("utf-8", "backslashreplace"), media_type="text/csv; charset=utf-8", headers=headers)


def _rows(body: bytes) -> Sequence[Prediction]:
    try:
        rows = schema.Rows.model_validate(parse_json(body)).rows
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(
            f'rows: expected {{"rows": [...]}} as POST /predict gives them; got {place}: {first["msg"]}.'
        ) from error
    except ValueError as error:
        raise InputError(f'rows: expected JSON, {{"rows": [...]}}; got {error}.') from error
    return [Prediction(row.image, row.class_, row.best(), row.error, None) for row in rows]


@router.post(
    "/learn",
    status_code=202,
    response_model=schema.LearningInfo,
    openapi_extra=schema.form_schema(
        {"label": {"type": "array", "items": {"type": "string"}, "description": "The class of each image."}}
        | _RUN
        | _CLASSES,
        ["image", "label"],
    ),
)
async def learn(request: Request) -> Json:
    """Learn a new run from these pictures alone, as the run was learned; GET /learn says how it goes."""
    services = _services(request)
    async with asyncio.timeout(services.limits.seconds), form_of(request, services.limits, services.budgets) as form:
        run = services.models.run(form.one("run"))
        classes = _classes(form, run, services.limits) or tuple(map(str, run.classes))
        for named in await _pictures(form, services.limits):
            if isinstance(named.picture, ImageError):
                raise named.picture
        await asyncio.to_thread(check_training, form.pictures, services.limits.pixels)
        services.trainer.begin(run, classes, form.pictures, form.fields.get("label", []))
    return Json(services.trainer.state(), 202)


@router.get("/learn", response_model=schema.LearningInfo | None)
async def learning(request: Request) -> Json:
    """How the last training goes; null where there was none."""
    return Json(_services(request).trainer.state())


@router.delete("/learn", response_model=schema.LearningInfo | None)
async def stop_learning(request: Request) -> Json:
    """End the training that is under way."""
    _services(request).trainer.stop()
    return Json(_services(request).trainer.state())


@router.get("/run.zip", response_class=Response)
async def run_zip(request: Request, run: str) -> Response:
    """The run folder of a run that was learned here."""
    served = _services(request).models.run(run)
    if not served.learned:
        raise HTTPException(404, f"{run}: expected a run that was learned here; its folder is {served.folder.name}.")
    try:
        content = await asyncio.to_thread(zipped, served.folder)
    except FileNotFoundError as error:
        raise HTTPException(
            404, f"{run}: expected a run that is still there; it has given way to newer ones."
        ) from error
    name = re.sub(r"[^\w.-]", "_", run, flags=re.ASCII)
    headers = {"content-disposition": f'attachment; filename="{name}.zip"'}
    return Response(content, media_type="application/zip", headers=headers)
