"""What ``.ci/run`` does to the folder that it runs in."""

import os
import shutil
import subprocess
import sys

import pytest

from lab_utils.core.params import project_root

# Stands in for Python: tells a version, and makes an environment whose programs note that they ran.
PYTHON = """#!/bin/sh
if [ "$1" = --version ]; then echo "Python $VERSION"; exit; fi
mkdir -p "$3/bin" && echo made >> made
for program in pip pytest; do
    printf '#!/bin/sh\\necho ran %s >> made\\n' "$program" > "$3/bin/$program"
    chmod +x "$3/bin/$program"
done
"""


@pytest.fixture
def ci(tmp_path):
    """Runs a copy of ``.ci/run`` under that Python: what it made and ran, and what it said."""
    (tmp_path / "lab" / ".ci").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    place = tmp_path / "lab"
    shutil.copy(project_root() / ".ci" / "run", place / ".ci" / "run")
    for name in ("requirements.txt", "pyproject.toml"):
        (place / name).write_text("")
    for name, text in {"python3": PYTHON, "chromium": "#!/bin/sh\n"}.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)

    def run(version="3.11.7", **variables):
        path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "VERSION": version, "LAB_DATA_DIR": ""}
        done = subprocess.run(
            ["bash", place / ".ci" / "run"], env=environment | variables, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        made = place / "made"
        lines = made.read_text().splitlines()
        made.unlink()
        return lines, done.stderr

    run.place = place
    return run


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a script for bash")
FRESH, KEPT = ["made", "ran pip", "ran pytest"], ["ran pytest"]


def test_an_environment_that_somebody_else_made_is_left_alone(ci):
    own = ci.place / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    assert ci()[0] == FRESH
    assert own.read_text() == "mine"


def test_the_environment_is_made_anew_for_another_python_or_other_pins(ci):
    assert ci()[0] == FRESH
    assert ci()[0] == KEPT
    assert ci(version="3.12.1")[0] == FRESH
    (ci.place / "requirements.txt").write_text("torch==9")
    assert ci(version="3.12.1")[0] == FRESH


def test_without_the_real_data_it_says_what_is_skipped(ci, tmp_path):
    assert "No CIFAR-10 here: the tests on the real data will be skipped" in ci()[1]
    (tmp_path / "data" / "cifar-10-batches-py").mkdir(parents=True)
    assert ci(LAB_DATA_DIR=str(tmp_path / "data"))[1] == ""
