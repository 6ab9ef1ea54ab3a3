"""Many runs after each other: experiments, seeds, a grid of settings, a recipe's parts taken out.

Each is an ordinary run folder with notebooks 04 and 05 executed; `lab run` completes it. All the
settings are checked before the first run trains; a run that fails does not stop the others.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import product
import time
from typing import Any

from lab.runner import execute, result
from lab_utils import LabError
from lab_utils.core.files import parse_yaml
from lab_utils.core.params import load_params, parse_assignments, resolve
from lab_utils.core.run import Run
from lab_utils.core.settings import Settings

STEPS = ("04_training", "05_evaluation")  # what a comparison needs of a run


def plan(
    experiments: Iterable[str],
    changes: Mapping[str, Any],
    grid: Mapping[str, Sequence[Any]],
    ablate: Sequence[str] = (),
    seeds: int | None = None,
) -> list[Settings]:
    """The settings of every run of a sweep, each once: for seed after seed, all the recipes.

    ``changes`` hold for all runs; ``grid`` gives the values of which every combination is run;
    ``ablate`` takes ``key=value``, or ``key`` for what the lab does without a recipe: the recipe as
    it is, and once more with each of these alone. ``seeds`` counts them from 0; None leaves the
    experiments' own. Raises LabError for whatever is wrong with any of them.
    """
    if grid and ablate:
        raise LabError("A sweep takes --grid or --ablate, not both; make two sweeps.")
    if seeds is not None and seeds < 1:
        raise LabError(f"--seeds takes a number of seeds from 1, not {seeds}.")
    varied = [*grid, *(["seed"] if seeds else [])]
    for key in varied:
        if key in changes or varied.count(key) > 1:
            raise LabError(f"{key} is given twice; leave it out of --set or of what varies it.")
    found: list[Settings] = []
    own_seeds = [{"seed": seed} for seed in range(seeds)] if seeds else [{}]
    for seed, experiment, values in product(own_seeds, experiments, product(*grid.values())):
        full = {**changes, **dict(zip(grid, values, strict=True)), **seed}
        recipe = resolve(experiment, full)
        for settings in (recipe, *(_without(part, recipe, full) for part in ablate)):
            if settings not in found:
                found.append(settings)
    return found


def _without(part: str, recipe: Settings, changes: Mapping[str, Any]) -> Settings:
    """``recipe`` with one part changed: ``key=value``, or ``key`` for the value of the defaults."""
    if "=" in part:
        value = parse_assignments([part], "--ablate")
    else:
        known = Settings.model_fields.get(part)
        value = {part: load_params().defaults.get(part, known.default if known else None)}
    settings = resolve(recipe.experiment, {**changes, **value})
    if settings == recipe:
        raise LabError(f"--ablate {part} changes nothing in {recipe.experiment}; leave it out.")
    return settings


def parse_grid(items: Iterable[str]) -> dict[str, list[Any]]:
    """``["lr=1e-3,5e-4", "flip=true,false"]`` as lists of values, which are YAML.

    Raises LabError where an item is not of the form key=value,value.
    """
    grid: dict[str, list[Any]] = {}
    for item in items:
        key, _, text = (part.strip() for part in item.partition("="))
        try:
            values = parse_yaml(f"[{text}]")
        except ValueError:
            values = None
        if not key or not values:
            raise LabError(f"--grid takes key=value,value, not {item!r}; for example lr=1e-3,5e-4.")
        if key in grid:
            raise LabError(f"{key} is given twice in --grid; give all its values at once.")
        grid[key] = values
    return grid


def sweep(settings: Sequence[Settings]) -> dict[str, str]:
    """Execute the runs of ``plan`` and print the progress; what went wrong by the run's name.

    What is finished is skipped, what was stopped goes on; a run that fails does not stop the next.
    Raises LabError, before anything is trained, where a run's folder holds other settings.
    """
    begun, failed = time.perf_counter(), {}
    runs = [Run.create(one) for one in settings]
    todo = [run for run in runs if _pending(run)]
    if finished := len(runs) - len(todo):
        print(f"{finished} of {len(runs)} runs are finished already.")
    for position, run in enumerate(todo):
        left = time_left(todo[position:], [run for run in runs if not _pending(run)])
        print(f"run {runs.index(run) + 1} of {len(runs)}: {run.name}{left}")
        try:
            execute(run, _pending(run))
            print(f"      {result(run)}")
        except (LabError, OSError) as error:
            failed[run.name] = str(error)
            print(f"      failed: {error}")
    print(
        f"done: {len(todo) - len(failed)}, finished before: {finished}, failed: {len(failed)}, "
        f"wall time: {time.perf_counter() - begun:.0f} s"
    )
    return failed


def time_left(todo: Sequence[Run], done: Sequence[Run]) -> str:
    """How long ``todo`` will take, by the epochs of the runs that are ``done``; empty for none."""
    if not done:
        return ""
    seconds = sum(run.manifest[step]["seconds"] for run in done for step in STEPS)
    left = seconds * sum(r.settings.epochs for r in todo) / sum(r.settings.epochs for r in done)
    return f" (about {timedelta(seconds=round(left))} left)"


def _pending(run: Run) -> list[str]:
    return [step for step in STEPS if not run.done(step)]
