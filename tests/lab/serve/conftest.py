"""What the tests of the service share."""

from types import SimpleNamespace

import pytest
from serving import HeldEngine, make_served, serving

from lab.serve.model import Model


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return make_served(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def model(run):
    return Model(run)


@pytest.fixture
def held():
    """A model whose engine waits for ``engine.go``."""
    model = SimpleNamespace(run="held", engine=HeldEngine(), samples=[], card=None, explainer=None)
    yield model
    model.engine.go.set()


@pytest.fixture(scope="module")
def client(model):
    with serving(model) as client:
        yield client
