"""What was found of a trained network: the evaluation, its exports, and the optional notebooks."""

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from lab_utils.core.records.record import Amount, Count, Positive, Record, Row, Seconds, Share, Some
from lab_utils.core.run import METRICS


class _ClassScores(Row):
    name: Annotated[str, Field(alias="class")]
    precision: Share
    recall: Share
    f1: Share
    support: Count  # images


class _Confused(Row):
    true: str
    predicted: str
    count: Count
    share: Share


class _Bin(Row):
    count: Count
    confidence: Share | None = None  # None in an empty bin, as its accuracy
    accuracy: Share | None = None

    @field_validator("confidence", "accuracy")
    @classmethod
    def _unless_empty(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is None and info.data.get("count"):
            raise ValueError("not the mean of its images")
        return value


class _Criterion(Row):
    criterion: str
    found: str
    passed: bool | None


class Evaluation(Record):
    """The rows of the evaluation's tables and figures."""

    made_by = "05_evaluation"
    per_class: Annotated[list[_ClassScores], Field(min_length=1)]
    confusion: list[list[Count]]  # row: true class, column: predicted class
    confused_pairs: list[_Confused]
    reliability: list[_Bin]
    criteria: list[_Criterion]

    @field_validator("confusion")
    @classmethod
    def _square(cls, counts: list[list[int]], info: ValidationInfo) -> list[list[int]]:
        classes = len(info.data.get("per_class", counts))
        if {len(counts), *map(len, counts)} != {classes}:
            raise ValueError("not a row and a column for each class")
        return counts


class Metrics(Record):
    """The plain numbers of the evaluation; the first eleven follow from the predictions."""

    made_by = "05_evaluation"
    test_images: Some
    test_correct: Count
    test_accuracy: Share
    test_accuracy_low: Share  # Wilson's 95% interval
    test_accuracy_high: Share
    test_loss: Amount
    macro_precision: Share
    macro_recall: Share
    macro_f1: Share
    macro_auc: Share | None  # None where a class has no test image
    ece: Share
    data: str  # "cifar10", "shapes" or "folder": what was used, also where the settings say auto
    data_is_cifar10: bool
    parameters: Some
    flops: Some  # of one image's forward pass
    precision: str
    device: str
    epochs: Some
    best_epoch: Some
    train_seconds: Seconds
    tta: str
    test_accuracy_one_view: Share  # without the averaging of ``tta``
    val_accuracy: Share  # of the epoch that was chosen by it, as the next two
    val_loss: Amount | None = None
    val_images: Some | None = None
    train_accuracy: Share | None = None
    train_val_gap: float | None = None
    temperature: Positive | None = None
    test_loss_scaled: Amount | None = None  # with the temperature, as the next three
    test_loss_change_low: float | None = None
    test_loss_change_high: float | None = None
    ece_scaled: Share | None = None
    ensemble_seeds: Some | None = None
    ensemble_accuracy: Share | None = None
    overconfident_accuracy: Share | None = None  # of a network that learned by heart
    overconfident_confidence: Share | None = None
    overconfident_temperature: Positive | None = None
    overconfident_ece: Share | None = None
    overconfident_ece_scaled: Share | None = None

    @classmethod
    def file(cls) -> str:
        """Beside ``evaluation.json``."""
        return METRICS

    @field_validator("test_accuracy_high")
    @classmethod
    def _around_the_accuracy(cls, high: float, info: ValidationInfo) -> float:
        share = info.data.get("test_accuracy", high)
        if not info.data.get("test_accuracy_low", share) <= share <= high:
            raise ValueError("no interval of the accuracy")
        return high


class _Format(Row):
    name: str
    bytes: Some
    max_logit_difference: Amount
    same_predictions: Share
    accuracy: Share
    difference: float  # of its accuracy to the original's, with its 95% interval
    difference_low: float
    difference_high: float
    note: str
    latency_ms: Positive  # median for one image
    throughput: dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], Amount]  # images/s by batch size


class About(Row):
    """The images, as the model card describes them."""

    title: str
    source: str
    licence: str
    fingerprint: str
    warning: str
    classes: Annotated[list[str], Field(min_length=1)]
    train_images: Some
    val_images: Some
    image_size: Some  # pixels a side


class _Jpeg(Row):
    quality: Count
    accuracy: Share
    difference: float  # to the accuracy without compression, with its 95% interval
    low: float
    high: float


class Deployment(Record):
    """The exported files beside the original, and how sure an answer may be called."""

    made_by = "06_deployment"
    formats: list[_Format]
    images_compared: Some
    data: About | None = None
    temperature: Positive | None = None
    threshold: Share | None = None  # None: no answer is sure enough
    sure_share: Share | None = None
    sure_accuracy: Share | None = None
    jpeg: _Jpeg | None = None
    vnni: bool | None = None  # whether the processor multiplies 8-bit integers

    @field_validator("sure_accuracy")
    @classmethod
    def _above_a_threshold(cls, share: float | None, info: ValidationInfo) -> float | None:
        if share is not None and None in (info.data.get("threshold"), info.data.get("sure_share")):
            raise ValueError("no threshold above which it is")
        return share


class _Profile(Row):
    seconds: Positive
    images: Some
    gflops: Amount
    peak_gflops: Positive
    shares: Annotated[dict[str, Share], Field(min_length=1)]  # of its time, by kind of operator


class Speed(Record):
    """A training step the course's way and the lab's."""

    made_by = "08_speed"
    device: str
    precision: str
    course: _Profile
    lab: _Profile


class _Damaged(Row):
    """What a kind of damage leaves right, with its 95% interval."""

    damage: str
    strength: Amount
    accuracy: Share
    low: Share
    high: Share


class Insight(Record):
    """What the network looks at, and what damage and attacks leave right."""

    made_by = "09_insight"
    grad_cam_cells: list[Some] | None  # None: it has no convolution
    heat_in_the_middle: Share | None
    insight_images: Some
    insight_accuracy: Share
    corruption_accuracy: Share
    fgsm_accuracy: Share
    pgd_accuracy: Share
    corruptions: Annotated[list[_Damaged], Field(min_length=1)]
    attacks: list[_Damaged]

    @field_validator("attacks")
    @classmethod
    def _with_the_strong_one(cls, rows: list[_Damaged], info: ValidationInfo) -> list[_Damaged]:
        strong = info.data.get("pgd_accuracy")
        if strong is not None and ("PGD", strong) not in {(r.damage, r.accuracy) for r in rows}:
            raise ValueError("not the attack whose accuracy is given")
        return rows
