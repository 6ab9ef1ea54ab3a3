"""What params.yaml, LAB_SET and --set may say, and how a mistake is answered."""

import pytest

from lab.cli import main
from lab_utils import LabError
from lab_utils.core.params import (
    default_name,
    load_params,
    load_settings,
    parse_assignments,
    resolve,
)
from lab_utils.core.run import Run
from lab_utils.core.settings import Settings


@pytest.fixture(autouse=True)
def _no_outside_settings(monkeypatch):
    monkeypatch.delenv("LAB_SET", raising=False)


@pytest.mark.parametrize("experiment", load_params().experiments)
def test_every_experiment_of_params_yaml_is_valid(experiment):
    assert load_settings(experiment).experiment == experiment


def test_overrides_win_over_lab_set_which_wins_over_params_yaml(monkeypatch):
    monkeypatch.setenv("LAB_SET", "epochs=7 batch_size=32")
    settings = load_settings("quick", epochs=3)
    assert (settings.epochs, settings.batch_size) == (3, 32)


def test_an_override_of_none_keeps_the_value():
    assert load_settings("quick", epochs=None) == load_settings("quick")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"epoch": 3}, ["'epoch'", "did you mean 'epochs'"]),
        ({"experiment_": 1}, ["experiment_"]),
        ({"experiment": "smoke"}, ["Unknown setting 'experiment'", "settings.py lists them"]),
        ({"epochs": 0}, ["epochs=0", "greater than or equal to 1"]),
        ({"epochs": 2.5}, ["epochs=2.5", "integer"]),
        ({"lr": "fast"}, ["lr='fast'", "number"]),
        ({"data": "mnist"}, ["data='mnist'", "'cifar10'"]),
        ({"val_fraction": 1.0}, ["val_fraction=1.0", "less than 1"]),
        ({"widths": [-8, 64, 64]}, ["widths.0=-8", "greater than or equal to 8"]),
        ({"widths": [8, 12, 64]}, ["widths.1=12", "multiple of 8"]),
        ({"model": "resnet999"}, ["resnet999", "simplecnn"]),
        (
            {"color_jitter": [0.2, 0.2, 0.2, 0.6]},
            ["color_jitter.3=0.6", "less than or equal to 0.5"],
        ),
        ({"mixup": -1}, ["mixup=-1", "greater than or equal to 0"]),
        # Right each on its own, wrong together
        ({"fold": 1}, ["fold=1", "set that too"]),
        ({"folds": 5, "fold": 5}, ["fold=5", "folds=5", "use a lower one"]),
        (
            {"schedule": "one_cycle", "warmup_epochs": 1},
            ["one_cycle", "set that, not warmup_epochs"],
        ),
        ({"schedule": "cosine", "warmup_epochs": 6, "epochs": 6}, ["less than epochs=6"]),
        ({"schedule": "cosine", "min_lr": 0.1, "lr": 0.1}, ["min_lr=0.1", "less than lr=0.1"]),
        ({"schedule": "plateau", "gamma": 1}, ["set gamma below 1"]),
        ({"schedule": "plateau", "plateau_patience": 3, "patience": 4}, ["set patience=5 or more"]),
        ({"pretrained": True, "model": "convnet"}, ["pretrained=true needs model=resnet18"]),
        ({"train_sides": [24, 32]}, ["choose another than simplecnn"]),
        ({"cutmix": 1, "batch_size": 1}, ["set batch_size to 2"]),
        ({"compile": True, "accumulate": 2}, ["compile=true", "set accumulate=1"]),
    ],
)
def test_a_wrong_setting_is_named_with_the_mend(overrides, words):
    with pytest.raises(LabError) as caught:
        load_settings("quick", **overrides)
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


def test_an_unknown_experiment_lists_the_known_ones():
    with pytest.raises(LabError, match=r"'quack'.*quick"):
        load_settings("quack")


def test_set_reads_yaml_values_and_scientific_notation():
    values = parse_assignments(["epochs=3", "flip=false", "lr=1e-3"])
    settings = load_settings("quick", **values)
    assert (settings.epochs, settings.flip, settings.lr) == (3, False, 1e-3)


def test_a_null_takes_a_setting_away_before_it_is_asked_what_goes_together():
    assert load_settings("convnet").patience == 10
    values = parse_assignments(["patience=null", "schedule=plateau", "plateau_patience=20"])
    assert resolve("convnet", values).patience is None  # a patience of 10 would be too short


def test_lab_run_takes_a_null_at_its_word(runs, monkeypatch):
    seen = []

    def stop(settings, name):
        seen.append(settings)
        raise LabError("far enough")

    monkeypatch.setattr(Run, "create", stop)
    assert main(["run", "convnet", "--set", "patience=null"]) == 2
    assert seen[0].patience is None


