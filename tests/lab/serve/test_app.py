"""What the service answers: predictions, refusals with their status and reason, and the rest."""

import ast
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
import re

import nbformat
import numpy as np
from PIL import Image
import pytest
from serving import encoded, make_served, noise, predict, serving, upload, wait_until
import torch

from lab.serve.model import Model
from lab_utils import LabError
from lab_utils.core.params import project_root

ROOT = project_root()


def close_to(expected):
    return pytest.approx(expected, abs=1e-5)


def test_a_picture_gets_the_answer_of_the_engine(client, model):
    expected = model.engine.predict(noise(1))
    (answer,) = predict(client, encoded(noise(1))).json()["predictions"]
    assert answer["name"] == "picture 0.png"
    assert (answer["label"], answer["sure"]) == (expected.label, expected.sure)
    assert answer["confidence"] == close_to(expected.confidence)
    assert answer["probabilities"] == close_to(expected.probabilities)
    assert list(answer["probabilities"]) == list(model.engine.classes)
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["seen"] is None


def test_many_pictures_get_the_answers_that_each_gets_alone(client):
    contents = [encoded(noise(seed), kind) for seed in range(6) for kind in ("PNG", "GIF")]
    together = predict(client, *contents).json()["predictions"]
    assert [answer["name"] for answer in together] == [f"picture {n}.png" for n in range(12)]
    for content, answer in zip(contents, together, strict=True):
        (alone,) = predict(client, content).json()["predictions"]
        assert answer["probabilities"] == close_to(alone["probabilities"])
    assert len({answer["probabilities"]["cat"] for answer in together}) > 6


def test_what_the_network_sees_is_shown_where_it_is_asked_for(client, model):
    answer = predict(client, encoded(noise(2)), params={"seen": True}).json()["predictions"][0]
    shown = Image.open(BytesIO(b64decode(answer["seen"].partition("base64,")[2])))
    expected = model.engine.prepared(noise(2))
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(expected))


def test_nobody_gets_the_answer_to_anothers_picture(client, model):
    expected = [p.probabilities for p in model.engine.batch_predict(map(noise, range(40)))]
    contents = [encoded(noise(seed)) for seed in range(40)]

    def ask(number):
        chosen = [(number + step) % 40 for step in range(1 + number % 3)]
        found = predict(client, *(contents[n] for n in chosen)).json()["predictions"]
        return [
            answer["probabilities"] == close_to(expected[n])
            for n, answer in zip(chosen, found, strict=True)
        ]

    with ThreadPoolExecutor(16) as pool:
        right = [share for shares in pool.map(ask, range(200)) for share in shares]
    assert len(right) > 200
    assert all(right)


def test_pictures_that_come_while_the_model_computes_are_one_batch(held):
    with serving(held) as client, ThreadPoolExecutor(6) as pool:
        first = pool.submit(predict, client, encoded(Image.new("RGB", (4, 4), (255, 0, 0))))
        wait_until(lambda: held.engine.calls == [1])
        reds = (51, 102, 153, 204)
        rest = [
            pool.submit(predict, client, encoded(Image.new("RGB", (4, 4), (red, 0, 0))))
            for red in reds
        ]
        wait_until(lambda: len(client.gate.app.state.service.batcher._waiting) == 4)
        held.engine.go.set()
        answers = [future.result().json()["predictions"][0] for future in (first, *rest)]
        assert held.engine.calls == [1, 4]
        assert [answer["confidence"] for answer in answers] == [1, 0.2, 0.4, 0.6, 0.8]
        assert [answer["sure"] for answer in answers] == [True, False, False, True, True]
        text = client.get("/metrics").text
        assert 'lab_answers_total{sure="yes"} 3.0' in text
        assert 'lab_answers_total{sure="no"} 2.0' in text
        assert "lab_batch_pictures_count 2.0" in text


CUT = encoded(noise(3))[:-300]


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", 422, "empty"),
        (b"These are words.", 415, "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "not a picture"),
        (CUT, 422, "damaged"),
        (encoded(Image.new("1", (5001, 5001))), 422, "25 million pixels"),
        (encoded(Image.new("1", (20_000, 20_000))), 422, "25 million pixels"),
    ],
)
def test_what_cannot_be_classified_is_refused_with_its_name(client, content, status, reason):
    found = predict(client, encoded(noise(1)), content)
    assert found.status_code == status
    assert found.json()["reason"].startswith("picture 1.png")
    assert reason in found.json()["reason"]


