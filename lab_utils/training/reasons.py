"""Notebook 04 in words: the reasons for the values of hyperparameters, read off the settings."""

from lab_utils.core.settings import Settings


def optimizer(s: Settings) -> str:
    """Why this optimiser."""
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


def of_its_own(s: Settings) -> list[tuple[str, str, str]]:
    """Name, value and reason of what most recipes leave alone, where this one does not."""
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
    if s.accumulate > 1:
        reason = (
            f"Gradients of {s.accumulate} batches add up to one step, as if a batch had "
            f"{s.accumulate * s.batch_size:,} images, in the memory of {s.batch_size}; only "
            "BatchNorm still sees the small ones."
        )
        rows.append(("accumulate", f"{s.accumulate}", reason))
    if s.clip_norm:
        reason = "A longer gradient is shortened to this length: one odd batch cannot throw the "
        rows.append(("clip_norm", f"{s.clip_norm:g}", reason + "weights far off."))
    if s.ema_decay:
        reason = (
            f"What is judged and kept is an average of the weights over about the last "
            f"{1 / (1 - s.ema_decay):,.0f} steps, in which the noise of single steps cancels."
        )
        rows.append(("ema_decay", f"{s.ema_decay:g}", reason))
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


def learning_rate(s: Settings) -> str:
    """Why this learning rate, for this optimiser and model."""
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


def schedule(s: Settings) -> str:
    """What the learning rate does in the course of the training, and what for."""
    if not s.warmup_epochs:
        return _course_of_the_rate(s)
    epochs = "epoch" if s.warmup_epochs == 1 else f"{s.warmup_epochs:g} epochs"
    return (
        f"Rises in a straight line over the first {epochs}, while gradients are large and erratic. "
        f"Then: {_course_of_the_rate(s)}"
    )


def _course_of_the_rate(s: Settings) -> str:
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
    if s.schedule == "warm_restarts":
        times = f", each wave {s.restart_factor} times as long" if s.restart_factor > 1 else ""
        return (
            f"Falls along half a cosine in {s.restart_period} epochs and starts again from the "
            f"top{times}: a jump may lead to a better place, and each wave ends in a usable model."
        )
    if s.schedule == "plateau":
        wait = s.plateau_patience + 1
        return (
            f"Times {s.gamma:g} after {'an epoch' if wait == 1 else f'{wait} epochs in a row'} "
            "without a lower validation loss: no plan is needed, and none can be drawn beforehand."
        )
    if s.schedule == "step" and s.step_size < s.epochs:
        every = "every epoch" if s.step_size == 1 else f"every {s.step_size} epochs"
        return f"Large steps first; times {s.gamma:g} after {every}, so that the weights settle."
    if s.schedule == "step":
        return (
            f"Times {s.gamma:g} after {s.step_size} epochs, which this run of {s.epochs} does not "
            "go beyond: here the learning rate stays constant."
        )
    return "The same from first to last step: simple, but the last epochs stay noisy."


def augmentation(s: Settings) -> str:
    """What is done to each image, in short; ``none`` for nothing."""
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


def mixing(s: Settings) -> list[tuple[str, str, str]]:
    """Name, value and reason of MixUp and CutMix, which change the targets too, where on."""
    rows = []
    if s.mixup:
        rows.append(("mixup", f"{s.mixup:g}", "Two images are laid over each other"))
    if s.cutmix:
        rows.append(("cutmix", f"{s.cutmix:g}", "A rectangle of one image is put into another"))
    both = "; chance decides for each batch which of the two is done" if len(rows) == 2 else ""
    end = (
        f", and the target is the share of each{both}. The training curves are measured on such "
        "pairs: even a perfect model has a loss there, and accuracy counts the larger share."
    )
    return [(name, value, reason + end) for name, value, reason in rows]
