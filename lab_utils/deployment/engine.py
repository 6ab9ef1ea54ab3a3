"""The trained model as an engine for pictures of any kind and size, on the CPU in float32."""

from collections.abc import Iterable
from dataclasses import dataclass
import os

from PIL import Image
import torch

from lab_utils import LabError
from lab_utils.deployment.formats import open_model
from lab_utils.deployment.pictures import Picture, pixels_of, prepared


@dataclass(frozen=True)
class Prediction:
    """What the engine says of one picture."""

    label: str  # the likeliest class
    confidence: float  # its probability
    probabilities: dict[str, float]  # of each class; their sum is 1
    sure: bool  # whether the confidence reaches the engine's threshold

    def top(self, k: int) -> list[tuple[str, float]]:
        """The ``k`` likeliest classes with their probabilities, the likeliest first."""
        return sorted(self.probabilities.items(), key=lambda item: -item[1])[:k]


class Engine:
    """Classifies pictures with the model of a run folder, of its ``best.pt`` or of any export.

    ``classes`` are in the order of the logits, ``image_size`` is the side in pixels of what the
    network sees; from a confidence of ``threshold`` on an answer is ``sure``: on the validation
    images a share ``about.precision`` of these was right. None where no threshold was chosen or
    none is high enough: then no answer is sure. Several threads may use one engine.

    Raises LabError for what is no model (``open_model``) and no picture (``to_rgb``), and where the
    model cannot answer.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        opened = open_model(path)
        self.kind, self.path, self.about, self.run = vars(opened).values()
        self.classes = self.about.classes
        self.image_size = self.about.image_size
        self.threshold = self.about.threshold

    def prepared(self, picture: Picture) -> Image.Image:
        """The picture as the network sees it: the centred square, in RGB, of ``image_size``."""
        return prepared(picture, self.image_size)

    def predict(self, picture: Picture) -> Prediction:
        """The prediction for one picture."""
        return self._answers([self.prepared(picture)])[0]

    def batch_predict(self, pictures: Iterable[Picture], batch_size: int = 64) -> list[Prediction]:
        """The predictions for several pictures, of any kinds and sizes, in their order."""
        if isinstance(pictures, str | os.PathLike | bytes | Image.Image):
            raise LabError("batch_predict takes several pictures; for a single one use predict.")
        squares = []
        for number, picture in enumerate(pictures, 1):
            try:
                squares.append(self.prepared(picture))
            except LabError as error:
                raise LabError(f"Picture {number}: {error}") from None
        starts = range(0, len(squares), batch_size)
        return [a for start in starts for a in self._answers(squares[start : start + batch_size])]

    @torch.inference_mode()
    def _answers(self, squares: list[Image.Image]) -> list[Prediction]:
        logits = self.run(torch.from_numpy(pixels_of(squares)))
        if logits.shape != (len(squares), len(self.classes)) or not logits.isfinite().all():
            raise LabError(
                f"{self.path} does not answer with a number for each class; run 04_training and "
                "06_deployment again."
            )
        answers = []
        for row in logits.double().softmax(1).tolist():
            probabilities = dict(zip(self.classes, row, strict=True))
            label = max(probabilities, key=probabilities.get)
            confidence = probabilities[label]
            sure = self.threshold is not None and confidence >= self.threshold
            answers.append(Prediction(label, confidence, probabilities, sure))
        return answers
