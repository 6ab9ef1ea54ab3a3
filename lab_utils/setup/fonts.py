"""Fonts for names that Matplotlib's own font cannot write, such as Chinese ones and emoji."""

from contextlib import suppress
from functools import cache
import warnings

from IPython.display import display
import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from lab_utils.core.show import Notice


@cache
def cover(names: tuple[str, ...]) -> None:
    """Let figures write ``names`` with the fonts of this machine, and say what none of them has.

    The fonts are searched once; Matplotlib takes each character from the first that has it.
    """
    own = font_manager.findfont(
        font_manager.FontProperties(family=matplotlib.rcParams["font.family"])
    )
    missing, families = set("".join(names)), []
    for path in (own, *sorted(font_manager.findSystemFonts(), key=_regular_first)):
        with suppress(OSError, RuntimeError):  # a damaged file, or a kind that it does not know
            font = FT2Font(path)
            found = {c for c in missing if font.scalable and font.get_char_index(ord(c))}
            if found and path != own:
                font_manager.fontManager.addfont(path)  # it may be newer than Matplotlib's list
                families.append(font.family_name)
            missing -= found
        if not missing:
            break
    matplotlib.rcParams["font.family"] = [*matplotlib.rcParams["font.family"], *families]
    if missing:
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the sentence is enough
        display(Notice(
            f"No font of this machine can draw {' '.join(sorted(missing))}: figures have a box in "
            "its place; install a font that has it, such as Noto Sans CJK or Noto Emoji."
        ))  # fmt: skip


def _regular_first(path: str) -> tuple[bool, str]:
    return "regular" not in path.lower(), path
