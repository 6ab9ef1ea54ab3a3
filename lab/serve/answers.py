"""What the service answers, as ``/openapi.json`` describes it."""

from pydantic import BaseModel, Field

from lab.serve.limits import Limits


class Refusal(BaseModel):
    """Why a request was not served."""

    reason: str


class Answer(BaseModel):
    """What the model says of one picture."""

    name: str = Field(description="of the file")
    label: str
    confidence: float = Field(ge=0, le=1, description="the probability of `label`")
    sure: bool = Field(description="false: take the answer for a guess")
    probabilities: dict[str, float]
    seen: str | None = Field(None, description="a data: URL of the picture as the network sees it")


class Answers(BaseModel):
    """An answer for each picture, in the order in which they came."""

    predictions: list[Answer]


class Explanation(BaseModel):
    """Grad-CAM (arXiv:1610.02391) of the predicted class."""

    label: str
    heat: str = Field(description="a data: URL: what speaks for `label`, bright over grey")
    words: str


class Card(BaseModel):
    """The model, what the service takes, and the model card."""

    run: str
    classes: list[str]
    image_size: int = Field(description="pixels a side, as the network sees a picture")
    threshold: float | None = Field(description="below this confidence an answer is not sure")
    explains: bool = Field(description="whether /explain can answer")
    samples: list[str | None] = Field(description="the classes of /samples/0, 1, …, where known")
    limits: Limits
    card: str | None = Field(description="Markdown; null where notebook 06 has not written it")


class State(BaseModel):
    """That the service is there."""

    status: str
