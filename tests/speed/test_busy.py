"""README's table of the pace beside other programs is what the benchmark measured."""

import re

import pytest

from lab_utils.core.files import read_json
from lab_utils.core.params import project_root

CONDITIONS = {
    "nothing": "quiet",
    "one program that loops": "one looping program",
    "two programs that loop": "two looping programs",
    "another training on two threads": "another training",
}


@pytest.mark.parametrize("beside", CONDITIONS)
def test_readme_has_the_rates_that_were_measured(beside):
    rows = read_json(project_root() / "report/results/busy.json")["rows"]
    found = {row["what"]: row for row in rows}
    name = CONDITIONS[beside]
    itself = found[f"{name}: against itself, quiet"]
    others = [found[f"{name}: against {side}"]["baseline"] for side in ("all", "1", "course")]
    wanted = [f"{itself['ours']:,.0f}", f"{itself['ratio']:.2f}", *(f"{x:,.0f}" for x in others)]
    text = (project_root() / "README.md").read_text(encoding="utf-8")
    line = re.search(rf"^\| {beside} \| (.*) \|$", text, re.MULTILINE)[1]
    assert line.split(" | ") == wanted
