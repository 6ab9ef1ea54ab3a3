"""Notebook 04 in words: why each hyperparameter has its value, and what the curves say."""

from math import sqrt

from lab_utils.checkpoints import Row
from lab_utils.data import Dataset
from lab_utils.hardware import Machine
from lab_utils.settings import Settings

# Above this gap (train minus validation accuracy) the model has learned its images by heart. Below
# this training accuracy it could learn more of them: a rule of thumb for about ten classes.
GAP_LIMIT = 0.10
TRAIN_LIMIT = 0.80


def hyperparameters(
    settings: Settings, dataset: Dataset, machine: Machine, steps_per_epoch: int
) -> list[dict[str, str]]:
    """``name``, ``value`` and ``reason`` of everything that decides how the training goes."""
    s, steps = settings, steps_per_epoch
    smoothing = (
        f"Each target keeps {1 - s.label_smoothing:.0%} and shares the rest among all classes, "
        "which holds back overconfident predictions; the curves show the plain cross-entropy."
        if s.label_smoothing
        else "Off: the loss that is minimised is the plain cross-entropy that the curves show."
    )
    decay = (
        "Pulls every weight towards zero at each step, so that none grows without need."
        if s.weight_decay
        else "Off: the recipe leaves overfitting to augmentation and dropout."
    )
    length = (
        "Enough to see it learn within a lesson; more would raise the accuracy further."
        if s.epochs <= 10
        else "Enough for the validation curve to level off."
    )
    error = 0.5 / sqrt(len(dataset.val))
    rows = [
        (
            "loss",
            "cross-entropy",
            "The negative natural logarithm of the probability given to the true class: large when "
            "the model is sure and wrong, and smooth enough to differentiate.",
        ),
        ("label_smoothing", f"{s.label_smoothing:g}", smoothing),
        ("optimizer", s.optimizer, _optimizer_reason(s)),
        ("lr", f"{s.lr:g}", _lr_reason(s)),
        *_rates_of_their_own(s),
        ("schedule", s.schedule, _schedule_reason(s)),
        (
            "batch_size",
            f"{s.batch_size}",
            f"{steps:,} steps an epoch. A larger batch keeps the hardware busier and its gradient "
            "is less noisy, but an epoch has fewer steps.",
        ),
        ("epochs", f"{s.epochs}", f"{s.epochs * steps:,} steps in all. {length}"),
        ("weight_decay", f"{s.weight_decay:g}", decay),
        (
            "augmentation",
            _augmentation(s),
            "The model sees each image in many variants that keep its class, so it is harder to "
            "learn by heart."
            if _augmentation(s) != "none"
            else "Off: every epoch shows the same pixels.",
        ),
        (
            "val_fraction",
            f"{s.val_fraction:g}",
            f"{len(dataset.val):,} images are held out to choose the best epoch; accuracy on them "
            f"has a standard error of at most {error:.1%}.",
        ),
        (
            "seed",
            f"{s.seed}",
            "Fixes the initial weights, the order of the images, their augmentation and dropout: "
            "the same seed gives the same run on the same machine.",
        ),
        ("precision", machine.precision, f"Of the matrix products: {machine.precision_reason}."),
    ]
    return [{"name": name, "value": value, "reason": reason} for name, value, reason in rows]


def _optimizer_reason(s: Settings) -> str:
    if s.optimizer == "sgd":
        if not s.momentum:
            return "Steps straight down the gradient: the simplest rule, and sensitive to lr."
        return (
            f"Averages the gradient over about {1 / (1 - s.momentum):.0f} steps (Nesterov momentum "
            f"{s.momentum:g}): steadier than plain SGD, with one setting more to tune."
        )
    adam = "Scales the step of each weight by the recent size of its gradient, so that one "
    adam += "learning rate suits all layers."
    if s.optimizer == "adamw":
        adam += " Weight decay acts on the weights themselves, not through that scaling."
    return adam


def _rates_of_their_own(s: Settings) -> list[tuple[str, str, str]]:
    """The settings that most recipes leave alone, where this one does not."""
    rows = []
    if s.muon_lr:
        reason = (
            "Convolution filters are moved by Muon: it makes all directions of an update equally "
            "long, so that rare patterns are learned as fast as common ones."
        )
        rows.append(("muon_lr", f"{s.muon_lr:g}", reason))
    if s.bias_lr:
        reason = "Biases and norms are few and have far to go: a learning rate of their own."
        rows.append(("bias_lr", f"{s.bias_lr:g}", reason))
    if s.optimizer != "sgd" and s.beta2 != 0.999:
        steps = 1 / (1 - s.beta2)
        reason = f"Adam remembers the size of gradients for about {steps:,.0f} steps, not 1,000."
        rows.append(("beta2", f"{s.beta2:g}", reason))
    if s.patience:
        reason = (
            f"Stops {s.patience} epochs after the best validation accuracy: more would cost "
            "time and, where the model learns its images by heart, accuracy."
        )
        rows.append(("patience", f"{s.patience}", reason))
    if s.batch_norm_momentum is not None:
        reason = (
            f"BatchNorm's statistics follow the last {1 / s.batch_norm_momentum:.1f} or so steps: "
            "in a short training an average over more would lag behind the weights."
        )
        rows.append(("batch_norm_momentum", f"{s.batch_norm_momentum:g}", reason))
    return rows


