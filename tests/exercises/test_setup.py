"""What a student may plausibly answer wrongly in notebook 01 is judged wrong, with help."""

from refused import refused
import torch

from lab_utils.exercises import setup as check


def by_square(w, b, x, y):
    error = w * x + b - y
    return 2 * error * x, 2 * error


def without_x(w, b, x, y):
    sign = torch.sign(w * x + b - y)
    return sign, sign


def swapped(w, b, x, y):
    sign = torch.sign(w * x + b - y)
    return sign, sign * x


def one_at_zero(w, b, x, y):
    sign = 1.0 if w * x + b - y >= 0 else -1.0
    return sign * x, sign


def divides_by_zero(w, b, x, y):
    error = w * x + b - y
    return error / error.abs() * x, error / error.abs()


def without_sign(w, b, x, y):
    return x, torch.tensor(1.0)


def only_w(w, b, x, y):
    return torch.sign(w * x + b - y) * x


def naive(logits, targets):
    e = logits.exp()
    return -(e / e.sum(1, keepdim=True)).log()[torch.arange(len(targets)), targets].mean()


def log_of_softmax(logits, targets):
    return -logits.softmax(1).log()[torch.arange(len(targets)), targets].mean()


def with_epsilon(logits, targets):
    return -(logits.softmax(1)[torch.arange(len(targets)), targets] + 1e-7).log().mean()


def summed(logits, targets):
    return -logits.log_softmax(1)[torch.arange(len(targets)), targets].sum()


def along_the_batch(logits, targets):
    return -logits.log_softmax(0)[torch.arange(len(targets)), targets].mean()


def not_averaged(logits, targets):
    return -logits.log_softmax(1)[torch.arange(len(targets)), targets]


def likelihood(logits, targets):
    return logits.log_softmax(1)[torch.arange(len(targets)), targets].mean()


def all_pairs(logits, targets):
    return -logits.log_softmax(1)[:, targets].mean()


WRONG = {
    "absolute_gradient": [
        (by_square, "dL/dw comes out as 6, not 3"),
        (without_x, "dL/dw comes out as 1, not 3"),
        (swapped, "dL/dw comes out as 1, not 3"),
        (one_at_zero, "the error is 0, and dL/dw comes out as 3, not 0"),
        (divides_by_zero, "the error is 0, and dL/dw comes out as nan, not 0"),
        (without_sign, "the error is -4, and dL/dw comes out as 3, not -3"),
        (only_w, "not two numbers"),
    ],
    "softmax_cross_entropy": [
        (naive, "it gives nan, not 1.3133; some exponential is too large"),
        (log_of_softmax, "it gives inf, not 500"),
        (with_epsilon, "[1000.0, 0.0]"),
        (summed, "for logits [[2.0, 0.5, -1.0], [0.0, 0.0, 0.0]]"),
        (along_the_batch, "for logits [[2.0, 0.5, -1.0]]"),
        (not_averaged, "it gives 2 numbers, not one, their mean"),
        (likelihood, "it gives -0.24"),
        (all_pairs, "targets [0, 2]"),
    ],
}


test_a_wrong_answer_is_told_what_is_wrong = refused(check, WRONG)


def test_plain_numbers_and_autograd_are_right_too():
    def sign_by_cases(w, b, x, y):
        error = float(w * x + b - y)
        sign = (error > 0) - (error < 0)
        return sign * float(x), sign

    def by_autograd(w, b, x, y):
        w, b = w.clone().requires_grad_(), b.clone().requires_grad_()
        return torch.autograd.grad((w * x + b - y).abs(), (w, b))

    for answer in (sign_by_cases, by_autograd):
        assert check.absolute_gradient.judge(answer).status == "right"
    assert check.softmax_cross_entropy.judge(torch.nn.functional.cross_entropy).status == "right"
