"""Many runs after each other: experiments, seeds, a grid of settings, a recipe's parts taken out.

Each is an ordinary run folder with notebooks 04 and 05 executed; `lab run` completes it. All the
settings are checked before the first run trains; a run that fails does not stop the others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import mean
import time
from typing import Any

import yaml

from lab.runner import execute
from lab_utils import LabError
from lab_utils.core.params import default_name, load_params, parse_assignments, resolve
from lab_utils.core.run import Run, runs_dir
from lab_utils.core.settings import Settings

STEPS = ("04_training", "05_evaluation")  # what a comparison needs of a run


@dataclass
class Outcome:
    """How the runs of a sweep ended."""

    skipped: list[Run] = field(default_factory=list)  # they were finished before
    done: list[Run] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # a sentence for each run's name


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
    varied = {"seed": range(seeds)} if seeds is not None else {}
    for key in (*varied, *grid):
        if key in changes or (key in varied and key in grid):
            raise LabError(f"{key} is given twice; leave it out of --set or of what varies it.")
    found: dict[str, Settings] = {}
    for seed in varied.get("seed", [None]):
        for experiment in experiments:
            for recipe in [
                dict(zip(grid, values, strict=True)) for values in product(*grid.values())
            ]:
                own = {} if seed is None else {"seed": seed}
                full = resolve(experiment, {**changes, **recipe, **own})
                parts = [_without(experiment, item, {**changes, **own}, full) for item in ablate]
                for settings in (full, *parts):
                    name = default_name(settings)
                    if found.setdefault(name, settings) != settings:
                        raise LabError(
                            f"Two runs of the sweep would have the name {name!r}, which is cut to "
                            "120 characters; change fewer settings at once."
                        )
    return list(found.values())


def parse_grid(items: Iterable[str]) -> dict[str, list[Any]]:
    """``["lr=1e-3,5e-4", "flip=true,false"]`` as lists of values, which are YAML.

    Raises LabError where an item is not of the form key=value,value.
    """
    grid = {}
    for item in items:
        key, equals, text = item.partition("=")
        try:
            values = yaml.safe_load(f"[{text}]") if equals and key.strip() else None
        except yaml.YAMLError:
            values = None
        if not values:
            raise LabError(f"--grid takes key=value,value, not {item!r}; for example lr=1e-3,5e-4.")
        if key.strip() in grid:
            raise LabError(f"{key.strip()} is given twice in --grid; give all its values at once.")
        grid[key.strip()] = values
    return grid


def sweep(settings: Sequence[Settings], say: Callable[[str], None] = print) -> Outcome:
    """Execute the runs of ``plan``; ``say`` gets lines about the progress and the time left.

    What is finished is skipped, what was stopped goes on; a run that fails is noted and the next
    begins. Raises LabError, before anything is trained, where a run's folder holds other settings,
    or where this machine or the network cannot do what the settings ask for.
    """
    for one in settings:
        if _pending(Run(runs_dir() / default_name(one), one)):
            _try(one)
    runs = [Run.create(one) for one in settings]
    outcome = Outcome(skipped=[run for run in runs if not _pending(run)])
    if outcome.skipped:
        say(f"{len(outcome.skipped)} of {len(runs)} runs are finished already.")
    took = [(run.settings, _recorded(run)) for run in outcome.skipped]
    for number, run in enumerate(runs, start=1):
        if run in outcome.skipped:
            continue
        todo = [other for other in runs[number - 1 :] if other not in outcome.skipped]
        say(f"run {number} of {len(runs)}: {run.name}{_left(seconds_left(todo, took))}")
        started = time.perf_counter()
        try:
            execute(run, _pending(run), say)
            metrics = run.read_json("metrics.json")
        except (LabError, OSError) as error:
            outcome.failed[run.name] = str(error)
            say(f"      failed: {error}")
            continue
        outcome.done.append(run)
        # The first is less for a run that went on, the second leaves out the start of the kernels.
        took.append((run.settings, max(time.perf_counter() - started, _recorded(run))))
        warning = "" if metrics["data_is_cifar10"] else f" (data: {metrics['data']}, NOT CIFAR-10)"
        say(f"      test accuracy {metrics['test_accuracy']:.2%}{warning}")
    return outcome


def seconds_left(todo: Sequence[Run], took: Sequence[tuple[Settings, float]]) -> float | None:
    """How long ``todo`` will take, from what runs ``took`` in seconds; None where none did.

    A run takes what its recipe took with another seed; else, for each of its epochs, what one took
    with the same network, or with any.
    """
    if not took:
        return None

    def estimate(settings: Settings) -> float:
        same = [s for known, s in took if known.recipe() == settings.recipe()]
        if same:
            return mean(same)
        per_epoch = [s / known.epochs for known, s in took if known.model == settings.model]
        return settings.epochs * mean(per_epoch or [s / known.epochs for known, s in took])

    return sum(estimate(run.settings) for run in todo)


def _try(settings: Settings) -> None:
    """LabError where the device, the precision or the network of ``settings`` cannot be had."""
    from lab_utils.model import networks  # loads torch
    from lab_utils.model.build import model_options
    from lab_utils.model.networks.resnet18 import load_imagenet
    from lab_utils.setup import hardware

    hardware.choose(settings)
    size = settings.image_size if settings.data == "folder" else 32
    model = networks.build(settings.model, image_size=size, **model_options(settings))
    if settings.pretrained:
        load_imagenet(model)


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return (
        f" (about {seconds:.0f} s left)"
        if seconds < 100
        else f" (about {seconds / 60:.0f} min left)"
    )


def _recorded(run: Run) -> float:
    return sum(run.manifest[step]["seconds"] for step in STEPS)


def _pending(run: Run) -> list[str]:
    return [step for step in STEPS if not run.done(step)]


def _without(experiment: str, item: str, changes: Mapping[str, Any], full: Settings) -> Settings:
    """The recipe with one part changed: ``item`` is ``key=value``, or ``key`` for the default."""
    if "=" in item:
        part = parse_assignments([item], "--ablate")
    else:
        known = Settings.model_fields.get(item)
        defaults = load_params()["defaults"]
        part = {item: defaults.get(item, known.default if known else None)}
    settings = resolve(experiment, {**changes, **part})
    if settings == full:
        raise LabError(f"--ablate {item} changes nothing in {experiment}; leave it out.")
    return settings
