"""Which commit a run says it was made by."""

import json
import subprocess

import pytest

from lab_utils.core import process


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with a module and a notebook, in a folder of a larger one."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "module.py").write_text("x = 1\n")
    (root / "a.ipynb").write_text(json.dumps({"cells": [{"source": "x", "outputs": []}]}))
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(process, "project_root", lambda: root)
    return root


def commit():
    return process.versions()["git_commit"]


def test_a_clean_checkout_is_its_commit(checkout):
    assert len(commit()) == 12
    assert "+" not in commit()


def test_outputs_are_no_changes_and_cells_are(checkout):
    cell = {"source": "x", "outputs": [{"text": "1"}], "execution_count": 1}
    (checkout / "a.ipynb").write_text(json.dumps({"cells": [cell]}))
    assert not commit().endswith("+changes")
    (checkout / "a.ipynb").write_text(json.dumps({"cells": [cell | {"source": "y"}]}))
    assert commit().endswith("+changes")


@pytest.mark.parametrize("how", ["edited", "deleted notebook", "damaged notebook"])
def test_changed_code_is_said(checkout, how):
    if how == "edited":
        (checkout / "module.py").write_text("x = 2\n")
    elif how == "deleted notebook":
        (checkout / "a.ipynb").unlink()
    else:
        (checkout / "a.ipynb").write_text("{")
    assert commit().endswith("+changes")


def test_outside_a_checkout_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "project_root", lambda: tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() is None
