"""The definition of a study, and the runs that follow from it."""

import json

import pytest

from primer_tf.errors import UserError
from primer_tf.studies.shapes import shape
from primer_tf.studies.study import Study
from primer_tf.studies.study_file import read_study, write_study
from primer_tf.studies.text_source import resolve_source
from tests.studies.fake_runs import MODELS, compare_study, scale_study


def test_first_seeds_come_first():
    runs = compare_study().runs()
    assert [(run.seed, run.model) for run in runs] == [
        (seed, model) for seed in (0, 1, 2) for model in ("vanilla", "primer_ez")
    ]
    assert {run.steps for run in runs} == {1000}


def test_a_grid_trains_each_size_once_and_small_ones_first():
    study = scale_study()
    first = [run for run in study.runs() if run.seed == 0]
    assert [run.size for run in first][::2] == ["64x1", "96x2", "128x4", "192x6"]
    assert study.point_steps(1000) == [250, 500, 1000]


def test_a_schedule_that_decays_needs_a_run_for_each_length(monkeypatch):
    study = scale_study()
    assert not study.separate_lengths
    together = len(study.runs())
    monkeypatch.setattr(Study, "separate_lengths", True)
    assert len(study.runs()) == 3 * together
    assert {run.steps for run in study.runs()} == {250, 500, 1000}


def test_a_budget_in_flops_is_the_same_for_all():
    study = compare_study(budget={"unit": "flops", "amount": 1e13})
    flops = [run.steps * study.flops_per_step(run.model) for run in study.runs()]
    assert flops == pytest.approx([1e13] * len(flops), rel=0.01)
    assert len({run.steps for run in study.runs()}) == 2


def test_a_budget_in_seconds_needs_times():
    study = compare_study(budget={"unit": "seconds", "amount": 60})
    with pytest.raises(UserError, match="measured times"):
        study.runs()
    steps = {run.model: run.steps for run in study.runs({"vanilla": 0.1, "primer_ez": 0.2})}
    assert steps == {"vanilla": 600, "primer_ez": 300}


def test_a_budget_too_small_to_compare():
    with pytest.raises(UserError, match="at least 2"):
        compare_study(budget={"unit": "flops", "amount": 1e6}).runs()


def test_sizes_make_gated_models_narrower():
    study = scale_study(models={**MODELS, "plusplus": {"preset": "tiny_transformer_plusplus"}})
    assert study.architecture("vanilla", "128x4")["intermediate_dim"] == 512
    assert study.architecture("plusplus", "128x4")["intermediate_dim"] == 344
    costs = [study.cost(name, "128x4").parameters for name in ("vanilla", "plusplus")]
    assert costs[0] == pytest.approx(costs[1], rel=0.02)


def test_a_configuration_has_the_study_s_options(tmp_path):
    study = compare_study()
    run = study.runs()[1]
    config = study.config(run, tmp_path / "vocabulary.model")
    assert (config.steps, config.seed, config.interval, config.batch_size) == (1000, 0, 25, 4)
    assert config.architecture["activation"] == "squared_relu"


def test_a_definition_is_kept(tmp_path):
    study = scale_study(learning_rate_scales=[0.5, 1.0])
    write_study(study, tmp_path)
    write_study(study, tmp_path)
    assert read_study(tmp_path) == study


def test_another_study_is_refused(tmp_path):
    write_study(compare_study(), tmp_path)
    with pytest.raises(UserError, match="another study: its seeds is"):
        write_study(compare_study(seeds=[0]), tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"title": "x"}', json.dumps({"a": 1})])
def test_a_damaged_definition(tmp_path, text):
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(UserError, match="is damaged"):
        read_study(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"baseline": "x"}, "none of the models"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [1, 1]}, "different"),
        ({"kind": "x"}, "kind"),
        ({"lengths": [2]}, "shares"),
        ({"kind": "scale"}, "needs sizes"),
        ({"sizes": {"a": {}}, "budget": {"unit": "seconds", "amount": 9}}, "steps or flops"),
        ({"budget": {"unit": "days", "amount": 1}}, "budget"),
        ({"training": {"x": 1}}, "Unknown training options: x"),
        ({"training": {"seed": 1}}, "decides seed itself"),
        ({"models": {"vanilla": {"preset": "tiny_primer", "kernel": 3}}}, "kernel"),
    ],
)
def test_wrong_values(changes, words):
    with pytest.raises(UserError, match=words):
        compare_study(**changes)


def test_shapes():
    assert shape(64, 2)["num_heads"] == 2
    with pytest.raises(UserError, match="multiple of 32"):
        shape(65, 2)


def test_texts_of_packages():
    assert resolve_source("demo") == "demo"
    assert resolve_source("package:primer_tf/py.typed").endswith("/primer_tf/py.typed")
    with pytest.raises(UserError, match="pip install no_such_package"):
        resolve_source("package:no_such_package/a.txt")
