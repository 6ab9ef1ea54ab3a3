"""The model card (Mitchell et al., arXiv:1810.03993), written from a run's numbers."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from lab_utils.core.run import METRICS, Run
from lab_utils.data.dataset import Dataset
from lab_utils.deployment._old_export import Format
from lab_utils.training.checkpoints import Best


def model_card(run: Run, dataset: Dataset, best: Best, formats: Sequence[Format]) -> str:
    """Markdown for whoever gets the exported files: what the model is, does and does not do.

    The words are in ``model_card.md.jinja``; most numbers are those that notebook 05 wrote, and
    what damage and attacks do those of 09 where it has run.
    """
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["number"] = format  # 0.781 | number(".1%")
    words = Path(__file__).with_name("model_card.md.jinja").read_text(encoding="utf-8")
    evaluation = run.read_json("evaluation.json")
    return environment.from_string(words).render(
        run=run,
        made=run.manifest["04_training"],
        dataset=dataset,
        best=best,
        metrics=run.read_json(METRICS),
        insight=run.read_json("insight.json") if run.done("09_insight") else None,
        classes=sorted(evaluation["per_class"], key=lambda row: row["recall"]),
        pairs=evaluation["confused_pairs"],
        formats=formats,
    )
