"""Which finished runs there are to compare, and which of them belong together."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lab_utils import LabError
from lab_utils.comparison.results import Result, finished, load, results_dir
from lab_utils.run import Run, runs_dir


def gather(*folders: Path) -> list[Result]:
    """The finished runs below ``folders``; without any, of ``runs/`` and ``report/results``.

    Those that are damaged have no figures to compare with and are left out.
    """
    results = []
    for place in folders or (runs_dir(), results_dir()):
        for folder in finished(place) if place.is_dir() else []:
            try:
                results.append(load(folder))
            except LabError:
                continue
    return results


def around(run: Run) -> tuple[list[Result], dict[str, int]]:
    """``run`` and what may stand in one table with it, ``run`` first; and what may not.

    Compared are the runs beside it and those in ``report/results`` that used the same data and test
    split. Of the others, how many there are by the name of their data.
    Raises LabError where ``run`` itself has no result.
    """
    own = load(run.path)
    places = [runs_dir()] if run.path.parent == runs_dir() else []
    others = [result for result in gather(*places, results_dir()) if result.folder != run.path]
    apart = Counter(result.data for result in others if not _alike(own, result))
    return [own, *(result for result in others if _alike(own, result))], dict(apart)


def largest(results: Sequence[Result]) -> list[Result]:
    """Of ``results`` those on the data that most of them used."""
    counts = Counter((result.fingerprint, result.test_images) for result in results)
    most = counts.most_common(1)[0][0] if counts else None
    return [result for result in results if (result.fingerprint, result.test_images) == most]


def _alike(a: Result, b: Result) -> bool:
    return (a.fingerprint, a.test_images) == (b.fingerprint, b.test_images)
