"""What leads to a trained network: machine, images, network, training."""

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from lab_utils.core.records.record import (
    Amount,
    Channels,
    Count,
    Positive,
    Record,
    Row,
    Seconds,
    Shape,
    Share,
    Some,
)


class _Requirement(Row):
    item: str
    minimum: str
    recommended: str
    found: str
    status: str  # pass, warn or fail


class Hardware(Record):
    """The machine, and what was chosen for it; sizes in GB (10^9 bytes)."""

    made_by = "01_setup"
    device: str
    device_reason: str
    precision: str
    precision_reason: str
    rejected_device: str | None = None  # computed wrong gradients
    os: str | None = None
    architecture: str | None = None
    cpu: str | None = None
    cores: Some | None = None
    threads: Some | None = None
    threads_reason: str | None = None
    ram_gb: Amount | None = None
    disk_free_gb: Amount | None = None
    gpu: str | None = None
    gpu_memory_gb: Amount | None = None
    python: str | None = None
    software: dict[str, str] | None = None  # versions
    requirements: list[_Requirement]
    matmul_gflops: dict[str, Positive | None]  # by number format; None where there is none
    step_ms: Amount | None = None
    images_per_second: Amount | None = None
    estimated_train_seconds: Seconds | None = None
    estimated_step_memory_mb: Amount | None = None
    gradient_difference: Amount | None = None  # relative
    seeded_runs_identical: bool | None = None


class _Augmentation(Row):
    flip: bool
    crop_padding: Count  # pixels, as cutout
    cutout: Count


class Data(Record):
    """The images: how many, of what, and their statistics in fractions of full brightness."""

    made_by = "02_data"
    name: str
    title: str
    source: str
    licence: str
    fingerprint: str
    warning: str = ""
    unreadable: list[str]
    classes: Annotated[list[str], Field(min_length=1)]
    image_shape: Annotated[Shape, Field(min_length=3)]
    train_images: Some
    val_images: Some
    train_counts: list[Count]  # by class
    val_counts: list[Count]
    mean: Channels | None = None
    std: Channels | None = None
    published_mean: Channels | None = None
    published_std: Channels | None = None
    mean_of_image_std: Channels | None = None
    nearest_mean_accuracy: Share | None = None
    augmentation: _Augmentation

    @field_validator("train_counts", "val_counts")
    @classmethod
    def _of_each_class(cls, counts: list[int], info: ValidationInfo) -> list[int]:
        if len(counts) != len(info.data.get("classes", counts)) or not sum(counts):
            raise ValueError("not a number for each class")
        return counts


class _Layer(Row):
    name: str
    type: str
    output_shape: Shape
    parameters: Count
    flops: Count
    receptive_field: Some | None = None  # pixels a side; None: the whole image


class _Overfit(Row):
    images: Some
    steps: Some
    first_loss: Amount
    last_loss: Amount


class _Costs(Row):
    name: str
    parameters: Some
    flops: Amount  # of one image
    weight_bytes: Some
    receptive_field: Some | None = None
    step_ms: Positive
    inference_ms: Positive | None = None


class Model(Record):
    """The network, and others beside it."""

    made_by = "03_model"
    name: str
    parameters: Some
    flops: Count  # of one image, as macs
    macs: Count
    weight_bytes: Some
    receptive_field: Some | None = None
    image_shape: Annotated[Shape, Field(min_length=3)]
    layers: Annotated[list[_Layer], Field(min_length=1)]
    untrained_loss: Amount | None = None
    expected_untrained_loss: Amount | None = None
    overfit: _Overfit | None = None
    comparison: list[_Costs]


class _Hyperparameter(Row):
    name: str
    value: str
    reason: str


class _Threads(Row):
    """From when on a training used how many threads."""

    epoch: Count  # from 1
    step: Count  # from 0
    threads: Some
    reason: str


class Training(Record):
    """How the training went."""

    made_by = "04_training"
    epochs: Some
    steps_per_epoch: Some | None = None
    train_seconds: Seconds
    images_per_second: Amount
    best_epoch: Some
    best_val_accuracy: Share
    precision: str
    device: str
    threads: Annotated[list[_Threads], Field(min_length=1)] | None = None
    resumed_from_epoch: Count | None = None
    hyperparameters: list[_Hyperparameter]
    verdict: str | None = None
    verdict_reason: str | None = None
