"""Exercises: a check says open, right, or what is wrong with which input, and never raises."""

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from IPython.display import display

from lab_utils.core.show import Notice


class Answer(NamedTuple):
    """What a check finds: ``open`` (not begun), ``right`` or ``wrong``, and a sentence about it."""

    status: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.status}: {self.sentence}" if self.sentence else self.status


class _OpenError(Exception):
    pass


class _WrongError(Exception):
    pass


def call(answer: Callable[..., Any], *inputs: Any) -> Any:
    """What the student's function gives for ``inputs``; without a result the exercise is open."""
    result = answer(*inputs)
    if result is None or result is ...:
        raise _OpenError("it returns nothing: replace the dots, or return your result")
    return result


def expect(right: object, sentence: str) -> None:
    """End the check with ``sentence``, what is wrong with which input, unless it is ``right``."""
    if not right:
        raise _WrongError(sentence)


def exercise(test: Callable[[Any], str]) -> Callable[[Any], None]:
    """Make a check of ``test``, which asks the student's answer with ``call`` and ``expect``.

    ``test`` returns what a right answer has shown, for the line that is shown. The check shows
    one line, whatever the answer does; its attribute ``judge`` returns it as an ``Answer``.
    """

    def judge(answer: Any) -> Answer:
        try:
            if answer is ... or answer is None:
                raise _OpenError("replace the dots by your answer and run the cell again")
            return Answer("right", test(answer))
        except _OpenError as nothing:
            return Answer("open", str(nothing))
        except _WrongError as wrong:
            return Answer("wrong", str(wrong))
        except Exception as error:  # whatever a student's code may raise
            return Answer("wrong", f"it stops with {type(error).__name__}: {error}")

    @wraps(test)
    def check(answer: Any) -> None:
        display(Notice(str(judge(answer))))  # as HTML its words wrap; printed text breaks them

    check.judge = judge
    return check
