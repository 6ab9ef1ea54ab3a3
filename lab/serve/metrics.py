"""What the service counts, in the text format of Prometheus."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

TEXT = "text/plain; version=0.0.4; charset=utf-8"  # the media type of what it says
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_PATHS = ("/", "/predict", "/explain", "/model", "/healthz", "/readyz", "/metrics")


class Metrics:
    """Counters in a registry of their own, so that two services do not share them."""

    def __init__(self) -> None:
        disable_created_metrics()  # a second line for each, of when it was first counted
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # memory and processor time, on Linux
        own = {"registry": self.registry}
        self._requests = Counter(
            "lab_requests",
            "Answered requests; status 0: the client left",
            ["path", "status"],
            **own,
        )
        self._seconds = Histogram(
            "lab_request_seconds", "Seconds to an answer", ["path"], buckets=_SECONDS, **own
        )
        self.under_way = Gauge("lab_requests_under_way", "Accepted, not yet answered", **own)
        self._answers = Counter("lab_answers", "Classified pictures", ["sure"], **own)
        self._batch = Histogram(
            "lab_batch_pictures", "Pictures classified in one call",
            buckets=(1, 2, 4, 8, 16, 32, 64), **own,
        )  # fmt: skip

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count an answered request; paths that anybody can make up share one label."""
        known = path if path in _PATHS else "other"
        self._requests.labels(known, str(status)).inc()
        self._seconds.labels(known).observe(seconds)

    def batch(self, sure: list[bool]) -> None:
        """Count a batch: for each of its pictures, whether the answer was sure."""
        self._batch.observe(len(sure))
        self._answers.labels("yes").inc(sum(sure))
        self._answers.labels("no").inc(len(sure) - sum(sure))

    def text(self) -> bytes:
        """Everything counted so far, in Prometheus's text format."""
        return generate_latest(self.registry)
