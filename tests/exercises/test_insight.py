"""Each wrong answer to the exercise of 09 is told by a sentence that helps."""

from refused import refused
import torch
from torch.nn.functional import cross_entropy

from lab_utils.exercises import insight as check


def gradient(model, images, targets):
    images = images.clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(model(images), targets), images)[0]


def stepped(step, low=0.0, high=1.0):
    """FGSM with another step, a function of the gradient and epsilon."""

    def answer(model, images, targets, epsilon):
        change = step(gradient(model, images, targets), epsilon)
        return (images + change).clamp(low, high)

    return answer


right = stepped(lambda slope, epsilon: epsilon * slope.sign())


def with_backward(model, images, targets, epsilon):
    images = images.clone().requires_grad_()
    cross_entropy(model(images), targets).backward()
    return (images.detach() + epsilon * images.grad.sign()).clamp(0, 1)


def asks_the_images_given(model, images, targets, epsilon):
    images.requires_grad_()
    (slope,) = torch.autograd.grad(cross_entropy(model(images), targets), images)
    return (images.detach() + epsilon * slope.sign()).clamp(0, 1)


def adds_in_place(model, images, targets, epsilon):
    return images.add_(epsilon * gradient(model, images, targets).sign()).clamp_(0, 1)


def leaves_evaluation_mode(model, images, targets, epsilon):
    model.eval()
    return right(model, images, targets, epsilon)


def leaves_training_mode(model, images, targets, epsilon):
    model.train()
    return right(model, images, targets, epsilon)


WRONG = {
    "fgsm": [
        (stepped(lambda slope, epsilon: -epsilon * slope.sign()), "the loss goes from"),
        (stepped(lambda slope, epsilon: epsilon * slope.sign(), -9.0, 9.0), "reach from -0.1"),
        (stepped(lambda slope, epsilon: 30 * slope), "with epsilon 0.1 a value changes by"),
        (stepped(lambda slope, epsilon: slope.sign()), "with epsilon 0.1 a value changes by 1"),
        (
            stepped(lambda slope, epsilon: epsilon * slope / slope.abs().max()),
            "values are not where",
        ),
        (stepped(lambda slope, epsilon: epsilon * slope.sign() / 2), "values are not where"),
        (stepped(lambda slope, epsilon: 0.0 * slope), "the loss goes from"),
        (lambda *given: gradient(*given[:3]).sign(), "with epsilon 0.1 a value changes by"),
        (lambda *given: right(*given)[0], "of shape"),
        (with_backward, "it leaves gradients in the model"),
        (asks_the_images_given, "it changes the images that it is given"),
        (adds_in_place, "it changes the images that it is given"),
        (leaves_evaluation_mode, "not in the mode"),
        (leaves_training_mode, "not in the mode"),
    ]
}


test_a_wrong_answer_is_told_what_is_wrong = refused(check, WRONG)


def test_the_library_gives_a_right_answer_too():
    from lab_utils.insight.attacks import attack

    assert check.fgsm.judge(attack).status == "right", check.fgsm.judge(attack)
