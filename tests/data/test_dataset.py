"""How images are divided into training, validation and test, and what is said of them."""

import ast
from dataclasses import replace

from fabricate import begin
import numpy as np
import pytest
import torch
from toy import CPU, Watch

from lab_utils import LabError
from lab_utils.core.params import project_root
from lab_utils.core.run import BUILT_ON, STEPS
from lab_utils.data import dataset as dataset_module
from lab_utils.data.dataset import banner, channel_statistics, load, load_test
from lab_utils.data.images import Images
from lab_utils.training.fit import fit
from lab_utils.training.loop import Training


def load_run(step="02_data", **overrides):
    run = begin(step, "quick", **overrides)
    return run, load(run)


def test_the_split_is_stratified_disjoint_and_follows_from_the_seed(runs):
    _, one = load_run(data="shapes", name="one")
    _, again = load_run(data="shapes", name="again")
    _, other = load_run(data="shapes", name="other", seed=7)
    assert (len(one.train), len(one.val)) == (9000, 1000)
    assert one.val.targets.bincount().tolist() == [100] * 10
    assert one.train.targets.bincount().tolist() == [900] * 10
    assert torch.equal(one.val.images, again.val.images)
    assert not torch.equal(one.val.images, other.val.images)
    train = {x.numpy().tobytes() for x in one.train.images}
    assert not any(x.numpy().tobytes() in train for x in one.val.images)


def test_train_size_and_test_size_keep_the_classes_in_proportion(runs):
    run, dataset = load_run("05_evaluation", data="shapes", train_size=1000, test_size=100)
    assert len(dataset.train) + len(dataset.val) == 1000
    assert load_test(run, dataset, "a test").targets.bincount().tolist() == [10] * 10


def test_who_loads_the_images_computes_with_the_threads_of_the_run(runs):
    before = torch.get_num_threads()
    load_run(data="shapes", train_size=200, threads=before + 1)
    assert torch.get_num_threads() == before + 1
    torch.set_num_threads(before)


def test_more_images_than_there_are_is_refused(runs):
    with pytest.raises(LabError, match="20,000 images were asked for and the split has 10,000"):
        load_run(data="shapes", train_size=20_000)


@pytest.mark.parametrize("changed", ["nothing", "pixels", "targets"])
def test_the_fingerprint_is_of_the_pixels_and_of_the_labels(runs, monkeypatch, changed):
    arrays = {"pixels": np.zeros((40, 3, 8, 8), np.uint8), "targets": np.arange(40) % 2}
    seen = []
    for name in ("nothing", changed):
        if name != "nothing":
            arrays[name].flat[7] ^= 1
        found = Images(**arrays, classes=("a", "b"))
        monkeypatch.setattr(dataset_module, "read", lambda *_, found=found: found)
        seen.append(load_run(data="shapes", name=f"{len(seen)}")[1].fingerprint)
    assert (seen[0] == seen[1]) == (changed == "nothing")


def test_channel_statistics_are_numpys():
    images = torch.randint(0, 256, (50, 3, 8, 8), dtype=torch.uint8)
    mean, std = channel_statistics(images)
    x = images.numpy() / 255
    np.testing.assert_allclose(mean, x.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, x.std((0, 2, 3)), rtol=1e-12)


def test_a_subset_that_cannot_keep_the_classes_is_one_sentence(runs):
    with pytest.raises(LabError, match="in proportion to 10 classes"):
        load_run(data="shapes", train_size=9_995)


def test_every_image_is_held_out_by_one_fold_and_classes_stay_in_proportion(runs):
    held_out = []
    for fold in range(3):
        settings = {"data": "shapes", "train_size": 200, "folds": 3, "fold": fold}
        _, dataset = load_run(**settings)
        counts = dataset.val.targets.bincount(minlength=10)
        assert set(counts.tolist()) <= {6, 7}
        train = {x.numpy().tobytes() for x in dataset.train.images}
        val = {x.numpy().tobytes() for x in dataset.val.images}
        assert len(train | val) == 200
        held_out.append(val)
        _, again = load_run(**settings, name="again-" + str(fold))
        assert torch.equal(again.val.images, dataset.val.images)
    assert len(set.union(*held_out)) == sum(map(len, held_out)) == 200


