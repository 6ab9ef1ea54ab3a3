"""Settings of one run: ``params.yaml``, then ``LAB_SET``, then the caller's overrides, validated.

Unknown keys and values out of range are refused with one sentence that names the key and the mend.
"""

from collections.abc import Mapping
import difflib
import os
from pathlib import Path
import re
from typing import Annotated, Any, Literal

from lab_utils import LabError
from lab_utils.conflicts import conflict
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
import yaml

_Share = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """The resolved settings of one run; immutable, so that every step sees the same ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    experiment: str
    title: str = ""

    # Data
    data: Literal["auto", "cifar10", "shapes", "folder"] = "auto"
    data_folder: str | None = None  # for data: folder — holds train/<class>/… and test/<class>/…
    train_size: int | None = Field(None, ge=20)  # training + validation images; None: all
    test_size: int | None = Field(None, ge=10)
    folds: int | None = Field(None, ge=2)  # k of k-fold cross-validation, instead of val_fraction
    fold: int = Field(0, ge=0)  # which of the folds is held out for validation, counted from 0
    val_fraction: float = Field(0.1, gt=0, lt=1, validate_default=True)
    image_size: int = Field(32, ge=16, le=256)  # pixels a side, for data: folder

    # Model and seed
    model: Literal[
        "simplecnn",
        "compactnet",
        "compactnet_standard",
        "convnet",
        "resnet20",
        "resnet18",
        "speednet",
    ] = "simplecnn"
    pretrained: bool = False  # start resnet18 from ImageNet weights in torch's cache
    widths: tuple[int, int, int] = (64, 256, 256)  # channels of speednet's groups
    whitening_stride: Literal[1, 2] = 1  # of speednet's first layer
    batch_norm_momentum: float | None = Field(None, gt=0, le=1)  # None: the model's own
    seed: int = Field(42, ge=0, lt=2**32)

    # Recipe
    epochs: int = Field(5, ge=1, le=10_000)
    batch_size: int = Field(128, ge=1)
    accumulate: int = Field(
        1, ge=1
    )  # batches whose gradients make one step: 4 of 32 are one of 128
    clip_norm: float | None = Field(None, gt=0)  # longest gradient, over all weights; None: any
    ema_decay: float | None = Field(None, gt=0, lt=1)  # of a running average of the weights
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(1e-3, gt=0, le=1000)
    bias_lr: float | None = Field(None, gt=0, le=1000)  # of biases and norms; None: lr
    muon_lr: float | None = Field(
        None, gt=0, le=10
    )  # convolution filters by Muon; None: as the rest
    beta2: float = Field(0.999, gt=0, lt=1)  # Adam and AdamW only
    momentum: float = Field(0.9, ge=0, lt=1)  # of SGD; of Adam the first beta
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal[
        "constant", "step", "cosine", "warm_restarts", "plateau", "one_cycle", "linear"
    ] = "constant"
    step_size: int = Field(10, ge=1)  # epochs between two steps of `step`
    gamma: float = Field(0.1, gt=0, le=1)  # factor of a step of `step` and `plateau`
    restart_period: int = Field(10, ge=1)  # epochs of the first wave of `warm_restarts`
    restart_factor: int = Field(1, ge=1)  # how many times as long each wave is as the one before
    plateau_patience: int = Field(3, ge=0)  # epochs without a lower validation loss, for `plateau`
    min_lr: float = Field(0.0, ge=0)  # lowest of `cosine`, `warm_restarts` and `plateau`
    warmup_fraction: float = Field(0.3, ge=0, lt=1)  # of the steps of `one_cycle` and `linear`
    warmup_epochs: float = Field(0.0, ge=0)  # before any other schedule begins
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    patience: int | None = Field(
        None, ge=1
    )  # epochs without a better validation accuracy; None: all

    # Augmentation of the training images
    flip: bool = True
    alternate_flip: bool = False  # every second epoch the mirror image, instead of by chance
    crop_padding: int = Field(4, ge=0, le=15)  # pixels
    crop_fill: Literal["zero", "reflect"] = "zero"
    cutout: int = Field(0, ge=0)  # side of the square in pixels; 0: none
    rotation: float = Field(0.0, ge=0, le=180)  # degrees to either side
    # How far brightness, contrast, saturation and hue stray; a hue of 0.5 is half the colour circle
    color_jitter: tuple[_Share, _Share, _Share, Annotated[float, Field(ge=0, le=0.5)]] = (0,) * 4

    # Alpha of the Beta distribution that mixes each image with another of its batch; 0: off. With
    # both, chance decides for each batch.
    mixup: float = Field(0.0, ge=0)
    cutmix: float = Field(0.0, ge=0)

    # Evaluation: average the logits of each test image over its mirror image, and shifts by a pixel
    tta: Literal["none", "flip", "flip_shift"] = "none"

    # Machine
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False  # the training step by torch.compile, replayed as a CUDA graph

    def recipe(self) -> dict[str, Any]:
        """All settings but the seed and the title: what siblings have in common."""
        return self.model_dump(exclude={"seed", "title"})

    @field_validator("val_fraction")
    @classmethod
    def _share_of_a_fold(cls, value: float, info: ValidationInfo) -> float:
        return 1 / info.data["folds"] if info.data.get("folds") else value

    @model_validator(mode="after")
    def _fit_together(self) -> "Settings":
        problem = conflict(self)
        if problem:
            raise ValueError(problem)
        return self


def project_root() -> Path:
    """The folder that holds ``params.yaml``: the working directory or above, else the lab's own."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / "params.yaml").is_file() and (folder / "lab_utils").is_dir():
            return folder
    return Path(__file__).resolve().parents[1]


