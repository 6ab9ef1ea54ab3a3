"""What a student may plausibly answer wrongly in notebook 04 is judged wrong, with help."""

import ast
import inspect
from itertools import pairwise

import nbformat
from refused import refused
import torch
from torch.nn.functional import cross_entropy

from lab_utils.core.params import project_root
from lab_utils.exercises import training as check
from lab_utils.training.loop import train_epoch, validate


def changed(function, *changes):
    """``function`` with each ``(old, new)`` of its source replaced."""
    source = inspect.getsource(function)
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    space = {**function.__globals__}
    exec(source, space)
    return space[function.__name__]


def right_epoch(model, batches, loss_function, optimizer):
    model.train()
    loss_sum, correct, images = 0.0, 0, 0
    for inputs, targets in batches:
        logits = model(inputs)
        loss = loss_function(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += loss * len(targets)
        correct += (logits.argmax(1) == targets).sum()
        images += len(targets)
    return loss_sum / images, correct / images


def right_validation(model, batches):
    training = model.training
    model.eval()
    loss_sum, correct, images = 0.0, 0, 0
    with torch.no_grad():
        for inputs, targets in batches:
            logits = model(inputs)
            loss_sum += cross_entropy(logits, targets).item() * len(targets)
            correct += (logits.argmax(1) == targets).sum().item()
            images += len(targets)
    model.train(training)
    return loss_sum / images, correct / images


def epoch(*changes):
    return changed(right_epoch, *changes)


def validation(*changes):
    return changed(right_validation, *changes)


def only_first(model, batches, loss_function, optimizer):
    return train_epoch(model, batches[:1], loss_function, optimizer)


def own_loss(model, batches, loss_function, optimizer):
    return train_epoch(model, batches, cross_entropy, optimizer)


NAMED = {
    "a": "overfitting", "b": "underfitting", "c": "learning rate too large", "d": "healthy"
}  # fmt: skip
MEANS_OF_BATCHES = (" * len(targets)", ""), ("loss_sum / images", "loss_sum / len(batches)")

WRONG = {
    "my_train_epoch": [
        (epoch(("optimizer.zero_grad()", "pass")), "with the gradients cleared in each step?"),
        (epoch(("optimizer.step()", "pass")), "is the optimiser's step taken?"),
        (epoch(("model.train()", "pass")), "for batches of 8 images the weights differ"),
        (epoch(("loss.backward()\n", "loss.backward(); optimizer.zero_grad()\n")), "step taken"),
        (own_loss, "with the loss given"),
        (epoch(*MEANS_OF_BATCHES), "8 + 8 + 3 images the mean loss is"),
        (epoch((" * len(targets)", "")), "does every image count once?"),
        (epoch(("correct / images", "correct")), "the accuracy is"),
        (epoch(("correct / images", "100 * correct / images")), "the accuracy is"),
        (epoch((", correct / images", "")), "not two numbers"),
        (only_first, "for batches of 8 + 8 + 3 images the weights differ"),
    ],
    "my_validate": [
        (validation(("model.eval()", "pass")), "the model computes in training mode"),
        (validation(("model.train(training)", "pass")), "does not put a model back in training"),
        (validation(("(training)", "()")), "does not put a model back in evaluation mode"),
        (validation(("torch.no_grad()", "torch.enable_grad()")), "use torch.no_grad"),
        (
            validation(("    model.eval()", "    model.eval(); torch.set_grad_enabled(False)"),
                       ("torch.no_grad()", "torch.inference_mode()")),
            "switches gradients off for good",
        ),
        (validation(*MEANS_OF_BATCHES), "8 + 8 + 3 images the mean loss is"),
        (validation((" * len(targets)", "")), "the mean loss is"),
        (validation(("correct / images", "correct")), "the accuracy is"),
        (validation(("images += len(targets)", "images = len(targets)")), "the mean loss is"),
        (validation((", correct / images", "")), "not two numbers"),
    ],
    "diagnosis": [
        (NAMED | {"a": "underfitting"}, "what does validation loss do?"),
        (NAMED | {"b": "learning rate too large"}, "near guessing"),
        (NAMED | {"c": "overfitting"}, "jump up and down"),
        (NAMED | {"d": "underfitting"}, "dropout explains"),
        ({"a": "overfitting"}, 'curve "b"'),
        (["overfitting", "underfitting", "learning rate too large", "healthy"], "dictionary"),
    ],
}  # fmt: skip


test_a_wrong_answer_is_told_what_is_wrong = refused(check, WRONG)


def test_the_librarys_loop_and_plain_ones_are_right_and_nothing_outside_changes():
    before = torch.get_rng_state()
    for loop in (train_epoch, right_epoch):
        assert check.my_train_epoch.judge(loop).status == "right"
    for judge in (validate, right_validation):
        assert check.my_validate.judge(judge).status == "right"
    assert torch.equal(torch.get_rng_state(), before)


def test_each_curve_of_the_notebook_shows_what_the_check_calls_it():
    cells = nbformat.read(project_root() / "notebooks/04_training.ipynb", as_version=4).cells
    (source,) = (cell.source for cell in cells if cell.source.startswith("curves = {"))
    curves = ast.literal_eval(ast.parse(source).body[0].value)
    guessing = 2.3

    def falls(losses):
        return all(later <= before for before, later in pairwise(losses))

    assert {len(losses) for pair in curves.values() for losses in pair} == {6}
    for name, (train, val) in curves.items():
        turned = falls(train) and val[-1] > 1.5 * min(val) and val.index(min(val)) > 0
        shown = {
            "overfitting": turned,
            "underfitting": falls(train) and falls(val) and guessing - 0.2 < val[-1] < guessing,
            "learning rate too large": min(train + val) > guessing and not falls(train),
            "healthy": falls(train) and falls(val) and train[-1] < guessing / 2,
        }
        assert [sign for sign, seen in shown.items() if seen] == [check.SIGNS[name][0]]
