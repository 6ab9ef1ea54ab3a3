"""The trained model of a run, with what describes it and explains its answers."""

from contextlib import suppress
from dataclasses import dataclass

from PIL import Image

from lab.serve.explain import Explainer
from lab.serve.limits import Limits, Refused
from lab.serve.pictures import decoded
from lab_utils import LabError
from lab_utils.core.run import Run
from lab_utils.data import cifar10
from lab_utils.data.dataset import open_test
from lab_utils.deployment.engine import Engine

_SAMPLES = 10


@dataclass(frozen=True)
class Sample:
    """A picture to try the model on; ``label`` is its class, None where that is not known."""

    picture: Image.Image
    label: str | None


class Model:
    """What the service needs of ``run``; LabError where the run has no model."""

    def __init__(self, run: Run) -> None:
        self.run = run.name
        for path in run.path.glob("exports/*"):
            run.inside(f"exports/{path.name}")
        card, checkpoint = run.file("exports/model_card.md"), run.inside("checkpoints/best.pt")
        self.engine = Engine(run.path)
        told = run.done("06_deployment") and card.is_file()  # and not of weights that are gone
        self.card = card.read_text(encoding="utf-8", errors="replace") if told else None
        self.explainer = Explainer(checkpoint) if checkpoint.is_file() else None
        self.samples = _samples(run)
        size = self.engine.image_size
        try:
            self.engine.predict(Image.new("RGB", (size, size)))  # a first call is slow
        except (LabError, MemoryError):
            raise
        except Exception as error:  # each format has its own kinds for a file that is no such model
            what = f"{self.engine.path} cannot answer ({type(error).__name__})"
            raise LabError(f"{what}; run 06_deployment again.") from error


def _samples(run: Run) -> list[Sample]:
    """The first test image of up to ten classes; else the picture that notebook 06 kept, if any.

    Nothing is downloaded for them.
    """
    used = [entry["data"]["name"] for entry in run.manifest.values() if "data" in entry]
    if used and (used[-1] != "cifar10" or cifar10.find()):
        try:
            test = open_test(run, used[-1], "pictures to try in `lab serve`")
        except LabError:  # a folder of images that is no longer there
            pass
        else:
            firsts = [int((test.targets == k).argmax()) for k in range(len(test.classes))]
            return [
                Sample(Image.fromarray(test.pixels[i].transpose(1, 2, 0)), test.classes[k])
                for k, i in enumerate(firsts[:_SAMPLES])
            ]
    example = run.file("exports/example.png")
    with suppress(Refused):  # a picture to try is no reason not to serve
        if example.is_file():
            picture = decoded(example.read_bytes(), example.name, Limits())
            return [Sample(picture.convert("RGB"), None)]
    return []