def load_params() -> dict[str, Any]:
    """``params.yaml`` as a dictionary with the keys ``report``, ``defaults`` and ``experiments``.

    Raises LabError if the file is missing, is not YAML or lacks ``experiments``.
    """
    path = project_root() / "params.yaml"
    try:
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabError(f"Cannot read {path}: {error.strerror}; restore it from the lab.") from None
    except UnicodeDecodeError:
        raise LabError("params.yaml is not UTF-8 text; save it with that encoding.") from None
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise LabError(f"params.yaml is not valid YAML; mend it there: {where}") from None
    sections = params if isinstance(params, dict) else {}
    for section in ("report", "defaults", "experiments"):
        if not isinstance(sections.get(section) or {}, dict):
            raise LabError(f"params.yaml: {section!r} must hold lines of the form key: value.")
    experiments = {str(name): entry for name, entry in (sections.get("experiments") or {}).items()}
    if not experiments:
        raise LabError("params.yaml has no 'experiments' section; restore it from the lab.")
    for name, entry in experiments.items():
        if not isinstance(entry or {}, dict):
            raise LabError(f"params.yaml: experiment {name!r} must hold lines key: value.")
    return {
        "report": sections.get("report") or {},
        "defaults": sections.get("defaults") or {},
        "experiments": experiments,
    }


def load_settings(experiment: str, /, **overrides: Any) -> Settings:
    """Settings of ``experiment`` with ``overrides``; an override of None keeps the file's value.

    So a notebook's parameters may be left empty. Raises LabError as ``resolve`` does.
    """
    return resolve(experiment, {k: value for k, value in overrides.items() if value is not None})


def resolve(experiment: str, changes: Mapping[str, Any]) -> Settings:
    """Settings of ``experiment`` with ``changes``, where None is a value: ``patience=null``.

    Raises LabError for an unknown experiment or key, for a value of the wrong type or range, and
    for values that do not go together.
    """
    params = load_params()
    if experiment not in params["experiments"]:
        names = ", ".join(params["experiments"])
        raise LabError(f"No experiment {experiment!r} in params.yaml; choose one of: {names}.")
    values = params["defaults"] | (params["experiments"][experiment] or {})
    values |= parse_assignments(os.environ.get("LAB_SET", "").split(), "LAB_SET")
    values |= changes
    known = [key for key in Settings.model_fields if key != "experiment"]
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "lab_utils/settings.py lists them."
            raise LabError(f"Unknown setting {key!r} for experiment {experiment!r}; {hint}")
    try:
        return Settings(experiment=experiment, **values)
    except ValidationError as error:
        problem = error.errors()[0]
        if not problem["loc"]:  # two settings that do not go together
            raise LabError(str(problem["ctx"]["error"])) from None
        key = ".".join(str(part) for part in problem["loc"])
        reason = problem["msg"].removeprefix("Input ")
        raise LabError(f"Setting {key}={problem['input']!r}: the value {reason}.") from None


def parse_assignments(items: list[str], source: str = "--set") -> dict[str, Any]:
    """``["epochs=3", "flip=false"]`` as ``{"epochs": 3, "flip": False}``; values are YAML.

    Raises LabError where an item is not of the form key=value.
    """
    values = {}
    for item in items:
        key, equals, text = item.partition("=")
        if not equals or not key.strip():
            raise LabError(f"{source} takes key=value, not {item!r}; for example epochs=3.")
        try:
            values[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise LabError(f"{source}: cannot read the value of {item!r}.") from None
    return values


def as_written(experiment: str) -> Settings:
    """The settings of ``experiment`` as params.yaml has them, without ``LAB_SET``."""
    params = load_params()
    values = params["defaults"] | (params["experiments"][experiment] or {})
    return Settings(experiment=experiment, **values)


def default_name(settings: Settings) -> str:
    """The run's name: the experiment, and every setting that differs from ``params.yaml``.

    So two runs with different settings never share a folder unless a name is given.
    """
    base = as_written(settings.experiment)
    follows = ("title", "val_fraction") if settings.folds else ("title",)
    changed = [
        f"{key}={value}"
        for key, value in settings
        if value != getattr(base, key) and key not in follows
    ]
    return re.sub(r"[^\w.=+-]", "_", "-".join([settings.experiment, *changed]))[:120]
