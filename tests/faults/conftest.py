"""What the faults have in common: how many are tried, and what is said of them at the end."""

import pytest


@pytest.fixture
def full(request) -> bool:
    """Whether `pytest -m faults` asks for all of them; the ordinary suite tries a few of each."""
    return "faults" in request.config.getoption("markexpr")


@pytest.fixture
def survived(record_property):
    """Call it with a fault, how often it was tried, and what surviving it means."""

    def note(fault: str, tried: int, means: str) -> None:
        record_property("fault", (fault, tried, means))

    return note
