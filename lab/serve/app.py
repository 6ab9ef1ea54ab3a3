"""The addresses of the service and what they answer; ``/openapi.json`` describes them."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, File, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from lab.serve.answers import Answer, Answers, Card, Explanation, Refusal, State
from lab.serve.limits import Gate, Limits, Refused, refusal
from lab.serve.metrics import TEXT
from lab.serve.model import Model
from lab.serve.pictures import data_url, png
from lab.serve.service import Service

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
_Pictures = Annotated[list[UploadFile], File(json_schema_extra={"minItems": 1})]
router = APIRouter()


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Refusal, "description": _WHY[status]} for status in statuses}


def _content(kind: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {kind: {"schema": {"type": "string"}}}}}


@router.post("/predict", responses=_refusals(*_PICTURES))
async def predict(request: Request, files: _Pictures, seen: bool = False) -> Answers:
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


@router.get(
    "/samples/{number}",
    response_class=Response,
    responses=_content("image/png") | _refusals(400, 404, 422),
)
async def sample(request: Request, number: int) -> Response:
    """Give a picture to try the model on; `/model` says how many there are."""
    samples = request.app.state.service.model.samples
    if not 0 <= number < len(samples):
        raise Refused(404, f"There is no sample {number}; there are {len(samples)}, from 0 on.")
    return Response(png(samples[number].picture), media_type="image/png")


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


@router.get("/metrics", response_class=Response, responses=_content("text/plain") | _refusals(400))
async def metrics(request: Request) -> Response:
    """Give the counters, in the text format of Prometheus."""
    return Response(request.app.state.service.metrics.text(), media_type=TEXT)


@router.get("/", include_in_schema=False)
@router.get("/page.css", include_in_schema=False)
@router.get("/page.js", include_in_schema=False)
async def page(request: Request) -> Response:
    """Give the page and its two files."""
    path = Path(__file__).with_name("page") / (request.url.path[1:] or "page.html")
    return Response(path.read_bytes(), media_type=_KINDS[path.suffix])


async def _refuse(request: Request, error: HTTPException) -> Response:
    if str(error.detail).startswith("Too many files"):  # Starlette reads at most 1,000
        error = request.app.state.service.too_many()
    error.detail = f"{str(error.detail).rstrip('.')}."
    return refusal(error)


# Of what does not fit, in place of pydantic's.
_WORDS = {"missing": "it is missing", "value_error": "it must be a file, not text"}


async def _refuse_fields(_: Request, error: RequestValidationError) -> Response:
    wrong = "; ".join(
        f"{problem['loc'][1]}: {_WORDS.get(problem['type'], problem['msg'])}"
        for problem in error.errors()
    )
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
