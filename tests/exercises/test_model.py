"""What a student may plausibly answer wrongly in notebook 03 is judged wrong, with help."""

from refused import refused
import torch
from torch import nn
from torch.nn.functional import conv2d, pad

from lab_utils.exercises import model as check
from lab_utils.model.networks.simplecnn import SimpleCNN
from lab_utils.model.summary import count_parameters


def without_bias(image, weight, bias, padding):
    return conv2d(image[None], weight, padding=padding)[0]


def without_padding(image, weight, bias, padding):
    return conv2d(image[None], weight, bias)[0]


def upside_down(image, weight, bias, padding):
    return conv2d(image[None], weight.flip(2, 3), bias, padding=padding)[0]


def first_colour(image, weight, bias, padding):
    return conv2d(image[None, :1], weight[:, :1], bias, padding=padding)[0]


def one_filter(image, weight, bias, padding):
    return conv2d(image[None], weight[:1], bias[:1], padding=padding)[0]


def with_batch(image, weight, bias, padding):
    return conv2d(image[None], weight, bias, padding=padding)


def turned(image, weight, bias, padding):
    return conv2d(image[None].mT, weight, bias, padding=padding)[0].mT


def rim_left_out(image, weight, bias, padding):
    inner = conv2d(image[None], weight, bias)[0]
    return pad(inner, (padding,) * 4)


def counts(channels, block, head, side=2):
    return (channels, side, side), block, 93_696 + block + head


def head_of(inputs):
    return (inputs + 1) * 256 + 257 * 10


def without_norm(channels):
    return counts(channels, (9 * 128 + 1) * channels, head_of(channels * 4))


def bias_forgotten(channels):
    return counts(channels, 9 * 128 * channels + 2 * channels, head_of(channels * 4))


def head_as_before(channels):
    return counts(channels, (9 * 128 + 3) * channels, head_of(2048))


def side_as_before(channels):
    return counts(channels, (9 * 128 + 3) * channels, head_of(channels * 16), side=4)


def only_256(channels):
    return counts(256, (9 * 128 + 3) * 256, head_of(1024))


def the_total_alone(channels):
    return ((9 * 128 + 3) * channels, head_of(channels * 4))


class Network(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.head = nn.Linear(16 * 4 * 4, num_classes)

    def forward(self, images):
        maps = self.pool(self.norm(self.conv(images)).relu())
        return self.head(maps.flatten(1))


class SoftmaxLast(Network):
    def forward(self, images):
        return super().forward(images).softmax(dim=1)


class SigmoidLast(Network):
    def forward(self, images):
        return super().forward(images).sigmoid()


class ReluLast(Network):
    def forward(self, images):
        return super().forward(images).relu()


class SoftmaxOverTheBatch(Network):
    def forward(self, images):
        return super().forward(images).softmax(dim=0)


class Detached(Network):
    def forward(self, images):
        return super().forward(images).detach()


class Blind(Network):
    def forward(self, images):
        return super().forward(0 * images)


class AlwaysTen(Network):
    def __init__(self, num_classes=10):
        super().__init__(10)


class LogSoftmaxLast(Network):
    def forward(self, images):
        return super().forward(images).log_softmax(dim=1)


WRONG = {
    "conv2d": [
        (without_bias, "as without the bias"),
        (without_padding, "the shape is (1, 1, 1), not (1, 3, 3)"),
        (upside_down, "as with the weights upside down"),
        (first_colour, "for an image (3, 5, 7)"),
        (one_filter, "the shape is (1, 5, 7), not (4, 5, 7)"),
        (with_batch, "the shape is (1, 1, 2, 2), not (1, 2, 2)"),
        (turned, "it is off by up to"),
        (rim_left_out, "padding 1 it is off by up to"),
    ],
    "fourth_block": [
        (without_norm, "the block has 295,168 parameters, not 295,680"),
        (bias_forgotten, "the block has 295,424 parameters, not 295,680"),
        (head_as_before, "what goes into the first linear layer now?"),
        (side_as_before, "the shape is (256, 4, 4), not (256, 2, 2)"),
        (only_256, "for 128 channels"),
        (the_total_alone, "not a shape and two numbers"),
    ],
    "mended": [
        (SoftmaxLast, "and the outputs lie between 0.00 and 1.00"),
        (SigmoidLast, "the loss is still"),
        (ReluLast, "and the outputs lie between 0.00 and"),
        (SoftmaxOverTheBatch, "the loss is still"),
        (Detached, "does not require grad"),
        (Blind, "the loss is still 2.3"),
        (AlwaysTen, "the shape of the logits is (6, 10)"),
        (Network(), "give the class itself"),
    ],
}


test_a_wrong_answer_is_told_what_is_wrong = refused(check, WRONG)


def test_the_network_with_a_fourth_block_has_what_the_check_expects():
    def built(channels):
        features = SimpleCNN().features
        conv = nn.Conv2d(128, channels, kernel_size=3, padding=1)
        block = nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(2))
        shape = block(features(torch.zeros(1, 3, 32, 32))).shape[1:]
        head = nn.Sequential(nn.Linear(shape.numel(), 256), nn.Linear(256, 10))
        return shape, count_parameters(block), sum(map(count_parameters, (features, block, head)))

    assert check.fourth_block.judge(built).status == "right"


def test_networks_that_learn_are_right_and_nothing_outside_changes():
    before = torch.get_rng_state()
    assert check.mended.judge(Network).status == "right"
    assert check.mended.judge(LogSoftmaxLast).status == "right"  # a second one changes nothing
    assert torch.equal(torch.get_rng_state(), before)
