"""The JSON files of a run's steps, as those who read them rely on them: a class for each."""

from lab_utils.core.records.record import close, read
from lab_utils.core.records.results import Deployment, Evaluation, Insight, Metrics, Speed
from lab_utils.core.records.training import Data, Hardware, Model, Training

KINDS = (Hardware, Data, Model, Training, Evaluation, Metrics, Deployment, Speed, Insight)

__all__ = ["KINDS", "close", "read", *(kind.__name__ for kind in KINDS)]
