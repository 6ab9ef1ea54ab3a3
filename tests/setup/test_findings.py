"""What notebook 01 says in words is computed from what was measured."""

from dataclasses import replace

import pytest
import torch

from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.setup import findings
from lab_utils.setup.check import check_requirements, describe, trusted
from lab_utils.setup.hardware import Machine
from lab_utils.setup.threads import Threads

SETTINGS = Settings(experiment="toy", batch_size=50, epochs=3, seed=7)
CPU = Machine(torch.device("cpu"), "it is here", torch.float32, "it is quick")


def test_a_picture_is_told_by_its_brightest_and_its_darkest_pixel():
    picture = torch.full((3, 4, 5), 100, dtype=torch.uint8)
    picture[:, 1, 3] = torch.tensor([250, 240, 230], dtype=torch.uint8)
    picture[:, 2, 0] = torch.tensor([10, 20, 30], dtype=torch.uint8)
    text = findings.picture(picture)
    assert text.startswith("3 x 4 x 5 = 60 bytes")
    assert "the brightest pixel, in row 1, column 3, holds [250, 240, 230]" in text
    assert "the darkest pixel, in row 2, column 0, holds [10, 20, 30]" in text


def test_the_two_descents_are_told_by_their_losses():
    text = findings.descent([1.0, 0.1, 0.01, 0.001], [1.0, 5.0, 0.2, 0.7])
    assert "falls from 1 to 0.001 in 4 steps" in text
    assert "still reaches 0.7 in the second half" in text


def test_the_rates_say_how_much_faster_bfloat16_is():
    text = findings.choice(CPU, {"float32": 100.0, "bfloat16": 250.0})
    assert "**cpu**, because it is here" in text and "**float32**, because it is quick" in text
    assert "float32 at 100 GFLOP/s and bfloat16 at 250 GFLOP/s, 2.5 times the rate" in text
    alone = findings.choice(CPU, {"float32": 100.0, "bfloat16": None})
    assert alone.endswith("Measured: float32 at 100 GFLOP/s.")


@pytest.mark.parametrize(("cores", "loud"), [(1, "Below the minimum: CPU cores."), (64, "")])
def test_a_machine_below_the_minimum_is_told_aloud(cores, loud):
    strong = replace(describe(), cores=cores, ram_gb=64.0, disk_free_gb=99.0)
    notice = findings.requirements(check_requirements(strong))
    assert notice.loud.startswith(loud) and bool(notice.loud) == bool(loud)


def test_a_machine_is_described_with_its_software():
    text = findings.computer(replace(describe(), cpu="Abacus", gpu=None))
    assert text.startswith("Abacus with ") and "none that PyTorch can use" in text
    assert f"torch {torch.__version__.split('+')[0]}" in text


@pytest.mark.parametrize(
    ("difference", "device", "rejected"),
    [(1e-6, "mps", None), (0.4, "cpu", "mps"), (float("nan"), "cpu", "mps")],
)
def test_a_device_that_computes_wrongly_is_told_and_remembered(difference, device, rejected):
    checked = Machine(torch.device("mps"), "present", torch.float32, "usual")
    machine = trusted(checked, SETTINGS, difference)
    record = findings.verdict(checked, machine, difference)
    assert (record["device"], record["rejected_device"]) == (device, rejected)
    loud = findings.gradient(checked, difference).loud
    assert loud == ("mps computes wrong gradients: this run uses the CPU." if rejected else "")
    if rejected:
        assert "mps differ from the CPU's by" in record["device_reason"]


def test_a_measured_step_is_recorded_and_told():
    chosen = Threads(2, "it was quick")
    record = findings.measured(SETTINGS, 0.02, chosen, 60.0)
    assert record["images_per_second"] == 2500 and record["step_ms"] == 20
    assert (record["threads"], record["estimated_step_memory_mb"]) == (2, 60.0)
    text = findings.step(SETTINGS, 0.02, chosen)
    assert "Threads: 2, because it was quick." in text
    assert "50 images takes 20.0 ms: 2,500 images per second" in text


@pytest.mark.parametrize("others", [0.0, 64.0])
def test_the_estimate_names_the_steps_and_a_busy_machine(tmp_path, others):
    run = Run(tmp_path, SETTINGS)
    run.record(estimated_steps=1234, estimated_train_seconds=600)
    notice = findings.estimate(run, Threads(1, "", others))
    assert notice.text.startswith("3 epochs are 1,234 steps: experiment 'toy' will take about 10")
    assert ("other programs" in notice.loud) == bool(others)


def test_the_run_that_is_opened_is_named(tmp_path):
    text = findings.opened(Run(tmp_path / "mine", SETTINGS)).text
    assert text == "Run 'mine': simplecnn, 3 epochs, seed 7."


def test_what_was_found_says_what_was_recorded():
    text = findings.what_we_found(
        {
            "requirements": check_requirements(replace(describe(), cores=1, ram_gb=64.0)),
            "device": "cpu",
            "precision": "float32",
            "threads": 2,
            "images_per_second": 1234.5,
            "gradient_difference": 3e-7,
            "seeded_runs_identical": False,
            "estimated_steps": 5000,
            "estimated_train_seconds": 600,
        }
    )
    assert "1 fail" in text
    assert "cpu, float32, threads: 2; 1,234 images per second" in text
    assert "does not repeat exactly" in text
    assert "5,000 steps; about 10 minutes" in text
