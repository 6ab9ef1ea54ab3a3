"""A check prints one line, whatever a student's answer does."""

import pytest

from lab_utils.exercises.exercise import call, exercise, expect


@exercise
def double(answer):
    """Twice a number."""
    for x in (1, -2):
        found = call(answer, x)
        expect(found == 2 * x, f"for {x} it gives {found}, not {2 * x}")
    return "twice 1 and -2"


def untouched(x): ...


def raises(x):
    return x / 0


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (lambda x: 2 * x, "right: twice 1 and -2"),
        (untouched, "open: it returns nothing: replace the dots, or return your result"),
        (..., "open: replace the dots by your answer and run the cell again"),
        (lambda x: x + 1, "wrong: for -2 it gives -1, not -4"),
        (raises, "wrong: it stops with ZeroDivisionError: division by zero"),
        (3, "wrong: it stops with TypeError: 'int' object is not callable"),
        (lambda x, y: x, "wrong: it stops with TypeError"),
    ],
)
def test_a_check_prints_one_line_and_never_raises(capsys, answer, line):
    assert double(answer) is None
    printed = capsys.readouterr().out
    assert printed.startswith(line) and printed.count("\n") == 1
    assert str(double.judge(answer)) == printed.rstrip("\n")


def test_a_check_keeps_its_name_and_words():
    assert (double.__name__, double.__doc__) == ("double", "Twice a number.")
