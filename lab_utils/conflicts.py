"""Settings that are right each on its own and do not go together."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab_utils.settings import Settings


def conflict(s: "Settings") -> str | None:
    """The first pair of settings that cannot both be meant, with the mend, as a sentence."""
    lowest = s.plateau_patience + 2  # the epoch that lowers the rate, and one to see what it does
    problems = [
        (
            s.pretrained and s.model != "resnet18",
            "pretrained=true needs model=resnet18; no other model has ImageNet weights.",
        ),
        (
            s.fold and not s.folds,
            f"fold={s.fold} needs folds, the number of parts; set that too.",
        ),
        (
            s.folds and s.fold >= s.folds,
            f"fold={s.fold} is not there: folds={s.folds} are numbered from 0; use a lower one.",
        ),
        (
            s.warmup_epochs and s.schedule in ("one_cycle", "linear"),
            f"schedule={s.schedule} warms up by warmup_fraction; set that, not warmup_epochs.",
        ),
        (
            s.warmup_epochs >= s.epochs,
            f"warmup_epochs={s.warmup_epochs:g} must be less than epochs={s.epochs}.",
        ),
        (
            s.schedule in ("cosine", "warm_restarts", "plateau") and s.min_lr >= s.lr,
            f"min_lr={s.min_lr:g} must be less than lr={s.lr:g}.",
        ),
        (
            s.schedule == "plateau" and s.gamma == 1,
            "schedule=plateau multiplies the learning rate by gamma; set gamma below 1.",
        ),
        (
            s.schedule == "plateau" and s.patience and s.patience < lowest,
            f"patience={s.patience} would end the training before schedule=plateau can lower the "
            f"learning rate; set patience={lowest} or more, or plateau_patience lower.",
        ),
        (
            (s.mixup or s.cutmix) and s.batch_size == 1,
            "mixup and cutmix mix the images of a batch; set batch_size to 2 or more.",
        ),
        (  # https://github.com/pytorch/pytorch/issues/169545
            s.compile and s.accumulate > 1,
            "compile=true lets each batch overwrite the gradients of the one before, and cannot "
            "add them up; set accumulate=1.",
        ),
    ]
    return next((sentence for wrong, sentence in problems if wrong), None)
