"""What a run is to do: every setting with its range, its meaning, and the reason for a value.

A table of hyperparameters, the report and an error message all take their words from here.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# The networks, by the name that settings use, with the name that people use.
MODELS = {
    "simplecnn": "SimpleCNN", "compactnet": "CompactNet",
    "compactnet_standard": "CompactNet with standard convolutions", "convnet": "ConvNet",
    "resnet20": "ResNet-20", "resnet18": "ResNet-18", "speednet": "SpeedNet",
}  # fmt: skip
# What the choices do. Settings named in braces belong to that choice and are filled in.
OPTIMIZERS = {
    "adam": "Scales the step of each weight by the recent size of its gradient, so that one "
    "learning rate suits all layers (momentum {momentum:g}, beta2 {beta2:g}).",
    "adamw": "Adam, with a weight decay that is not scaled by the size of the gradient (momentum "
    "{momentum:g}, beta2 {beta2:g}).",
    "sgd": "A step down the gradient, averaged over the last steps (Nesterov momentum "
    "{momentum:g}): one setting more to tune than Adam.",
}
SCHEDULES = {
    "constant": "The same from first to last step: simple, but the last epochs stay noisy.",
    "step": "Times {gamma:g} every {step_size} epochs: large steps first, then the weights settle.",
    "cosine": "Falls along half a cosine to {min_lr:g}: many large steps, then ever smaller ones.",
    "warm_restarts": "Half a cosine down to {min_lr:g} in {restart_period} epochs, then again from "
    "the top, each wave {restart_factor} times as long: a jump may lead to a better place.",
    "plateau": "Times {gamma:g} once more than {plateau_patience} epochs brought no lower "
    "validation loss, but not below {min_lr:g}: it cannot be drawn beforehand.",
    "one_cycle": "Rises over the first {warmup_fraction:.0%} of the steps, while gradients are "
    "large and erratic, then falls to almost zero so that the weights settle.",
    "linear": "Rises over the first {warmup_fraction:.0%} of the steps, then falls in a straight "
    "line to zero: the weights settle exactly when the training ends.",
}
_Share = Annotated[float, Field(ge=0, le=1)]
_Rate = Annotated[float, Field(gt=0, le=1000)]
_Side = Annotated[int, Field(ge=16, le=256)]
_Width = Annotated[int, Field(ge=8, multiple_of=8)]  # as the blocks of tensor cores are


def _says(default: Any, meaning: str, **limits: Any) -> Any:
    """A setting with its default, its meaning and its limits."""
    return Field(default, description=meaning, **limits)


class Settings(BaseModel):
    """The resolved settings of one run; immutable, so that every step sees the same ones.

    Raises pydantic.ValidationError for what is unknown, of the wrong type or range, or does not go
    together.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    experiment: str
    title: str = ""

    # Data
    data: Literal["auto", "cifar10", "shapes", "folder"] = _says(
        "auto", "The images: auto is CIFAR-10 if it can be had, else shapes."
    )
    data_folder: str | None = _says(None, "For data: folder, holds train/<class>/, test/<class>/.")
    train_size: int | None = _says(None, "Training and validation images; None: all.", ge=20)
    test_size: int | None = _says(None, "Test images; None: all.", ge=10)
    folds: int | None = _says(None, "k of k-fold cross-validation, for val_fraction.", ge=2)
    fold: int = _says(0, "Which of the folds is held out, counted from 0.", ge=0)
    val_fraction: float = _says(0.1, "Share held out, to choose the best epoch.", gt=0, lt=1)
    image_size: _Side = _says(32, "Pixels a side, for data: folder.")

    # Model and seed
    model: Literal[*MODELS] = _says("simplecnn", "The network.")
    pretrained: bool = _says(False, "Start resnet18 from ImageNet weights in torch's cache.")
    widths: tuple[_Width, _Width, _Width] = _says((64, 256, 256), "Channels of speednet's groups.")
    whitening_stride: Literal[1, 2] = _says(1, "Stride of speednet's first layer.")
    batch_norm_momentum: float | None = _says(
        None, "Share of the newest batch in BatchNorm's statistics: large for short trainings, "
        "where an average would lag behind; None: the model's own.", gt=0, le=1,
    )  # fmt: skip
    seed: int = _says(
        42, "Fixes the initial weights, the split, the order of the images, augmentation and "
        "dropout: the same seed gives the same run on the same machine.", ge=0, lt=2**32,
    )  # fmt: skip

    # Recipe
    optimizer: Literal[*OPTIMIZERS] = _says("adam", "How a gradient becomes a step.")
    lr: _Rate = _says(
        1e-3, "The largest learning rate, which sizes the steps: for Adam 0.001 is usual, for SGD "
        "on images 0.01 to 0.1; SpeedNet divides its logits and needs hundreds.",
    )  # fmt: skip
    bias_lr: _Rate | None = _says(None, "Of biases and norms, which have far to go; None: lr.")
    muon_lr: float | None = _says(
        None, "Convolution filters are moved by Muon, at this rate, with updates equally long in "
        "all directions: rare patterns are learned as fast as common ones.", gt=0, le=10,
    )  # fmt: skip
    momentum: float = _says(0.9, "Of SGD; of Adam the first beta.", ge=0, lt=1)
    beta2: float = _says(0.999, "Share of the past in Adam's size of a gradient.", gt=0, lt=1)
    weight_decay: float = _says(
        0.0, "Pulls every weight towards zero at each step, so that none grows without need.", ge=0
    )
    schedule: Literal[*SCHEDULES] = _says("constant", "The course of the learning rate.")
    step_size: int = _says(10, "Epochs between two steps of `step`.", ge=1)
    gamma: float = _says(0.1, "Factor of a step of `step` and `plateau`.", gt=0, le=1)
    restart_period: int = _says(10, "Epochs of the first wave of `warm_restarts`.", ge=1)
    restart_factor: int = _says(1, "Each wave is so many times as long as the one before.", ge=1)
    plateau_patience: int = _says(3, "Epochs that `plateau` waits for a lower loss.", ge=0)
    min_lr: float = _says(0.0, "Lowest of `cosine`, `warm_restarts` and `plateau`.", ge=0)
    warmup_fraction: float = _says(0.3, "Of the steps of `one_cycle` and `linear`.", ge=0, lt=1)
    warmup_epochs: float = _says(
        0.0, "Epochs of a straight rise before the schedule, while gradients are erratic.", ge=0
    )
    batch_size: int = _says(
        128, "Images a step. A larger batch keeps the hardware busier and its gradient is less "
        "noisy, but an epoch has fewer steps.", ge=1,
    )  # fmt: skip
    accumulate: int = _says(
        1, "Batches whose gradients add up to one step: 4 of 32 train like one of 128 in a quarter "
        "of the memory; only BatchNorm still sees the small ones.", ge=1,
    )  # fmt: skip
    epochs: int = _says(5, "Passes over the training images.", ge=1, le=10_000)
    patience: int | None = _says(
        None, "Stops so many epochs after the best validation accuracy, before more do harm.", ge=1
    )
    clip_norm: float | None = _says(
        None, "A longer gradient is shortened to this: no batch throws the weights far off.", gt=0
    )
    ema_decay: float | None = _says(
        None, "What is judged and kept is a running average of the weights, of which each step "
        "keeps this share: the noise of single steps cancels.", gt=0, lt=1,
    )  # fmt: skip
    label_smoothing: float = _says(
        0.0, "Share of each target that is spread over all classes, which holds back overconfident "
        "predictions; the curves show the plain cross-entropy.", ge=0, lt=1,
    )  # fmt: skip

    # Augmentation of the training images
    flip: bool = _says(True, "Mirror half of the images.")
    alternate_flip: bool = _says(False, "Every second epoch the mirror image, not by chance.")
    train_sides: tuple[_Side, ...] = _says(
        (), "Pixels a side in each epoch, the last in all others: small images first cost less."
    )
    crop_padding: int = _says(4, "Pixels of border before a random crop.", ge=0, le=15)
    crop_fill: Literal["zero", "reflect"] = _says("zero", "What that border holds.")
    cutout: int = _says(0, "Side in pixels of a square that is blanked.", ge=0)
    rotation: float = _says(0.0, "Degrees to either side.", ge=0, le=180)
    color_jitter: tuple[_Share, _Share, _Share, Annotated[float, Field(ge=0, le=0.5)]] = _says(
        (0, 0, 0, 0), "How far brightness, contrast, saturation and hue stray; a hue of 0.5 is "
        "half the colour circle.",
    )  # fmt: skip
    mixup: float = _says(
        0.0, "Alpha of the Beta distribution by which two images are laid over each other; the "
        "target is the share of each. With cutmix too, chance decides for each batch.", ge=0,
    )  # fmt: skip
    cutmix: float = _says(0.0, "As mixup, with a rectangle of one image put into the other.", ge=0)

    # Evaluation
    tta: Literal["none", "flip", "flip_shift", "unsure"] = _says(
        "none", "Averages over the mirror image and shifts by a pixel; unsure: only where in doubt."
    )

    # Machine
    device: Literal["auto", "cpu", "cuda", "mps"] = _says("auto", "Where to compute.")
    precision: Literal["auto", "float32", "bfloat16"] = _says("auto", "Of matrix products.")
    threads: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = _says(
        "auto", "How many compute: auto measures it; beside a busy program fewer are faster."
    )
    compile: bool = _says(False, "torch.compile, replayed as a CUDA graph; CUDA only.")

    def recipe(self) -> dict[str, Any]:
        """All that decides the result but the seed: runs that agree in it are repetitions.

        Which data were used is not in it: every run records their fingerprint. Neither are threads,
        which decide only the rounding.
        """
        others = {"seed", "title", "data", "data_folder", "threads"}
        return self.model_dump(mode="json", exclude=others)

    def explain(self, name: str) -> str:
        """What the value of setting ``name`` does, with the settings that belong to it."""
        choices = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES}
        if name in choices:
            return choices[name][getattr(self, name)].format_map(dict(self))
        return type(self).model_fields[name].description or ""

    @field_validator("*", mode="before")
    @classmethod
    def _number_that_can_be_kept(cls, value: Any, info: Any) -> Any:
        truth = isinstance(cls.model_fields[info.field_name].default, bool)
        if isinstance(value, bool) and not truth:
            raise ValueError("should not be true or false")
        if isinstance(value, int) and value > 10**12:  # JSON cannot write one of 5,000 digits
            raise ValueError("should not be so large")
        return value

    @field_validator("val_fraction")
    @classmethod
    def _share_of_a_fold(cls, value: float, info: Any) -> float:
        return 1 / info.data["folds"] if info.data.get("folds") else value

    @model_validator(mode="after")
    def _fit_together(self) -> "Settings":
        if broken := [sentence for wrong, sentence in _conflicts(self) if wrong]:
            raise ValueError(broken[0])
        return self


