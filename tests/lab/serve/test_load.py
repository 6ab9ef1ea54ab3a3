"""The benchmark of the service counts what it claims."""

import os
from types import SimpleNamespace

from benchmarks.serve import load as benchmark


def test_a_load_counts_answers_and_tells_wrong_ones(client):
    process = SimpleNamespace(pid=os.getpid())
    service = benchmark.Service(process, client.base_url.port)
    found = benchmark.load(service, clients=4, requests=40)
    assert (found.requests, found.statuses, found.wrong) == (40, {"200": 40}, 0)
    assert 0 < found.p50_ms <= found.p99_ms
    assert found.per_second > 0
    label = next(iter(service.expected[0]))
    service.expected[0] = service.expected[0] | {label: 2.0}
    assert benchmark.load(service, clients=2, requests=10).wrong == 10


def test_a_load_counts_what_is_lost(client):
    service = benchmark.Service(SimpleNamespace(pid=os.getpid()), client.base_url.port)
    service.port = 1  # nobody answers there
    assert benchmark.load(service, clients=2, requests=10).statuses == {"lost": 10}
