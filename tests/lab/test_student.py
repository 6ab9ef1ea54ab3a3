"""What a student adds to a report: name and own words, which stay text whatever they hold."""

from fabricate import make_run, words
from pypdf import PdfReader
import pytest

from lab import report
from lab.student import about, discussion, reminders
from lab_utils import LabError
from lab_utils.core.handin import _HEADINGS

MARKDOWN = """# Discussion

Nothing new under the *sun*, **but** `x#y` is [here](https://example.org/a).

## What did it learn?

- shapes
- colours
  1. red

#### Code

```
#panic("evaluated")
```

> quoted

#let x = 1 and $y$ and <script>alert(1)</script> ![a picture](../../secret.png)
"""


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "mine")


def test_own_words_are_in_the_report_as_they_were_written(run):
    run.file("discussion.md").write_text(MARKDOWN, encoding="utf-8")
    found = words(report.build(run))
    for part in (
        "In my own words",
        "Nothing new under the sun, but x#y is here",
        "shapes",
        "red",
        '#panic("evaluated")',
        "quoted",
        "#let x = 1 and $y$ and alert(1) a picture",
    ):
        assert part in found  # fmt: skip
    assert "What did it learn?" in found
    annotations = [
        str(a.get_object().get("/A", {}).get("/URI", ""))
        for page in PdfReader(run.file("report.pdf")).pages
        for a in page.get("/Annots", [])
    ]
    assert "https://example.org/a" in annotations


def test_levels_of_headings_are_below_the_reports_and_skip_none(run):
    run.file("discussion.md").write_text(MARKDOWN, encoding="utf-8")
    assert [n["level"] for n in discussion(run) if n["type"] == "heading"] == [2, 3]


def test_headings_without_words_below_them_are_left_out(run):
    assert discussion(run) == []
    run.file("discussion.md").write_text(_HEADINGS, encoding="utf-8")
    assert discussion(run) == []
    assert "In my own words" not in words(report.build(run))
    answered = _HEADINGS.replace("too?\n", "too?\n\nThe cat.\n")
    run.file("discussion.md").write_text(answered, encoding="utf-8")
    assert [node["type"] for node in discussion(run)] == ["heading", "paragraph"]


def test_a_name_of_the_run_goes_before_that_of_params(run):
    assert about(run)["student"] == "Student name"
    assert "still says 'Student name'" in reminders(run)[0]
    run.file("report.yaml").write_text("student: 'Ana Müller #42'\n", encoding="utf-8")
    assert about(run)["student"] == "Ana Müller #42"
    assert about(run)["course"] == "Deep Learning Laboratory"
    assert reminders(run) == []
    assert "Ana Müller #42" in words(report.build(run), 1, 1)


@pytest.mark.parametrize(
    "damaged",
    [b"- a\n- b\n", b"\xff", b"a: b: c", b"", b"title: 0x" + b"f" * 5000],
    ids=["a list", "not UTF-8", "no YAML", "empty", "too many digits"],
)
def test_damaged_names_are_named(run, damaged):
    run.file("report.yaml").write_bytes(damaged)
    with pytest.raises(LabError, match=r"report.yaml is damaged"):
        report.build(run)


def test_words_in_another_encoding_are_named(run):
    run.file("discussion.md").write_bytes("Größe".encode("latin-1"))
    with pytest.raises(LabError, match="not text in UTF-8"):
        report.build(run)


def test_a_link_out_of_the_run_is_not_read(run, tmp_path):
    (tmp_path / "secret.md").write_text("# T\n\nsecret words")
    run.file("discussion.md").symlink_to(tmp_path / "secret.md")
    assert discussion(run) == []


@pytest.mark.parametrize(
    "text",
    ["\ufeffIt learned.", "- a\n\n  ### deep\n", "> #### x\n", "##\n\nwords", "## ![](x)\n\nwords",
     "## <b></b>\n\nwords", "> # Big\n"],
)  # fmt: skip
def test_odd_markdown_makes_a_report_all_the_same(run, text):
    run.file("discussion.md").write_text(text, encoding="utf-8")
    assert "In my own words" in words(report.build(run))


def test_names_that_unfold_without_end_are_left_out(run):
    levels = ["a: &a0 [ha]", *(f"x{i}: &a{i} [{f'*a{i - 1},' * 9}]" for i in range(1, 9))]
    run.file("report.yaml").write_text("\n".join([*levels, "student: *a8"]), encoding="utf-8")
    assert all(len(value) < 100 for value in about(run).values())
