"""The service of a tiny run on a real socket, pictures to ask it about, an engine that waits."""

from contextlib import contextmanager
from io import BytesIO
import threading
import time

from fabricate import CIFAR
import httpx
import numpy as np
from PIL import Image
import torch

from lab.serve.app import application
from lab.serve.limits import Limits
from lab.serve.server import HOST, Server, bound
from lab_utils.core.params import load_settings
from lab_utils.core.run import Run
from lab_utils.data.dataset import Normalization
from lab_utils.deployment.engine import Prediction
from lab_utils.model import networks
from lab_utils.training.checkpoints import Best, save_best

HALF = Normalization((0.5,) * 3, (0.25,) * 3)


def make_served(path):
    """A run with a SimpleCNN whose answers differ from picture to picture, and an example."""
    torch.manual_seed(0)
    network = networks.build("simplecnn", num_classes=10)
    network(torch.randn(64, 3, 32, 32))  # BatchNorm statistics that do something
    path.mkdir(parents=True)
    settings = load_settings("quick")
    (path / "settings.yaml").write_text(settings.model_dump_json(), encoding="utf-8")
    best = Best("simplecnn", {}, 32, tuple(CIFAR), HALF, 3, 0.25)
    save_best(path / "checkpoints" / "best.pt", network, best)
    run = Run.open(path)
    run.begin("06_deployment")
    run.record(temperature=1.0, threshold=None, formats=[], images_compared=1)
    (path / "exports").mkdir()
    noise(7).save(path / "exports" / "example.png")
    (path / "exports" / "model_card.md").write_text("# Model card: tiny\n", encoding="utf-8")
    run.finish()
    return run


def noise(seed, size=(48, 40)):
    """A picture of coloured patches, another for each ``seed``."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size)


def encoded(picture, kind="PNG"):
    buffer = BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


class HeldEngine:
    """An engine that answers a picture by its red value, once it is let go; counts its calls."""

    classes, image_size, threshold = tuple("abc"), 4, 0.5

    def __init__(self):
        self.go, self.calls = threading.Event(), []

    def prepared(self, picture):
        return picture.convert("RGB").resize((4, 4))

    def batch_predict(self, pictures):
        self.calls.append(len(pictures))
        assert self.go.wait(30)
        shares = [picture.getpixel((0, 0))[0] / 255 for picture in pictures]
        return [Prediction("a", s, {"a": s, "b": 1 - s, "c": 0.0}, s >= 0.5) for s in shares]


@contextmanager
def serving(model, **limits):
    """The service of ``model`` in a thread, as an HTTP client that checks what is documented.

    The client has ``gate`` and ``thread``; every answer of a documented path must be one that
    openapi.json tells of.
    """
    gate = application(model, Limits(**limits))
    listener = bound(0)
    server = Server(gate, "")
    listening = threading.Event()
    server.on_tick = _telling(server.on_tick, listening)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    assert listening.wait(30)
    address = f"http://{HOST}:{listener.getsockname()[1]}"
    paths = gate.app.openapi()["paths"]

    def documented(response):
        path = response.request.url.path
        path = "/samples/{number}" if path.startswith("/samples/") else path
        if operation := paths.get(path, {}).get(response.request.method.lower()):
            assert str(response.status_code) in operation["responses"], response.status_code
        assert response.status_code < 500 or response.status_code == 503
        if response.is_error:
            response.read()
            assert list(response.json()) == ["reason"]
            assert response.json()["reason"].endswith(".")

    hooks, limit = {"response": [documented]}, httpx.Limits(max_connections=None)
    try:
        with httpx.Client(
            base_url=address, trust_env=False, timeout=60, event_hooks=hooks, limits=limit
        ) as client:
            client.gate, client.thread, client.server = gate, thread, server
            yield client
    finally:
        gate.stopping = True
        thread.join(30)
        assert not thread.is_alive()


def _telling(on_tick, listening):
    async def tick(counter):
        listening.set()
        return await on_tick(counter)

    return tick


def upload(*contents, field="files"):
    return [(field, (f"picture {n}.png", content)) for n, content in enumerate(contents)]


def predict(client, *contents, **options):
    return client.post("/predict", files=upload(*contents), **options)


def wait_until(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to be")