@pytest.mark.parametrize("item", ["epochs", "=3", "epochs 3"])
def test_set_without_key_or_equals_is_refused(item):
    with pytest.raises(LabError, match="key=value"):
        parse_assignments([item])


def test_different_settings_never_share_a_default_folder():
    assert default_name(load_settings("quick")) == "quick"
    epochs = load_settings("quick").epochs
    assert default_name(load_settings("quick", epochs=epochs)) == "quick"  # as in params.yaml
    assert default_name(load_settings("quick", epochs=epochs + 1)) == f"quick-epochs={epochs + 1}"
    assert "/" not in default_name(load_settings("quick", data="folder", data_folder="a/b"))


@pytest.mark.parametrize(
    "text",
    [
        "experiments: 3",
        "experiments: {quick: 3}",
        "experiments: {quick: {1: 2}}",
        "defaults: 4\nexperiments: {quick: {}}",
        "report: x\nexperiments: {quick: {}}",
        "experiments: [",
        "student: M\xfcller",
    ],
)
def test_a_params_yaml_that_was_edited_wrongly_is_one_sentence(tmp_path, monkeypatch, text):
    (tmp_path / "lab_utils").mkdir()
    (tmp_path / "params.yaml").write_bytes(text.encode("latin-1"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LabError) as caught:
        load_settings("quick")
    assert "\n" not in str(caught.value)


def test_an_experiment_may_be_named_by_a_number(tmp_path, monkeypatch):
    (tmp_path / "lab_utils").mkdir()
    (tmp_path / "params.yaml").write_text("experiments: {2024: {epochs: 2}}")
    monkeypatch.chdir(tmp_path)
    assert load_settings("2024").epochs == 2


def test_the_folds_say_how_much_is_held_out():
    settings = load_settings("quick", folds=5, fold=4)
    assert settings.val_fraction == 1 / 5
    assert load_settings("quick", val_fraction=0.3).val_fraction == 0.3
    assert Settings(**settings.model_dump()) == settings  # as it comes back from settings.yaml
    assert default_name(settings) == "quick-folds=5-fold=4"


@pytest.mark.parametrize(
    "item",
    [
        "title=2024-13-45", "lr=!!int abc", "flip=!!bool maybe", "epochs=" + "9" * 5000,
        "lr=" + "[" * 2000, "mixup=.inf", "cutmix=1e309", "clip_norm=.inf", "weight_decay=-.inf",
        "min_lr=.nan", "lr=.nan", "epochs=true", "momentum=yes", "cutout=1e23",
        "train_size=0x" + "f" * 5000, "batch_size=" + "9" * 4000, "accumulate=1e23",
        "lr=!!python/name:os.system x", "color_jitter={a: 1, a: 2}",
    ],
    ids=lambda item: item[:30],
)  # fmt: skip
def test_a_strange_value_is_refused_in_one_short_sentence(runs, capsys, item):
    assert main(["run", "smoke", "--set", item]) == 2
    said = capsys.readouterr().err
    assert said.startswith("lab: ")
    assert said.count("\n") == 1
    assert len(said) < 300
    assert not runs.exists()


def test_strange_values_of_a_grid_an_ablation_and_lab_set_are_refused_too(runs, monkeypatch):
    for words in (["--grid", "lr=" + "[" * 2000], ["--ablate", "lr=!!int abc"]):
        assert main(["sweep", "smoke", *words]) == 2
    monkeypatch.setenv("LAB_SET", "lr=!!int")
    assert main(["run", "smoke"]) == 2
    assert not runs.exists()


@pytest.mark.parametrize(
    "text",
    ["experiments: {a: {lr: 1, lr: 2}}", "experiments:\n  a: {}\n  a: {}", "report: 2024-13-45",
     "[" * 3000, "a: !!int b", "\x00"],
    ids=["key twice", "experiment twice", "no date", "deep", "no integer", "no text"],
)  # fmt: skip
def test_a_params_yaml_that_is_wrong_is_refused_in_a_sentence(tmp_path, monkeypatch, capsys, text):
    monkeypatch.setattr("lab_utils.core.params.project_root", lambda: tmp_path)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    assert main(["list"]) == 2
    said = capsys.readouterr().err
    assert "params.yaml" in said
    assert said.count("\n") == 1


def test_a_trillion_laughs_are_refused_and_never_written_out(tmp_path, monkeypatch, capsys):
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 14)]
    text = "experiments:\n  x:\n    lr: *a13\n"
    monkeypatch.setattr("lab_utils.core.params.project_root", lambda: tmp_path)
    lines = ["report:", "  a0: &a0 [ha]", *(f"  {level}" for level in levels), text]
    (tmp_path / "params.yaml").write_text("\n".join(lines), encoding="utf-8")
    assert main(["run", "x"]) == 2
    assert len(capsys.readouterr().err) < 300
