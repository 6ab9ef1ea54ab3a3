"""Finished runs side by side: loaded, grouped by recipe, tested, and put into sentences.

    results = find("exp1_baseline", "exp2_low_lr")   # list[Result]: one a run
    groups = group(results)                          # list[Group]: one a recipe, its seeds together
    pairs = compare(groups)                          # list[Pair]: every two of them, tested
    paragraph(groups, pairs)                         # list[str]: what that says

``results`` loads from run folders and from the committed ``report/results``; ``groups`` has means
and intervals; ``significance`` has McNemar's and the paired test; ``effects`` has what one setting
does (sensitivity, ablation); ``sentences`` has the words. For the report and notebook 07 ``gather``
finds the runs, ``overview`` chooses what is shown, ``drawings`` draws it, ``section`` has it all.
"""

from lab_utils.comparison.effects import Effect, ablation, sensitivity
from lab_utils.comparison.groups import (
    Group,
    check_same_data,
    group,
    named,
    rows,
    table,
    write_csv,
)
from lab_utils.comparison.results import Result, find, load, results_dir
from lab_utils.comparison.sentences import cross_validations, paragraph, sentence
from lab_utils.comparison.significance import (
    McNemar,
    Pair,
    compare,
    mcnemar,
    one_batch,
    reference_of,
)

__all__ = [
    "Effect",
    "Group",
    "McNemar",
    "Pair",
    "Result",
    "ablation",
    "check_same_data",
    "compare",
    "cross_validations",
    "find",
    "group",
    "load",
    "mcnemar",
    "named",
    "one_batch",
    "paragraph",
    "reference_of",
    "results_dir",
    "rows",
    "sensitivity",
    "sentence",
    "table",
    "write_csv",
]
