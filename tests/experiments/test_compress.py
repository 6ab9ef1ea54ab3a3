"""Pruning takes channels out that no longer count; distillation has the loss of its paper."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy, softmax
from torch.nn.utils.prune import ln_structured

from benchmarks.compress.measure import MAY_LOSE, SHARES
from benchmarks.compress.methods import Teaching, prune_channels
from lab_utils.core.files import read_json
from lab_utils.core.settings import Settings
from lab_utils.experiments import compression
from lab_utils.experiments.results import results_dir
from lab_utils.model.networks.simplecnn import SimpleCNN
from lab_utils.model.summary import count_flops, count_parameters
from lab_utils.setup import hardware

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]])
TAUGHT = torch.tensor([[1.0, 1.0, -2.0], [0.0, 1.0, 2.0]])
TARGETS = torch.tensor([0, 2])


@pytest.fixture
def trained() -> SimpleCNN:
    """A network whose norms have scales, shifts and statistics of their own."""
    torch.manual_seed(0)
    model = SimpleCNN()
    for norm in model.features[1::4]:
        for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            torch.nn.init.uniform_(values, 0.1, 1.0)
    return model.eval()


@pytest.mark.parametrize("share", SHARES)
def test_a_channel_taken_out_is_one_that_answers_nothing(trained, share):
    silent = copy.deepcopy(trained)
    for conv, norm in zip(silent.features[::4], silent.features[1::4], strict=True):
        out = ln_structured(conv, "weight", share, n=1, dim=0).weight_mask[:, 0, 0, 0] == 0
        with torch.no_grad():  # or the norm's shift would pass for an answer
            norm.weight[out], norm.bias[out] = 0.0, 0.0
    images = torch.randn(4, 3, 32, 32)
    small = prune_channels(trained, share)
    assert [conv.out_channels for conv in small.features[::4]] == [
        round((1 - share) * channels) for channels in (32, 64, 128)
    ]
    torch.testing.assert_close(small(images), silent(images))
    assert trained.features[0].out_channels == 32


def teaching(temperature: float) -> Teaching:
    machine = hardware.choose(Settings(experiment="smoke", device="cpu", precision="float32"))
    batches = [(torch.zeros(2, 3), TARGETS)]
    return Teaching(batches, lambda inputs: TAUGHT, machine, temperature)


def test_the_loss_of_distillation_is_that_of_the_paper():
    taught = teaching(4.0)
    ((_, targets),) = taught
    soft, answer = softmax(TAUGHT / 4, 1), softmax(LOGITS / 4, 1)
    apart = (soft * (soft.log() - answer.log())).sum(1).mean()
    expected = 0.9 * 16 * apart + 0.1 * cross_entropy(LOGITS, TARGETS)
    assert taught.loss(LOGITS, targets).item() == pytest.approx(expected.item())


def test_a_student_that_answers_as_its_teacher_has_no_more_to_learn_from_it():
    taught = teaching(2.0)
    assert len(list(taught)) == len(taught) == 1
    logits = TAUGHT.clone().requires_grad_()
    taught.loss(logits, TARGETS).backward()
    labels = TAUGHT.clone().requires_grad_()
    (0.1 * cross_entropy(labels, TARGETS)).backward()
    torch.testing.assert_close(logits.grad, labels.grad)


def test_the_committed_results_are_of_these_networks():
    measured = read_json(results_dir() / "benchmarks" / "compress.json")
    rows = {row["name"]: row for row in measured["rows"]}
    small = prune_channels(SimpleCNN(), measured["share"])
    for name in ("SimpleCNN, pruned", "the same size from scratch"):
        row = rows[name]
        assert (row["parameters"], row["flops"]) == (count_parameters(small), count_flops(small))
        assert row["epochs"] == rows["SimpleCNN, one epoch more"]["epochs"]
    allowed = [r["share"] for r in measured["shares"]
               if r["val_accuracy"] >= measured["val_unpruned"] - MAY_LOSE]  # fmt: skip
    assert measured["share"] == max(allowed, default=min(SHARES))
    for row in rows.values():  # the difference is that of the images which one alone gets right
        if row["against"]:
            points = row["test_accuracy"] - rows[row["against"]]["test_accuracy"]
            apart = row["only_here"] - row["only_there"]
            assert points == pytest.approx(apart / measured["test_images"])


def test_each_compressed_network_is_told_against_what_stands_beside_it():
    row = {"epochs": 1, "parameters": 100, "flops": 10**6, "weight_bytes": 400, "ms_1": 1.0,
           "ms_256": 20.0, "low": 0.7, "high": 0.8, "against": None}  # fmt: skip
    before = row | {"name": "CompactNet", "test_accuracy": 0.75}
    after = row | {"name": "taught", "test_accuracy": 0.76, "against": "CompactNet",
                   "only_here": 30, "only_there": 20, "p": 0.2}  # fmt: skip
    machine = {"machine": {"cores": 2}, "busy_cores": 1.5}
    record = machine | {"rows": [before, after], "temperature": 4.0, "trial_epochs": 2}
    text = compression.sentences(record)
    assert 'taught: +1.00 points against "CompactNet"; 30 images' in text
    assert "p = 0.2: these two models are not told apart" in text
    assert "The temperature, 4, was chosen" in text
    assert "channels" not in text
    assert "not measured" not in text
    assert "Distillation is not measured here" in compression.sentences(
        machine | {"rows": [before]}
    )
    assert "1.5 of 2 cores busy: compare them within a column" in text
    assert "76.00%" in repr(compression.table(record))


def test_a_pruned_network_is_told_in_shares_of_the_whole_one():
    whole = {"name": "SimpleCNN", "parameters": 1000, "flops": 10**7, "ms_1": 2.0, "ms_256": 50.0,
             "against": None}  # fmt: skip
    pruned = whole | {"name": "SimpleCNN, pruned", "parameters": 250, "flops": 4 * 10**6,
                      "ms_1": 1.8, "ms_256": 20.0}  # fmt: skip
    record = {"rows": [whole, pruned], "share": 0.3, "busy_cores": 0.4, "machine": {"cores": 2}}
    text = compression.sentences(record)
    assert "Without 30% of its channels" in text and "has 25% of its parameters, 40% of" in text
    assert "90% of the time for one image and 40% for 256" in text
    assert text.endswith("other programs kept 0.4 of 2 cores busy.")
