"""Bad settings, params.yaml and run files: a value or one sentence, and never a wrong number."""

from contextlib import suppress
import json
from pathlib import Path
import random

from fabricate import make_sound, vouch
from hypothesis import HealthCheck, given, settings, strategies as st
import pytest
import torch

from lab import commands, student, verify
from lab_utils import LabError
from lab_utils.core import params
from lab_utils.core.params import load_params, parse_assignments, project_root, resolve
from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.deployment.formats import open_model
from lab_utils.evaluation.predictions import load_predictions
from lab_utils.experiments.results import find_all, load
from lab_utils.model import networks
from lab_utils.training.checkpoints import Best, epochs_done, load_best, save_best
from lab_utils.training.history import best_of, read_history

pytestmark = pytest.mark.faults
CLASSES = tuple("abcdefghij")
_WORDS = (
    "true", "null", ".inf", "-.nan", "1e309", "0x1F", "2024-13-45", "!!int abc", "!!bool maybe",
    "!!python/object/apply:os.system [x]", "&a [*a]", "[" * 2000, "9" * 5000, "{a: 1, a: 2}", "- 1",
    "\u2028", "\x00", "*a", "? a", "<<: 1", "'", '"', "~", "1_000", "08", "=", "`", "%", "@",
)  # fmt: skip
values = st.one_of(
    st.sampled_from(_WORDS), st.text(max_size=30), st.floats().map(str), st.integers().map(str)
)
keys = st.one_of(st.sampled_from(sorted(Settings.model_fields)), st.text(max_size=8))


def examples(count):
    return settings(
        max_examples=count, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def one_sentence(use, *kinds):
    """``use()`` returns one of ``kinds``, or raises LabError with one line."""
    try:
        found = use()
    except LabError as error:
        assert str(error).strip() and "\n" not in str(error) and len(str(error)) < 2000
    else:
        assert not kinds or isinstance(found, kinds)


def test_settings_of_any_kind_are_settings_or_one_sentence(full, survived, monkeypatch):
    monkeypatch.delenv("LAB_SET", raising=False)
    count = 1000 if full else 100

    @examples(count)
    @given(st.lists(st.tuples(keys, values).map("=".join), max_size=4))
    def check(items):
        one_sentence(lambda: resolve("smoke", parse_assignments(items)), Settings)

    check()
    survived("settings of any kind", count, "Settings, or LabError")


def test_params_yaml_of_any_kind_is_read_or_one_sentence(full, survived, tmp_path, monkeypatch):
    monkeypatch.setattr(params, "project_root", lambda: tmp_path)
    whole = (project_root() / "params.yaml").read_text(encoding="utf-8")
    count = 1000 if full else 60
    damage = st.tuples(
        st.integers(0, len(whole)), st.integers(0, 40), st.one_of(values, st.binary(max_size=4))
    )

    @examples(count)
    @given(damage)
    def check(damage):
        start, length, word = damage
        word = word if isinstance(word, bytes) else word.encode("utf-8", "surrogatepass")
        text = whole.encode()
        (tmp_path / "params.yaml").write_bytes(text[:start] + word + text[start + length :])

        def use():
            found = load_params()
            for name in found.experiments:
                found.settings(name)

        one_sentence(use)

    check()
    survived("params.yaml with a piece replaced", count, "read, or LabError")


@pytest.fixture
def run(runs, monkeypatch) -> Run:
    """A whole run whose files agree and are vouched for."""
    run = make_sound(runs / "quick")
    row = best_of(read_history(run.file("history.csv")))
    about = Best(
        "simplecnn", {}, 32, CLASSES, ((0.5,) * 3, (0.5,) * 3), row.epoch, row.val_accuracy
    )
    save_best(run.file("checkpoints/best.pt"), networks.build("simplecnn", 10, 32), about)
    torch.save({"history": []}, run.file("checkpoints/last.pt"))
    run.file("discussion.md").write_text("# Mine\n\nIt *learned*.\n")
    run.file("report.yaml").write_text("student: A. Name\n")
    vouch(run)
    return run


def damaged(content, rng):
    """``content`` as an accident leaves it, or as somebody writes it who means harm."""
    place = rng.randrange(max(1, len(content)))
    flipped = bytearray(content or b"x")
    flipped[min(place, len(flipped) - 1)] ^= 1 << rng.randrange(8)
    return rng.choice([
        lambda: content[:place], lambda: bytes(flipped), lambda: b"", lambda: rng.randbytes(200),
        lambda: b"[" * 5000, lambda: b"null", lambda: b"{}", lambda: b"[]", lambda: b'"s"',
        lambda: content + content, lambda: content[place:], lambda: b"\xff\xfe" + content,
        lambda: content.replace(b"0.", b"9."), lambda: content.replace(b'"', b"'"),
        lambda: content.replace(b": ", b": [", 1),
    ])()  # fmt: skip


def readers(run):
    """Every way in which the lab reads the run."""
    path = run.path
    return [
        lambda: Run.open(path), lambda: Run.open(path).manifest, lambda: load(Run.open(path)),
        lambda: find_all(path.parent), lambda: commands._row(run.name),
        lambda: verify.verify(Run.open(path)), lambda: read_history(run.file("history.csv")),
        lambda: load_predictions(run.file("predictions.npz")),
        lambda: load_best(run.file("checkpoints/best.pt")),
        lambda: epochs_done(run.file("checkpoints/last.pt")),
        lambda: open_model(path), lambda: student.about(run), lambda: student.discussion(run),
    ]  # fmt: skip


def test_a_damaged_file_of_a_run_is_one_sentence_and_found(full, survived, run, capsys):
    from lab.report import build

    rng, count, found = random.Random(0), 500 if full else 40, 0
    files = sorted(p.relative_to(run.path).as_posix() for p in run.path.rglob("*") if p.is_file())
    vouched = {name for entry in run.manifest.values() for name in entry["sha256"]}
    whole = {name: run.file(name).read_bytes() for name in files}
    assert all(finding.good for finding in verify.verify(run))
    for number in range(count):
        name = files[number % len(files)]
        content = damaged(whole[name], rng)
        run.file(name).write_bytes(content)
        for read in readers(run):
            one_sentence(read)
        if number % 20 == 0:  # a report takes a second
            one_sentence(lambda: build(run), Path)
        changed = content != whole[name] and not _same_json(name, content, whole[name])
        if name in vouched and changed:
            with suppress(LabError):  # settings.yaml: the run cannot be opened
                assert not all(f.good for f in verify.verify(Run.open(run.path))), name
            found += 1
        for other in files:  # a report writes the card and itself
            run.file(other).write_bytes(whole[other])
    assert found
    survived("damaged run files, each with every reader", count, "a value, or LabError")
    survived("... of which a step vouches for", found, "lab verify finds it")


def _same_json(name, content, whole):
    """figures.json is vouched for by what it says, not by its bytes."""
    with suppress(ValueError, RecursionError):
        return name == "figures.json" and json.loads(content) == json.loads(whole)
    return False
