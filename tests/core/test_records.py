"""Each step's JSON file is read by its fields: types, bounds, and a sentence for what is wrong."""

from copy import deepcopy
import json
import re

from fabricate import make_run
import pytest

from lab_utils import LabError
from lab_utils.core.records import (
    KINDS,
    Data,
    Deployment,
    Evaluation,
    Hardware,
    Insight,
    Metrics,
    Model,
    Speed,
    Training,
    close,
    read,
)
from lab_utils.core.run import METRICS, OPTIONAL, RECORDS, STEPS

# What the steps record beside what is read of it again.
UNREAD = {
    Model: {"step_ms"},
    Training: {
        "steps", "final_train_loss", "final_train_accuracy", "final_val_loss", "final_val_accuracy",
        "final_images_per_second",
    },
    Evaluation: {"reliability.lower", "reliability.upper"},
    Metrics: {"images_per_second", "model", "seed", "experiment"},
    Deployment: {
        "int8_tried.scheme", "int8_tried.accuracy", "int8_tried.drop", "formats.file",
        "formats.latency_p99_ms", "jpeg.images",
    },
}  # fmt: skip
FRACTIONAL = {"strength", "flops", "seconds"}  # which may be whole numbers
SIGNED = {  # differences; all other numbers are 0 or more
    "train_val_gap", "formats.difference", "formats.difference_low", "formats.difference_high",
    "jpeg.difference", "jpeg.low", "jpeg.high",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "quick", (*STEPS, *OPTIONAL))


def leaves(value, *place):
    """What is neither a list nor an object in what JSON gave, by its place; of lists the last."""
    if isinstance(value, dict) and value:
        return {k: v for key, inner in value.items() for k, v in leaves(inner, *place, key).items()}
    if isinstance(value, list) and value:
        return leaves(value[-1], *place, len(value) - 1)
    return {place: value}


def changed(record, place, value):
    """A copy of ``record`` with ``value`` at ``place``."""
    record = inner = deepcopy(record)
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return record


def named(place):
    """``formats.2.bytes`` as formats.bytes."""
    return ".".join(key for key in place if isinstance(key, str))


def refused(run, kind, record):
    """The sentence about a file with ``record``; none where it is read."""
    file = run.file(kind.file())
    whole = file.read_bytes()
    file.write_text(json.dumps(record), encoding="utf-8")
    try:
        read(run, kind)
    except LabError as error:
        assert str(error).startswith(f"{file} is damaged ")
        assert str(error).endswith(f"; run {kind.made_by} again.")
        return str(error)
    finally:
        file.write_bytes(whole)


def test_every_step_has_its_record():
    assert {kind.made_by: kind.file() for kind in KINDS if kind is not Metrics} == RECORDS
    assert (Metrics.made_by, Metrics.file()) == ("05_evaluation", METRICS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_of_another_type_is_named_wherever_it_is_read(run, kind):
    record = run.read_json(kind.file())
    unread = set()
    for place in leaves(record):
        for wrong in ({"an": ["object"]}, [[None]]):
            said = refused(run, kind, changed(record, place, wrong))
            where = ".".join(map(str, place))
            if said is None:
                unread.add(named(place))
            else:
                assert f"({where}" in said, said
    assert unread == UNREAD.get(kind, set())


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_that_is_none_or_out_of_bounds_is_named(run, kind):
    record = run.read_json(kind.file())
    for place, value in leaves(record).items():
        if isinstance(value, bool | str | None) or named(place) in UNREAD.get(kind, set()):
            continue
        wrong = [float("nan"), float("inf"), -float("inf"), "1", True]
        wrong += [] if named(place) in SIGNED else [-0.01]
        wrong += [10**400, 0.5] if isinstance(value, int) and place[-1] not in FRACTIONAL else []
        for number in wrong:
            said = refused(run, kind, changed(record, place, number))
            assert said and ".".join(map(str, place)) in said, (place, number, said)


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_that_every_run_has_is_missed_and_another_is_not(run, kind):
    record = run.read_json(kind.file())
    for name, field in kind.model_fields.items():
        said = refused(run, kind, {key: v for key, v in record.items() if key != name})
        lacks = rf"is damaged or of another version of the lab, without {name}; run"
        if name not in ("threshold", "sure_share"):  # which sure_accuracy cannot be without
            assert bool(said) == field.is_required(), (name, said)
            assert not said or re.search(lacks, said)


def test_many_wrong_fields_are_one_short_sentence(run):
    for record in ([], None, "text", 3):
        assert "is damaged (the whole file)" in refused(run, Metrics, record)
    said = refused(run, Evaluation, run.read_json("evaluation.json") | {"per_class": [{}] * 99})
    assert "without per_class.0.class, per_class.0.precision, per_class.0.recall and more;" in said
    assert len(said) < 400
    odd = {"\n\x1b[31m" + "9" * 500: 1}
    said = refused(run, Hardware, run.read_json("hardware.json") | {"software": odd})
    assert r"(software.\n\x1b[31m999" in said and said.isprintable() and len(said) < 400


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (Data, {"train_counts": [4500] * 9}), (Data, {"val_counts": [0] * 10}),
        (Data, {"classes": []}), (Data, {"mean": [0.5, 0.5]}), (Data, {"image_shape": [32, 32]}),
        (Model, {"layers": []}), (Training, {"threads": []}), (Evaluation, {"per_class": []}),
        (Evaluation, {"confusion": [[1] * 10] * 9}), (Evaluation, {"confusion": [[1] * 9] * 10}),
        (Evaluation, {"reliability": [{"count": 3, "confidence": None, "accuracy": 0.5}]}),
        (Metrics, {"test_accuracy": 0.5}), (Metrics, {"test_accuracy_low": 0.99}),
        (Metrics, {"test_accuracy_high": 0.01}),
        (Speed, {"lab": {"seconds": 1, "images": 1, "gflops": 1, "peak_gflops": 1, "shares": {}}}),
        (Insight, {"corruptions": []}), (Insight, {"pgd_accuracy": 0.22}),
        (Deployment, {"threshold": None}), (Deployment, {"sure_share": None}),
    ],
)  # fmt: skip
def test_values_that_contradict_each_other_are_damage(run, kind, changes):
    assert refused(run, kind, run.read_json(kind.file()) | changes)


def test_a_reader_can_ask_for_what_older_runs_lack(run):
    assert read(run, Metrics, "temperature").temperature == 1.2345
    file = run.file(METRICS)
    whole = file.read_bytes()
    file.write_text(json.dumps(json.loads(whole) | {"temperature": None}))
    try:
        assert read(run, Metrics).temperature is None
        lacks = r"another version of the lab, without temperature; run 05_evaluation again\.$"
        with pytest.raises(LabError, match=lacks):
            read(run, Metrics, "temperature")
    finally:
        file.write_bytes(whole)


def test_numbers_are_the_same_but_for_rounding():
    assert close(0.1 + 0.2, 0.3) and close(None, float("nan")) and close(0.0, 1e-12)
    assert not close(0.3, 0.30001) and not close(None, 0.0) and not close(0.0, float("nan"))
