"""Names that Matplotlib's own font cannot write."""

import warnings

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
import pytest

from lab_utils.core.drawing import new_figure
from lab_utils.setup import fonts

NOWHERE = "\U000f0000"  # of Unicode's private use


@pytest.fixture
def system(monkeypatch):
    """A machine that has Matplotlib's STIX beside its usual font; a character of STIX alone."""
    path = font_manager.findfont("STIXGeneral")
    own = FT2Font(font_manager.findfont("DejaVu Sans")).get_charmap()
    only = chr(max(set(FT2Font(path).get_charmap()) - set(own)))
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: ["/no/such.ttf", path])
    fonts.cover.cache_clear()
    with matplotlib.rc_context(), warnings.catch_warnings():
        yield only


def drawn(text):
    """A figure with ``text``, saved; a warning is an error."""
    figure, ax = new_figure(2, 1)
    ax.set_title(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return figure._repr_png_()


def test_a_character_is_drawn_with_the_font_of_the_machine_that_has_it(system, capsys):
    with pytest.raises(UserWarning, match="missing from font"):
        drawn(system)
    fonts.cover(("cat ä", f"dog {system}"))
    assert drawn(f"dog {system}")
    assert matplotlib.rcParams["font.family"] == ["sans-serif", "STIXGeneral"]
    assert capsys.readouterr().out == ""


def test_a_character_that_no_font_has_is_told_once(system, capsys):
    for _ in range(2):
        fonts.cover(("cat", NOWHERE))
    said = capsys.readouterr().out
    assert said.count("No font of this machine can draw") == 1 and NOWHERE in said
    figure, ax = new_figure(2, 1)
    ax.set_title(NOWHERE)
    with warnings.catch_warnings(record=True) as warned:
        figure._repr_png_()
    assert not warned
