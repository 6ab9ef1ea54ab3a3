"""What a network says of a whole split, whatever the training computed in."""

import torch
from toy import CPU, HALF, flat, small_net, toy

from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.data.dataset import Split
from lab_utils.evaluation import judge
from lab_utils.model.networks import build
from lab_utils.setup.hardware import Machine
from lab_utils.training.checkpoints import Best, save_best
from lab_utils.training.history import Epoch, write_history


def images(count, side=8):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, 3, side, side), generator=generator, dtype=torch.uint8)
    return Split(pixels, torch.arange(count) % 3)


def by_hand(model, split):
    with torch.no_grad():
        return model.eval()((split.images / 255 - 0.5) / 0.25)


def test_a_judge_computes_in_float32_whatever_the_training_did(runs, monkeypatch):
    lower = Machine(CPU.device, "a test", torch.bfloat16, "a test")
    monkeypatch.setattr(judge.hardware, "machine_for", lambda run: lower)
    monkeypatch.setattr(judge, "EVAL_BATCH", 7)  # so that the last batch is smaller
    model, split = small_net(), images(30)
    ask = judge.Judge(Run.create(Settings(experiment="quick"), "a"), model, HALF)
    found = ask(split)
    assert found.dtype == torch.float32
    assert torch.allclose(found, by_hand(model, split), atol=1e-5)
    assert torch.backends.cudnn.allow_tf32 is False


def test_a_judge_averages_the_views_that_the_settings_ask_for(runs):
    model, split = small_net(), images(20)
    ask = judge.Judge(Run.create(Settings(experiment="quick", tta="flip"), "a"), model, HALF)
    mirrored = Split(split.images.flip(-1), split.targets)
    views = torch.stack([by_hand(model, split), by_hand(model, mirrored)])
    assert torch.allclose(ask(split), views.mean(0), atol=1e-5)
    assert torch.allclose(ask.one_view(split), views[0], atol=1e-5)


def test_a_split_of_toys_is_judged_in_order(runs):
    split = toy(9, 1)
    ask = judge.Judge(Run.create(Settings(experiment="quick"), "a"), Brightness(), HALF)
    assert ask(split)[:, 0].argsort().tolist() == (
        split.images.double().mean((1, 2, 3)).argsort().tolist()
    )


def test_what_is_judged_are_the_best_weights_and_the_whole_history(runs):
    run, model = Run.create(Settings(experiment="quick"), "a"), build("simplecnn", 2, 8)
    rows = [Epoch(i, 1.0, 0.5, 1.0, 0.5, 0.1, 1.0, 1.0) for i in (1, 2)]
    save_best(run.file("checkpoints/best.pt"), model, Best("simplecnn", {}, 8, "ab", HALF, 1, 0.5))
    write_history(run.file("history.csv"), rows)
    network, best, history = judge.load_trained(run)
    assert torch.equal(flat(network), flat(model)) and not network.training
    assert (best.epoch, history) == (1, rows)


class Brightness(torch.nn.Module):
    """One logit, the mean of an image."""

    def forward(self, inputs):
        return inputs.mean((1, 2, 3))[:, None]
