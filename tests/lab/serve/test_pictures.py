"""Strangers' files: whatever they hold, the service answers, and goes on."""

from collections import Counter

from hostile import WAYS, hostile
import pytest
from serving import encoded, noise, predict

COUNT = 100
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of such files


def test_damaged_and_hostile_files_are_refused_or_classified(client, model):
    expected = model.engine.predict(noise(1)).probabilities
    statuses = Counter()
    for number in range(COUNT):
        found = predict(client, hostile(number))
        statuses[found.status_code] += 1
        assert found.status_code in (200, 415, 422), (number, found.text)
    assert set(statuses) == {200, 415, 422}  # each way of answering was taken
    found = predict(client, encoded(noise(1)))
    assert found.json()["predictions"][0]["probabilities"] == pytest.approx(expected, abs=1e-5)


def test_the_hostile_files_are_the_same_each_time():
    assert all(hostile(number) == hostile(number) for number in range(len(WAYS)))