def _conflicts(s: Settings) -> list[tuple[object, str]]:
    """Settings that are right each on its own and do not go together, with the mend."""
    lowest = s.plateau_patience + 2  # the epoch that lowers the rate, and one to see what it does
    return [
        (s.data == "folder" and not s.data_folder,
         "data=folder needs data_folder=PATH, which holds train/ and test/."),
        (s.pretrained and s.model != "resnet18",
         "pretrained=true needs model=resnet18; no other model has ImageNet weights."),
        (s.train_sides and s.model == "simplecnn",
         "train_sides needs a network for images of any size; choose another than simplecnn."),
        (s.fold and not s.folds, f"fold={s.fold} needs folds, the number of parts; set that too."),
        (s.folds and s.fold >= s.folds,
         f"fold={s.fold} is not there: folds={s.folds} are numbered from 0; use a lower one."),
        (s.warmup_epochs and s.schedule in ("one_cycle", "linear"),
         f"schedule={s.schedule} warms up by warmup_fraction; set that, not warmup_epochs."),
        (s.warmup_epochs >= s.epochs,
         f"warmup_epochs={s.warmup_epochs:g} must be less than epochs={s.epochs}."),
        (s.schedule in ("cosine", "warm_restarts", "plateau") and s.min_lr >= s.lr,
         f"min_lr={s.min_lr:g} must be less than lr={s.lr:g}."),
        (s.schedule == "plateau" and s.gamma == 1,
         "schedule=plateau multiplies the learning rate by gamma; set gamma below 1."),
        (s.schedule == "plateau" and s.patience and s.patience < lowest,
         f"patience={s.patience} would end the training before schedule=plateau can lower the "
         f"learning rate; set patience={lowest} or more, or plateau_patience lower."),
        ((s.mixup or s.cutmix) and s.batch_size == 1,
         "mixup and cutmix mix the images of a batch; set batch_size to 2 or more."),
        (s.compile and s.accumulate > 1,  # https://github.com/pytorch/pytorch/issues/169545
         "compile=true overwrites the gradients of the batch before; set accumulate=1."),
    ]  # fmt: skip
