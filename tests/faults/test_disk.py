"""A real disk that fills at any byte, and one that turns read-only: a small tmpfs."""

import os
import subprocess
import sys

import pytest

from lab import cli

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs"),
]
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
