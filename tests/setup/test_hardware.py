"""Device, precision, requirements and measurements: what notebook 01 relies on."""

from dataclasses import replace

from fabricate import begin
import pytest
import torch
from torch import nn

from lab_utils import LabError
from lab_utils.core.files import read_json, write_json
from lab_utils.core.settings import Settings
from lab_utils.setup.check import (
    GRADIENT_TOLERANCE,
    check_requirements,
    describe,
    gradient_difference,
    matmul_rates,
)  # fmt: skip
from lab_utils.setup.hardware import (
    Machine,
    choose,
    machine_for,
    matmul_gflops,
    median_seconds,
    on_cpu,
)

CPU = Machine(torch.device("cpu"), "", torch.float32, "")


class FloatOnly(nn.Module):
    """Spoils its output in float32, as a broken device would, and not in float64."""

    def __init__(self, spoil):
        super().__init__()
        self.linear, self.spoil = nn.Linear(4, 3), spoil

    def forward(self, inputs):
        logits = self.linear(inputs.flatten(1))
        return self.spoil(logits) if logits.dtype == torch.float32 else logits


@pytest.mark.parametrize(
    ("spoil", "trusted"),
    [(lambda x: x, True), (lambda x: x * 1.5, False), (lambda x: x * float("nan"), False)],
    ids=["right", "wrong", "not a number"],
)
def test_a_device_is_trusted_only_where_its_gradient_is_right(spoil, trusted):
    torch.manual_seed(0)
    model, inputs, targets = FloatOnly(spoil), torch.randn(5, 1, 2, 2), torch.randint(3, (5,))
    before = [p.clone() for p in model.parameters()]
    difference = gradient_difference(CPU, model, inputs, targets)
    assert (difference <= GRADIENT_TOLERANCE) == trusted
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_a_rejected_device_is_avoided_by_the_later_steps(runs, monkeypatch):
    run = begin("01_setup", "smoke", data="shapes")
    wrong = Machine(torch.device("mps"), "an Apple GPU is present", torch.float32, "")
    monkeypatch.setattr(
        "lab_utils.setup.hardware.choose", lambda s: wrong if s.device == "auto" else choose(s)
    )
    assert machine_for(run).device.type == "mps"
    chosen = {"device": "cpu", "precision": "float32", "precision_reason": "it is exact"}
    run.record(**chosen, requirements=[], matmul_gflops={})
    run.record(rejected_device="mps", device_reason="wrong gradients")
    run.finish()
    assert machine_for(run).device.type == "cpu"
    assert machine_for(run).device_reason == "wrong gradients"


def test_compiling_is_for_cuda_alone():
    settings = Settings(experiment="x", device="cpu", compile=True)
    with pytest.raises(LabError, match="compile=true needs a CUDA GPU, and this run uses cpu"):
        choose(settings)
    assert on_cpu(settings, "because").device.type == "cpu"


def test_the_cpu_stands_in_even_where_a_gpu_and_its_precision_were_asked_for():
    settings = Settings(experiment="x", device="mps", precision="bfloat16")
    assert on_cpu(settings, "because").device.type == "cpu"
    settings = Settings(experiment="x", device="cuda", precision="float32")
    assert on_cpu(settings, "because").precision == "float32"


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has that device")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(LabError, match="device=mps is not on this machine; use device=auto"):
        choose(Settings(experiment="x", device="mps"))


def test_requirements_tell_pass_from_warn_from_fail():
    small = replace(describe(), cores=1, ram_gb=4.1, disk_free_gb=50.0, gpu_memory_gb=None)
    found = {row.item: row.status for row in check_requirements(small)}
    assert found == {
        "CPU cores": "fail",
        "Memory": "warn",
        "Free disk": "pass",
        "CUDA GPU memory": "warn",
    }


def test_a_measurement_calls_three_times_and_ignores_the_first_call(monkeypatch):
    clock, calls = [0.0], []
    monkeypatch.setattr("lab_utils.setup.hardware.time.perf_counter", lambda: clock[0])

    def action():
        clock[0] += 0.5 if calls else 100
        calls.append(1)

    assert median_seconds(action, CPU, budget=0) == 0.5
    assert len(calls) == 4


def test_a_matrix_product_has_two_operations_for_each_pair_that_it_multiplies(monkeypatch):
    products = []

    def half_a_second(action, machine, budget):
        products.append(action())
        return 0.5

    monkeypatch.setattr("lab_utils.setup.hardware.median_seconds", half_a_second)
    for dtype in (torch.float32, torch.bfloat16):
        assert matmul_gflops(CPU, dtype, size=64) == pytest.approx(2 * 64**3 / 0.5 / 1e9)
    assert [p.dtype for p in products] == [torch.float32, torch.bfloat16]
    assert products[0].shape == (64, 64)


@pytest.mark.parametrize(
    ("flags", "precision", "dtype"),
    [
        ({"avx512_bf16": True}, "auto", torch.bfloat16),
        ({"amx_bf16": True}, "auto", torch.bfloat16),
        ({"avx512_bf16": True}, "float32", torch.float32),
        ({"avx512_f": True}, "auto", torch.float32),
    ],
)
def test_bfloat16_is_taken_where_the_processor_multiplies_it(monkeypatch, flags, precision, dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    machine = choose(Settings(experiment="x", device="cpu", precision=precision))
    assert machine.dtype == dtype


def test_a_gpu_that_is_listed_but_has_no_memory_is_not_chosen(monkeypatch):
    def no_memory(*_, **options):
        raise RuntimeError("MPS backend out of memory")

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "ones", no_memory)
    assert choose(Settings(experiment="test")).device.type == "cpu"


def test_the_description_of_a_machine_goes_into_json_by_its_names(tmp_path):
    path = tmp_path / "hardware.json"
    write_json(path, vars(describe()) | {"requirements": check_requirements(describe())})
    found = read_json(path)
    assert found["software"]["torch"] == torch.__version__.split("+")[0]
    assert found["cpu"] and found["cores"] >= 1
    assert set(found["requirements"][0]) == {"item", "minimum", "recommended", "found", "status"}


def test_a_precision_that_the_device_never_uses_is_not_measured(monkeypatch):
    monkeypatch.setattr("lab_utils.setup.hardware.matmul_gflops", lambda *_: 12.0)
    assert matmul_rates(CPU) == {"float32": 12.0, "bfloat16": 12.0}
    apple = replace(CPU, device=torch.device("mps"))
    assert matmul_rates(apple) == {"float32": 12.0, "bfloat16": None}
