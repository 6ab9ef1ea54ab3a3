"""The addresses of the service and what they answer; ``/openapi.json`` describes them."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
import os
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from PIL import Image
from starlette.exceptions import HTTPException

from lab.serve.answers import Answer, Answers, Card, Explanation, Refusal, State
from lab.serve.batching import Batcher
from lab.serve.limits import Gate, Limits, Refused, refusal
from lab.serve.metrics import Metrics
from lab.serve.model import Model
from lab.serve.pictures import data_url, decoded, png
from lab_utils import LabError
from lab_utils.deployment.engine import Prediction

_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_WHY = {
    400: "The form or the name of the host is not understood",
    404: "There is no such sample, or nothing that explains",
    413: "The request is too large, or has too many files",
    415: "A file is not a picture, or of a kind that is not read here",
    422: "A picture is empty, damaged or has too many pixels; or a field is missing or wrong",
    429: "As many requests as the service takes are waiting already",
    503: "It took too long, or the service is stopping",
}
_PICTURES = (400, 413, 415, 422, 429, 503)
router = APIRouter()


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Refusal, "description": _WHY[status]} for status in statuses}


class Service:
    """What the answers are made with: the model and its batches, the limits, the counters."""

    def __init__(self, model: Model, limits: Limits) -> None:
        self.model, self.limits, self.metrics = model, limits, Metrics()
        self.batcher = Batcher(self._predict)
        self._decoders = ThreadPoolExecutor(os.cpu_count(), "decode")

    async def prepared(self, files: Sequence[UploadFile]) -> list[Image.Image]:
        """The pictures as the network sees them; Refused for too many, and where one is none."""
        if len(files) > self.limits.files:
            raise _too_many(self.limits)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoders, self._prepare, files)

    def _prepare(self, files: Sequence[UploadFile]) -> list[Image.Image]:
        pictures = []
        for number, file in enumerate(files, 1):
            name = (file.filename or f"picture {number}")[:80]
            picture = decoded(file.file.read(), name, self.limits)
            try:
                pictures.append(self.model.engine.prepared(picture))
            except LabError as error:
                raise Refused(422, f"{name}: {error}") from None
        return pictures

    def _predict(self, pictures: list[Image.Image]) -> list[Prediction]:
        found = self.model.engine.batch_predict(pictures)
        self.metrics.batch([prediction.sure for prediction in found])
        return found


@router.post("/predict", responses=_refusals(*_PICTURES))
async def predict(request: Request, files: list[UploadFile], seen: bool = False) -> Answers:
    """Classify one or many pictures. With `seen`, show each as the network sees it."""
    service: Service = request.app.state.service
    pictures = await service.prepared(files)
    found = await service.batcher.predict(pictures)
    return Answers(
        predictions=[
            Answer(
                name=file.filename or "",
                label=prediction.label,
                confidence=prediction.confidence,
                sure=prediction.sure,
                probabilities=prediction.probabilities,
                seen=data_url(picture) if seen else None,
            )
            for file, picture, prediction in zip(files, pictures, found, strict=True)
        ]
    )


@router.post("/explain", responses=_refusals(404, *_PICTURES))
async def explain(request: Request, file: UploadFile) -> Explanation:
    """Show where in a picture the network found what speaks for its answer (Grad-CAM)."""
    service: Service = request.app.state.service
    explainer = service.model.explainer
    if explainer is None:
        raise Refused(404, "Only a run with its checkpoints/best.pt can explain its answers.")
    pictures = await service.prepared([file])
    label = (await service.batcher.predict(pictures))[0].label
    heated, words = await service.batcher.alone(explainer.explain, pictures[0], label)
    return Explanation(label=label, heat=data_url(heated), words=words)


@router.get("/model", responses=_refusals(400))
async def model(request: Request) -> Card:
    """Say what the model is, what the service takes, and what the model card says."""
    service: Service = request.app.state.service
    served, engine = service.model, service.model.engine
    return Card(
        run=served.run,
        classes=list(engine.classes),
        image_size=engine.image_size,
        threshold=engine.threshold,
        explains=served.explainer is not None,
        samples=[sample.label for sample in served.samples],
        limits=service.limits,
        card=served.card,
    )


class _Png(Response):
    media_type = "image/png"


@router.get("/samples/{number}", response_class=_Png, responses=_refusals(400, 404, 422))
async def sample(request: Request, number: int) -> _Png:
    """Give a picture to try the model on; `/model` says how many there are."""
    samples = request.app.state.service.model.samples
    if not 0 <= number < len(samples):
        raise Refused(404, f"There is no sample {number}; there are {len(samples)}, from 0 on.")
    return _Png(png(samples[number].picture))


@router.get("/healthz", responses=_refusals(400))
async def healthz() -> State:
    """Say that the process is alive."""
    return State(status="alive")


@router.get("/readyz", responses=_refusals(400, 503))
async def readyz(request: Request) -> State:
    """Say that pictures are taken."""
    if request.app.state.gate.stopping:
        raise Refused(503, "The service is stopping and takes nothing new.")
    return State(status="ready")


class _Plain(Response):
    media_type = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/metrics", response_class=_Plain, responses=_refusals(400))
async def metrics(request: Request) -> _Plain:
    """Give the counters, in the text format of Prometheus."""
    return _Plain(request.app.state.service.metrics.text())


@router.get("/", include_in_schema=False)
@router.get("/page.css", include_in_schema=False)
@router.get("/page.js", include_in_schema=False)
async def page(request: Request) -> Response:
    """Give the page and its two files."""
    path = Path(__file__).with_name("page") / (request.url.path[1:] or "page.html")
    return Response(path.read_bytes(), media_type=_KINDS[path.suffix])


def _too_many(limits: Limits) -> Refused:
    return Refused(413, f"A request takes at most {limits.files} pictures; send several.")


async def _refuse(request: Request, error: HTTPException) -> Response:
    if str(error.detail).startswith("Too many files"):  # Starlette reads at most 1,000
        error = _too_many(request.app.state.service.limits)
    error.detail = f"{str(error.detail).rstrip('.')}."
    return refusal(error)


async def _refuse_fields(_: Request, error: RequestValidationError) -> Response:
    wrong = "; ".join(f"{problem['loc'][-1]}: {problem['msg']}" for problem in error.errors())
    return refusal(Refused(422, f"The request does not fit, {wrong}."))


async def _fail(_: Request, __: Exception) -> Response:
    return refusal(Refused(500, "The service failed; its console says how."))


def application(model: Model, limits: Limits) -> Gate:
    """The whole service, for an ASGI server to run."""
    app = FastAPI(
        title="The CIFAR-10 lab: a trained model",
        description="Classifies pictures with the model of a run.",
        version=version("cifar10-lab"),
        docs_url=None,  # they would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            HTTPException: _refuse, RequestValidationError: _refuse_fields, Exception: _fail,
        },
    )  # fmt: skip
    app.include_router(router)
    service = app.state.service = Service(model, limits)
    gate = app.state.gate = Gate(app, limits, service.metrics)
    return gate
