"""Pictures of concurrent requests, classified together."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from PIL import Image

from lab_utils.deployment.engine import Prediction


class Batcher:
    """Classifies with one thread: while it computes a batch, the next one gathers.

    So a picture that comes alone waits for nobody, and a crowd shares the cost of each call.
    """

    def __init__(
        self, predict: Callable[[list[Image.Image]], list[Prediction]], largest: int = 64
    ) -> None:
        self._predict, self._largest = predict, largest
        self._thread = ThreadPoolExecutor(1, "classify")
        self._waiting: deque[tuple[Image.Image, asyncio.Future[Prediction]]] = deque()
        self._work: asyncio.Task | None = None

    async def predict(self, pictures: Sequence[Image.Image]) -> list[Prediction]:
        """The predictions for ``pictures``, in their order."""
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in pictures]
        self._waiting.extend(zip(pictures, futures, strict=True))
        if self._work is None:
            self._work = loop.create_task(self._empty())
        return await asyncio.gather(*futures)

    async def alone(self, work: Callable, *arguments: Any) -> Any:
        """What ``work`` returns, called between two batches: nothing else computes meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def _empty(self) -> None:
        """Classify until nothing waits; nobody waits for a request that was given up."""
        while self._waiting:
            count = min(len(self._waiting), self._largest)
            taken = [self._waiting.popleft() for _ in range(count)]
            batch = [(picture, future) for picture, future in taken if not future.done()]
            if not batch:
                continue
            pictures, futures = zip(*batch, strict=True)
            try:
                found = await self.alone(self._predict, list(pictures))
                answers = list(zip(futures, found, strict=True))
            except Exception as error:  # whoever waits must hear of it, whatever it was
                for future in futures:
                    if not future.done():
                        future.set_exception(error)
                continue
            for future, prediction in answers:
                if not future.done():
                    future.set_result(prediction)
        self._work = None