def _lr_reason(s: Settings) -> str:
    if s.model == "speednet":
        return (
            "Of the last layer. It is large because this network divides its logits by the "
            "number of that layer's inputs, which makes its gradients small."
        )
    if s.optimizer == "sgd":
        return "The size of a step along the gradient; for SGD on images 0.01 to 0.1 is usual."
    ratio = s.lr / 1e-3
    if abs(ratio - 1) < 0.01:
        return "The usual value for Adam."
    if ratio < 1:
        return f"{ratio:.2g} times Adam's usual 0.001: steadier, but it takes more epochs."
    if s.schedule == "one_cycle":
        return (
            f"{ratio:.2g} times Adam's usual 0.001, and only at the peak: the schedule starts at "
            "1/25 of it and ends near zero."
        )
    return f"{ratio:.2g} times Adam's usual 0.001: faster at first, with a risk of instability."


def _schedule_reason(s: Settings) -> str:
    if s.schedule == "one_cycle":
        return (
            f"Rises over the first {s.warmup_fraction:.0%} of the steps, while gradients are large "
            "and erratic, then falls to almost zero so that the weights settle: few epochs go far."
        )
    if s.schedule == "linear":
        rise = f"Rises over the first {s.warmup_fraction:.0%} of the steps, then falls"
        return (
            f"{rise if s.warmup_fraction else 'Falls'} in a straight line to zero: the weights "
            "settle exactly when the training ends."
        )
    if s.schedule == "cosine":
        end = f" It ends at {s.min_lr:g}." if s.min_lr else ""
        return f"Falls along half a cosine: many large steps, then ever smaller ones.{end}"
    if s.schedule == "step" and s.step_size < s.epochs:
        every = "every epoch" if s.step_size == 1 else f"every {s.step_size} epochs"
        return f"Large steps first; times {s.gamma:g} after {every}, so that the weights settle."
    if s.schedule == "step":
        return (
            f"Times {s.gamma:g} after {s.step_size} epochs, which this run of {s.epochs} does not "
            "go beyond: here the learning rate stays constant."
        )
    return "The same from first to last step: simple, but the last epochs stay noisy."


def _augmentation(s: Settings) -> str:
    parts = [
        ("flip every second epoch" if s.alternate_flip else "flip") if s.flip else "",
        f"crop padding {s.crop_padding} ({s.crop_fill})" if s.crop_padding else "",
        f"rotation {s.rotation:g} degrees" if s.rotation else "",
        f"colour jitter {'/'.join(f'{x:g}' for x in s.color_jitter)}"
        if any(s.color_jitter)
        else "",
        f"cutout {s.cutout}" if s.cutout else "",
    ]
    return ", ".join(part for part in parts if part) or "none"


def verdict(train_accuracy: float, val_accuracy: float) -> tuple[str, str]:
    """``underfitting``, ``balanced`` or ``overfitting``, and the reason as a sentence.

    Both accuracies must be measured alike: the same weights, evaluation mode, no augmentation.
    """
    gap = train_accuracy - val_accuracy
    numbers = (
        f"the model gets {train_accuracy:.1%} of training images and {val_accuracy:.1%} of "
        "validation images right"
    )
    if gap < 0:
        numbers += f"; validation accuracy is {-100 * gap:.1f} points higher"
    else:
        numbers += f", a gap of {100 * gap:.1f} percentage points"
    accepted = f"the {100 * GAP_LIMIT:.0f} points this lab accepts"
    if gap > GAP_LIMIT:
        return "overfitting", f"Overfitting: {numbers}, more than {accepted}."
    if train_accuracy < TRAIN_LIMIT:
        return (
            "underfitting",
            f"Underfitting: {numbers}; more epochs, more capacity or a better learning rate "
            f"should raise both (rule of thumb: training accuracy below {TRAIN_LIMIT:.0%}).",
        )
    if gap < 0:
        return "balanced", f"Balanced: {numbers}."
    return "balanced", f"Balanced: {numbers}, within {accepted}."


def schedule_effect(history: list[Row], rates: list[float]) -> str:
    """What happened once the learning rate had fallen below half its peak, as a sentence or two.

    ``rates`` is the learning rate of every step of the training.
    """
    if min(rates) == max(rates):
        return "The learning rate was constant throughout, so there is no effect of it to read."
    steps = len(rates) // len(history)
    means = [sum(rates[i : i + steps]) / steps for i in range(0, len(rates), steps)]
    peak = means.index(max(means))
    late = [i for i, mean in enumerate(means) if i > peak and mean < max(rates) / 2]
    if not late:
        return (
            "No epoch ran mostly below half the peak learning rate, so its effect is not visible."
        )
    before, after = history[late[0] - 1], history[-1]
    gain = after["val_accuracy"] - before["val_accuracy"]
    span = "the last epoch" if len(late) == 1 else f"the last {len(late)} epochs"
    return (
        f"In {span} of {len(history)} the learning rate was below half its peak. Meanwhile "
        f"validation loss went from {before['val_loss']:.3f} to {after['val_loss']:.3f} and "
        f"validation accuracy from {before['val_accuracy']:.1%} to {after['val_accuracy']:.1%} "
        f"({100 * gain:+.1f} points)."
    )