def test_more_folds_than_images_of_a_class_are_refused(runs):
    with pytest.raises(LabError, match=r"folds=21 needs as many .* one class has 20; use fewer"):
        load_run(data="shapes", train_size=200, folds=21)


@pytest.mark.parametrize("step", [step for step, needed in BUILT_ON.items() if not needed])
def test_no_step_before_the_model_is_chosen_opens_the_test_split(runs, step):
    run, dataset = load_run("05_evaluation", data="shapes", train_size=200)
    run.begin(step)
    with pytest.raises(LabError, match=f"{step} may not open the test split; the validation"):
        load_test(run, dataset, "a peep")
    assert {*STEPS[:4], "08_speed"} == {name for name, needed in BUILT_ON.items() if not needed}


def test_the_test_split_is_not_opened_before_a_training_is_finished(runs):
    run, dataset = load_run(data="shapes", train_size=200)
    run.step = ""  # as `lab serve` reads a run
    with pytest.raises(LabError, match="no finished 04_training"):
        load_test(run, dataset, "a peep")


def test_the_manifest_tells_by_whom_when_and_what_for_the_test_split_was_opened(runs):
    run, dataset = load_run("05_evaluation", data="shapes", train_size=200, test_size=20)
    load_test(run, dataset, "to judge")
    run.finish()
    run.begin("05_evaluation")  # again: the first time stays noted
    load_test(run, dataset, "to judge again")
    opened = run.manifest["04_training"]["test_split_opened"]
    assert [(o["by"], o["for"]) for o in opened] == [
        ("05_evaluation", "to judge"), ("05_evaluation", "to judge again"),
    ]  # fmt: skip
    assert all(o["at"] >= run.manifest["04_training"]["started"] for o in opened)
    run.begin("04_training")
    run.train_anew()  # other weights, which no test image has judged
    assert "test_split_opened" not in run.manifest["04_training"]


def test_a_training_with_early_stopping_reads_training_images_alone(runs, monkeypatch):
    splits, read = [], dataset_module.read

    def noted(name, split, settings):
        splits.append(split)
        return read(name, split, settings)

    monkeypatch.setattr(dataset_module, "read", noted)
    small = {"train_size": 100, "batch_size": 45, "epochs": 2, "patience": 1, "threads": 1}
    run, dataset = load_run("04_training", data="shapes", **small)
    fit(Training(run.settings, dataset, CPU), run.path, progress=Watch())
    assert splits == ["train"]


def test_nothing_else_in_the_lab_opens_a_test_split():
    """Where ``read``, of whatever module, is asked for "test", or for a split not known before."""
    root, found = project_root(), set()
    tops = "lab", "lab_utils", "solutions"
    for path in (path for top in tops for path in (root / top).rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1] == "read":
                splits = [a for a in call.args if ast.unparse(a) in ("'test'", "split")]
                found |= {path.relative_to(root).as_posix() for _ in splits}
    own = {"lab_utils/data/sources.py", "lab_utils/data/dataset.py"}  # the first hands it on
    assert found == own
    for path in (root / "notebooks").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        assert "data.sources import read" not in text and "open_test" not in text


def test_the_banner_names_run_data_and_what_was_left_out(runs):
    run, dataset = load_run(data="shapes", train_size=200, name="mine")
    told = banner(run, dataset)
    assert told.text == (
        "Run 'mine': Shapes, 180 training and 20 validation images, 10 classes; model simplecnn, "
        "seed 42."
    )
    assert told.loud == ""
    run.opened_last = True
    for count, names in ((5, "0, 1, 2, 3, 4."), (6, "0, 1, 2, 3, 4, ….")):
        files = tuple(map(str, range(count)))
        told = banner(run, replace(dataset, warning="Not CIFAR-10.", unreadable=files))
        assert told.text.startswith("Run 'mine', the one opened last: Shapes")
        assert told.text.endswith(f" {count} unreadable files were left out: {names}")
        assert told.loud == "Not CIFAR-10."
