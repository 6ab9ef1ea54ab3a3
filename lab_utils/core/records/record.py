"""How a step's JSON file is read: with its types and bounds, or one sentence about it.

A field without a default is in every run. None is what a step could not measure, or what an older
lab did not; fields that nobody reads are not looked at. Shares are fractions of 1, losses nats.
"""

import math
from typing import Annotated, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab_utils import LabError
from lab_utils.core.run import RECORDS, Run

Share = Annotated[float, Field(ge=0, le=1 + 1e-6)]  # a mean of float32 may round up
Amount = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]  # others are divided by it
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Some = Annotated[int, Field(ge=1, le=10**15)]  # a number of what there is at least one of
Shape = Annotated[list[Some], Field(min_length=1, max_length=3)]  # of one image: C, H, W
Channels = Annotated[list[Amount], Field(min_length=3, max_length=3)]  # red, green, blue


class Row(BaseModel):
    """An object in a file; a number is no text there, true no number, and none is infinite."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True, defer_build=True)


class Record(Row):
    """What the step ``made_by`` left in its file."""

    made_by: ClassVar[str]

    @classmethod
    def file(cls) -> str:
        """The name of that file in the run folder."""
        return RECORDS[cls.made_by]


Kind = TypeVar("Kind", bound=Record)


def read(run: Run, kind: type[Kind], *needed: str) -> Kind:
    """That record of ``run``; LabError where it is missing or damaged, or one of ``needed`` None.

    The sentence names the file, the first fields that are wrong, and the step that writes it.
    """
    try:
        found = kind.model_validate(run.read_json(kind.file()))
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        places = dict.fromkeys(".".join(map(str, e["loc"])) or "the whole file" for e in wrong)
        shown = [ascii(place)[1:-1][:80] for place in places][:3]  # a key may be any text
        names = ", ".join(shown) + (" and more" if len(places) > 3 else "")
        lacks = all(e["type"] == "missing" for e in wrong)
    else:
        if not (names := ", ".join(n for n in needed if getattr(found, n) is None)):
            return found
        lacks = True
    why = f"or of another version of the lab, without {names}" if lacks else f"({names})"
    raise LabError(f"{run.file(kind.file())} is damaged {why}; run {kind.made_by} again.")


def close(a: float | None, b: float) -> bool:
    """Whether a number in a file, None for NaN, is ``b`` but for rounding."""
    return math.isnan(b) if a is None else math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