def test_requests_that_do_not_fit_are_refused(client):
    one = encoded(noise(1))
    many = client.post("/predict", files=upload(*[one] * 33))
    assert (many.status_code, "at most 32 pictures" in many.text) == (413, True)
    thousands = client.post("/predict", files=upload(*[b"x"] * 1001))
    assert (thousands.status_code, "at most 32 pictures" in thousands.text) == (413, True)
    assert client.post("/predict").status_code == 422
    other = client.post("/predict", files=upload(one, field="pictures"))
    assert (other.status_code, "files: it is missing" in other.text) == (422, True)
    text = client.post("/predict", data={"files": "cat.png"})
    assert text.status_code == 422
    assert "files: it must be a file, not text" in text.text
    form = {"content-type": "multipart/form-data; boundary=x"}
    broken = client.post("/predict", content=b"--y\r\n no form", headers=form)
    assert broken.status_code == 400
    odd = client.post("/predict", files=upload(one), params={"seen": "perhaps"})
    assert (odd.status_code, "seen" in odd.text) == (422, True)


def test_a_large_body_is_refused_before_and_while_it_is_read(model):
    with serving(model, bytes=100_000) as client:
        content = encoded(noise(1)) + bytes(200_000)
        declared = predict(client, content)
        assert (declared.status_code, "larger than 0.1 MB" in declared.text) == (413, True)
        head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        form = {"content-type": "multipart/form-data; boundary=x"}
        chunks = iter([head, *[bytes(10_000)] * 30])
        chunked = client.post("/predict", content=chunks, headers=form)
        assert (chunked.status_code, "larger than 0.1 MB" in chunked.text) == (413, True)
        assert predict(client, encoded(noise(1))).status_code == 200


def test_a_full_queue_refuses_and_takes_again(held):
    with serving(held, requests=2) as client, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(predict, client, encoded(noise(n))) for n in range(2)]
        wait_until(lambda: client.gate.under_way == 2)
        refused = predict(client, encoded(noise(3)))
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert "lab_requests_under_way 2.0" in client.get("/metrics").text
        held.engine.go.set()
        assert [future.result().status_code for future in waiting] == [200, 200]
        assert predict(client, encoded(noise(3))).status_code == 200


def test_what_takes_too_long_is_given_up_and_the_next_is_answered(held):
    with serving(held, seconds=0.2) as client:
        late = predict(client, encoded(noise(1)))
        assert (late.status_code, "longer than 0.2 s" in late.text) == (503, True)
        assert client.gate.under_way == 0
        held.engine.go.set()
        assert predict(client, encoded(noise(1))).status_code == 200


def test_an_engine_that_fails_is_said_and_does_not_stop_the_service(held, caplog):
    held.engine.go.set()
    with serving(held) as client:
        client.event_hooks = {}
        held.engine.batch_predict, kept = None, held.engine.batch_predict
        failed = predict(client, encoded(noise(1)))
        assert (failed.status_code, "console" in failed.json()["reason"]) == (500, True)
        held.engine.batch_predict = kept
        assert predict(client, encoded(noise(1))).status_code == 200
    assert "TypeError" in caplog.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", ""])
def test_only_this_machines_names_are_answered(client, host):
    assert client.get("/model", headers={"host": host}).status_code == 400
    assert client.get("/model", headers={"host": "localhost:1"}).status_code == 200


def test_a_card_of_weights_that_are_gone_is_not_shown(tmp_path):
    run = make_served(tmp_path / "again")
    run.forget(["06_deployment"])
    with serving(Model(run)) as client:
        assert client.get("/model").json()["card"] is None


@pytest.mark.parametrize(
    "name", ["exports/model_card.md", "exports/example.png", "checkpoints/best.pt"]
)
def test_a_file_that_is_a_link_out_of_the_run_folder_is_not_served(tmp_path, name):
    run = make_served(tmp_path / "linked")
    run.file(name).rename(tmp_path / "outside")
    run.file(name).symlink_to(tmp_path / "outside")
    with pytest.raises(LabError, match="leads out of the folder of run 'linked'"):
        Model(run)


