"""A real disk that fills at any byte, one that turns read-only, and a user without rights."""

import os
from pathlib import Path
import shutil
import subprocess
import sys
from tempfile import TemporaryDirectory

import pytest

from lab import cli
from lab_utils.core.params import project_root

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs, becomes another user"),
]
NOBODY = 65534
LARGE = 64 << 20  # bytes


def mount(*words):
    return subprocess.run(["mount", *words], capture_output=True, text=True)


@pytest.fixture
def disk(tmp_path):
    """``disk(options)``: the folder of a disk with these mount options, with all that was on it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = mount("-t", "tmpfs", "-o", f"size={LARGE}", "lab-test", str(folder))
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")

    def change(options):
        assert mount("-o", f"remount,{options}", str(folder)).returncode == 0
        return folder

    yield change
    subprocess.run(["umount", "--lazy", folder], check=True)


def room(folder):
    """How much of the disk is taken, in bytes."""
    space = os.statvfs(folder)
    return (space.f_blocks - space.f_bfree) * space.f_frsize


def test_a_disk_that_fills_at_any_byte_costs_nothing(full, survived, lab, disk):
    folder = disk("rw")
    assert lab(folder) == 0
    needed, filled = room(folder), 0
    whole = (folder / "run/metrics.json").read_bytes()
    subprocess.run(["rm", "-r", folder / "run"], check=True)
    sizes = [needed * n // 40 for n in range(1, 41)] + [4096 * n for n in range(1, 21)]
    for size in sizes if full else [needed // 2]:
        disk(f"size={size}")
        code = lab(folder)
        assert code in (0, 2), size  # 2 with a sentence that names a path on the disk
        filled += code == 2
        disk(f"size={LARGE}")
        assert lab(folder) == 0
        assert (folder / "run/metrics.json").read_bytes() == whole
        subprocess.run(["rm", "-r", folder / "run"], check=True)
    assert filled >= (40 if full else 1)
    survived("a disk of a size at which it fills (tmpfs)", filled, "a sentence, same metrics")


def test_a_read_only_disk_is_read_and_otherwise_a_sentence(
    survived, lab, disk, monkeypatch, capsys
):
    folder = disk("rw")
    assert lab(folder) == 0
    monkeypatch.setenv("LAB_RUNS_DIR", str(disk("ro")))
    for words in (["list"], ["verify", "run"], ["compare", "run"]):
        assert cli.main(words) == 0, words
    capsys.readouterr()
    written = (["report", "run"], ["run", "smoke", "--name", "new"], ["sweep", "smoke"])
    for words in written:
        assert cli.main(words) == 2, words
        said = capsys.readouterr().err
        assert said.startswith("lab: ") and said.count("\n") == 1 and str(folder) in said, said
    survived("commands on a read-only disk (tmpfs)", 3 + len(written), "an answer, or a sentence")


@pytest.fixture
def as_user():
    """What a command begins with so that rights to write bind it, which bind root in nothing.

    It may read all that root may: Python itself can lie in a folder of root's.
    """
    if os.geteuid():
        return []
    reads = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    begin = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *reads]
    if not shutil.which("setpriv") or subprocess.run([*begin, "true"]).returncode:
        pytest.skip("root cannot become another user here")
    return begin


@pytest.fixture
def place():
    """A folder that everybody may enter, unlike pytest's own: access(2) asks without rights."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_user_without_rights_to_write_is_told_and_runs_elsewhere(full, survived, as_user, place):
    closed, own = place / "closed", place / "own"
    closed.mkdir(mode=0o555)
    own.mkdir()
    if as_user:
        os.chown(own, NOBODY, NOBODY)
    root = project_root()
    environment = os.environ | {
        "HOME": str(own), "LAB_SET": "", "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}",
        "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip

    def run(folder, *words, **options):
        return subprocess.run(
            [*as_user, sys.executable, *words], env=environment | {"LAB_RUNS_DIR": str(folder)},
            cwd=root, capture_output=True, text=True, **options,
        )  # fmt: skip

    small = ["data=shapes", "train_size=2000", "test_size=500", "threads=1", "epochs=1"]
    command = ["-m", "lab", "run", "smoke", "--name", "run", "--set", *small]
    for folder in (closed, closed / "runs"):
        done = run(folder, *command)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("lab: ") and done.stderr.count("\n") == 1
        assert str(closed) in done.stderr and "LAB_RUNS_DIR" in done.stderr
    if full:
        done = run(own / "runs", *command)
        assert (done.returncode, done.stderr) == (0, "")
    else:  # with functions in place of the notebooks
        done = run(own, "tests/faults/harmed.py", input=f"{own / 'runs'} none 0\n")
        assert done.stdout == "0\n", done.stderr
    assert (own / "runs/run/report.pdf").is_file()
    assert not list(closed.iterdir())
    survived("a user who may not write there (setpriv)", 3, "a sentence; elsewhere a whole run")
