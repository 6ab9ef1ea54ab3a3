"""From the files of a request to the predictions for them."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
import os

from fastapi import UploadFile
from PIL import Image

from lab.serve.batching import Batcher
from lab.serve.limits import Limits, Refused
from lab.serve.metrics import Metrics
from lab.serve.model import Model
from lab.serve.pictures import decoded
from lab_utils import LabError
from lab_utils.deployment.engine import Prediction


class Service:
    """What the answers are made with: the model and its batches, the limits, the counters."""

    def __init__(self, model: Model, limits: Limits) -> None:
        self.model, self.limits, self.metrics = model, limits, Metrics()
        self.batcher = Batcher(self._predict)
        # Few, whatever the machine has: each may hold a decoded picture of the largest size.
        self._decoders = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "decode")

    async def prepared(self, files: Sequence[UploadFile]) -> list[Image.Image]:
        """The pictures as the network sees them; Refused for too many, and where one is none."""
        if len(files) > self.limits.files:
            raise self.too_many()
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

    def too_many(self) -> Refused:
        """What refuses a request with more files than it may have."""
        return Refused(413, f"A request takes at most {self.limits.files} pictures; send several.")