@pytest.mark.parametrize("content", [b"no picture", encoded(noise(7))[:-300]])
def test_a_damaged_example_and_card_do_not_stop_the_service(tmp_path, content):
    run = make_served(tmp_path / "odd")
    run.file("exports/example.png").write_bytes(content)
    run.file("exports/model_card.md").write_bytes(b"caf\xe9")
    with serving(Model(run)) as client:
        assert client.get("/model").json()["card"] == "caf\ufffd"


def test_weights_that_are_no_numbers_are_not_served(tmp_path):
    run = make_served(tmp_path / "nan")
    best = run.file("checkpoints/best.pt")
    values = torch.load(best, weights_only=True)
    values["model"]["classifier.4.bias"][0] = torch.nan
    torch.save(values, best)
    with pytest.raises(LabError, match=r"best\.pt does not answer with a number for each class"):
        Model(run)


def test_what_is_not_there_is_refused(client):
    assert client.get("/nothing").status_code == 404
    assert client.get("/samples/99").status_code == 404
    assert client.get("/samples/first").status_code == 422
    assert client.get("/predict").status_code == 405
    assert client.put("/predict").status_code == 405


def test_the_model_tells_of_itself_and_of_the_limits(client):
    card = client.get("/model").json()
    assert (card["run"], card["image_size"], card["explains"]) == ("tiny", 32, True)
    assert card["classes"][3] == "cat"
    assert card["card"].startswith("# Model card")
    assert (card["limits"]["files"], card["limits"]["pixels"]) == (32, 25_000_000)
    assert card["samples"] == [None]  # without data, the picture that notebook 06 kept
    sample = client.get("/samples/0")
    assert sample.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(sample.content))), noise(7))


def test_where_the_network_looked_is_shown_and_said(client):
    found = client.post("/explain", files=upload(encoded(noise(1)), field="file")).json()
    label = predict(client, encoded(noise(1))).json()["predictions"][0]["label"]
    assert found["label"] == label
    assert label in found["words"]
    heat = Image.open(BytesIO(b64decode(found["heat"].partition("base64,")[2])))
    assert heat.size == (32, 32)
    assert len(np.unique(np.asarray(heat))) > 50


def test_a_model_without_its_network_explains_nothing(held):
    with serving(held) as client:
        found = client.post("/explain", files=upload(encoded(noise(1)), field="file"))
        assert (found.status_code, "best.pt" in found.json()["reason"]) == (404, True)
        assert not client.get("/model").json()["explains"]


def test_health_and_counters(model):
    with serving(model) as client:
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/readyz").json() == {"status": "ready"}
        predict(client, encoded(noise(1)))
        predict(client, b"no")
        client.get("/made/up/by/somebody")
        text = client.get("/metrics").text
        assert 'lab_requests_total{path="/predict",status="200"} 1.0' in text
        assert 'lab_requests_total{path="/predict",status="415"} 1.0' in text
        assert 'lab_requests_total{path="other",status="404"} 1.0' in text
        assert 'lab_request_seconds_count{path="/predict"} 2.0' in text
        assert "lab_requests_under_way 0.0" in text


def test_the_page_is_three_small_files_that_name_nothing_outside(client):
    for path in ("/", "/page.css", "/page.js"):
        found = client.get(path)
        policy = found.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert len(found.text.splitlines()) < 250
        assert not re.search(r"https?://|//\w+\.", found.text)
    html = client.get("/").text
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", html)


def test_the_web_framework_is_the_services_alone():
    modules = [p for name in ("lab", "lab_utils") for p in (ROOT / name).rglob("*.py")]
    sources = {path: path.read_text("utf-8") for path in modules if path.parent.name != "serve"}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        code = "\n".join(c.source for c in cells if c.cell_type == "code")
        sources[path] = code
    assert len(sources) > 50
    for path, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            web = [n for n in names if n.split(".")[0] in ("fastapi", "uvicorn", "starlette")]
            assert not web, path
            if any(name.startswith("lab.serve") for name in names):
                assert path.name == "commands.py"
                assert node.col_offset > 0  # inside a function: `lab run` does not load it
