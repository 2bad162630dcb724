"""Runs of a study are done once, in order, whatever happens; the report tells what happened."""

import csv
import json
from threading import Barrier

import pytest

from primer_tf.errors import UserError
from primer_tf.studies.report import summary, write_report
from primer_tf.studies.run_record import read_record, record_path, write_record
from primer_tf.studies.run_study import chosen_scales, planned_runs, run_studies
from tests.studies.fake_runs import FakeRuns, compare_study, scale_study, start

DECAY = {**compare_study().training, "linear_decay_fraction": 0.5}


def run(folder, study, **kwargs):
    runs = FakeRuns(study, **kwargs)
    run_studies([folder], report=lambda line: None, execute=runs)
    return runs


def test_finished_runs_are_never_repeated(tmp_path):
    study = compare_study()
    folder = start(study, tmp_path / "study")
    with pytest.raises(OSError, match="No space"):
        run(folder, study, fail_at=2)
    before = {path: path.read_bytes() for path in (folder / "runs").iterdir()}
    assert len(before) == 2
    again = run(folder, study)
    assert len(again.done) == 4
    assert all(path.read_bytes() == content for path, content in before.items())
    assert run(folder, study).done == []


def test_studies_are_interleaved_by_seed(tmp_path):
    study = compare_study(seeds=[0, 1])
    folders = [start(study, tmp_path / name) for name in ("one", "two")]
    runs, finished = FakeRuns(study), []
    run_studies(folders, lambda line: None, runs, finished=lambda folder: finished.append(folder))
    assert [each.seed for each in runs.done] == [0] * 4 + [1] * 4
    assert finished == [*folders, *folders]


def test_several_runs_at_a_time(tmp_path):
    study = compare_study()
    folder = start(study, tmp_path / "study")
    runs, together = FakeRuns(study), Barrier(3, timeout=60)

    def execute(path, job):
        if job != "measure":
            together.wait()  # Goes on when three runs are here.
        runs(path, job)

    finished = []
    run_studies([folder], lambda line: None, execute, finished=finished.append, workers=3)
    assert len(runs.done) == len(set(runs.done)) == 6
    assert finished == [folder] * 3


def test_the_first_failure_starts_no_other_run(tmp_path):
    study = compare_study()
    folder = start(study, tmp_path / "study")
    runs = FakeRuns(study, fail_at=2)
    with pytest.raises(OSError, match="No space"):
        run_studies([folder], lambda line: None, runs, workers=2)
    assert len(list((folder / "runs").iterdir())) == len(runs.done) <= 3


def test_runs_of_one_model_train_at_once(tmp_path):
    study = compare_study(lengths=[0.5, 1.0], training=DECAY)
    folder = start(study, tmp_path / "study")
    runs, lines = FakeRuns(study), []
    run_studies([folder], lines.append, runs, vectorize=4)
    assert [(job[0].model, len(job)) for job in runs.jobs] == [
        *(("vanilla", 4), ("primer_ez", 4), ("vanilla", 2), ("primer_ez", 2))
    ]
    assert sorted(runs.done, key=str) == sorted(planned_runs(folder, study), key=str)
    assert lines[0] == "Runs up to 4 of 12: study/4 runs of vanilla"


def test_a_record_of_another_learning_rate_is_another_run(tmp_path):
    study = compare_study(seeds=[0], learning_rate_scales=[0.5, 1.0])
    folder = start(study, tmp_path / "study")
    run(folder, study)
    tuned = compare_study(seeds=[0], learning_rate_scales=[0.5, 1.0, 2.0])
    (folder / "study.json").unlink()
    start(tuned, folder)
    again = run(folder, tuned)
    # The new rate is the best, and only the runs with the old one are repeated.
    assert [each.learning_rate_scale for each in again.done] == [2.0] * 4
    assert [each.tuning for each in again.done] == [True, True, False, False]


def test_progress_says_what_is_left(tmp_path):
    study = compare_study(seeds=[0])
    folder = start(study, tmp_path / "study")
    lines = []
    run_studies([folder], lines.append, FakeRuns(study))
    assert lines[0].startswith("Run 1 of 2: study/vanilla-1000_steps-seed_0")
    assert "left" in lines[1]


def test_the_speedup_is_that_of_the_simulation(tmp_path):
    study = compare_study()
    folder = start(study, tmp_path / "study")
    run(folder, study)
    results = write_report(folder)
    model = results.models[1]
    # It learns twice as fast in tokens, and its size counts double as well.
    assert model.speedups["steps"].factor.low > 1.9
    flops = model.flops_per_step / results.models[0].flops_per_step
    steps, in_flops, seconds = (model.speedups[u].factor for u in ("steps", "flops", "seconds"))
    assert steps.value / in_flops.value == pytest.approx(flops, rel=1e-6)
    assert steps.value / seconds.value == pytest.approx(1.2, rel=1e-6)
    assert model.p_value < 0.01
    assert "primer_ez reaches the final loss of vanilla with" in summary(results)[0]


def test_with_a_decay_each_point_is_the_end_of_a_run(tmp_path):
    """Losses in the middle of a run, before its decay, say nothing about a shorter run."""
    study = compare_study(training=DECAY, lengths=[0.25, 0.5, 0.75, 1.0])
    folder = start(study, tmp_path / "study")
    runs = FakeRuns(study)

    def execute(path, job):
        runs(path, job)
        for run in () if job == "measure" else job:
            record = runs.record(run)
            losses = record["curve"]["validation_loss"]
            record["curve"]["validation_loss"] = [9.0] * (len(losses) - 1) + losses[-1:]
            write_record(record_path(path, run), record)

    run_studies([folder], lambda line: None, execute)
    assert len(runs.done) == 2 * 3 * 4
    model = write_report(folder).models[1]
    assert model.curves.compute.tolist() == [250, 500, 750, 1000]
    assert model.curves.losses.shape == (3, 4)
    # It learns twice as fast in tokens, and its size counts double as well.
    assert 1.9 < model.speedups["steps"].factor.low < 4
    assert len(model.curves.losses) == 3 and model.p_value < 0.01


def test_a_report_is_complete(tmp_path):
    study = compare_study(title="<b>A & B</b>")
    folder = start(study, tmp_path / "study")
    run(folder, study)
    write_report(folder)
    page = (folder / "report.html").read_text()
    assert "&lt;b&gt;A &amp; B&lt;/b&gt;" in page and "<b>A" not in page
    assert 'src="http' not in page and "href" not in page
    for name in ("curves.png", "speedups.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((folder / "points.csv").open()))
    assert len(rows) == 6 * 40
    assert float(rows[-1]["seconds"]) == pytest.approx(1000 * 0.12 * 1.02)
    assert len(list(csv.reader((folder / "models.csv").open()))) == 3


def test_a_model_that_diverges_is_reported_and_others_go_on(tmp_path):
    study = compare_study()
    folder = start(study, tmp_path / "study")
    assert len(run(folder, study, diverging=["primer_ez"]).done) == 6
    results = write_report(folder)
    assert [model.name for model in results.models] == ["vanilla"]
    assert "diverged" in (folder / "report.html").read_text()
    assert run(folder, study).done == []


def test_a_report_before_the_first_run(tmp_path):
    folder = start(compare_study(), tmp_path / "study")
    results = write_report(folder)
    assert "6 of 6 runs are not done yet." in results.notes
    assert (folder / "report.html").exists()


def test_a_changed_record_is_refused(tmp_path):
    study = compare_study()
    folder = start(study, tmp_path / "study")
    run(folder, study)
    path = record_path(folder, planned_runs(folder, study)[0])
    text = path.read_text()
    path.write_text(text.replace('"parameters": ', '"parameters": 1'))
    with pytest.raises(UserError, match="was changed after it was written"):
        write_report(folder)
    path.write_text(text[:-20])
    with pytest.raises(UserError, match="is damaged"):
        run(folder, study)


@pytest.mark.parametrize("text", ["", "null", "[]", "3", "{}", '{"sha256": 1}'])
def test_damaged_records(tmp_path, text):
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(UserError):
        read_record(path)


def test_a_record_survives_its_file(tmp_path):
    path = tmp_path / "record.json"
    record = {"a": [1, 0.1, float("nan")], "b": {"c": "é"}}
    write_record(path, record)
    assert read_record(path) == {"a": [1, 0.1, None], "b": {"c": "é"}}


def test_runs_on_another_text_are_refused(tmp_path):
    study = compare_study(seeds=[0])
    folder = start(study, tmp_path / "study")
    run(folder, study)
    path = record_path(folder, planned_runs(folder, study)[0])
    write_record(path, {**read_record(path), "tokens_sha256": "another"})
    with pytest.raises(UserError, match="differ in their tokens"):
        write_report(folder)


def test_tuning_takes_the_best_rate(tmp_path):
    study = compare_study(seeds=[0, 1], learning_rate_scales=[0.5, 1.0, 2.0])
    folder = start(study, tmp_path / "study")
    runs = run(folder, study)
    assert [each.tuning for each in runs.done] == [True] * 6 + [False] * 4
    assert {each.seed for each in runs.done if each.tuning} == {2}
    assert set(chosen_scales(folder, study).values()) == {2.0}
    results = write_report(folder)
    assert any("highest that was tried" in note for note in results.notes)


def test_scaling_from_runs(tmp_path):
    study = scale_study()
    folder = start(study, tmp_path / "study")
    run(folder, study)
    results = write_report(folder)
    # Twice the effect of parameters and of tokens is four times that of compute.
    saved = results.laws.savings["primer_ez"].constant
    assert saved.low < 4 < saved.high or saved.value == pytest.approx(4, rel=0.05)
    assert results.laws.equality > 0.01
    page = (folder / "report.html").read_text()
    assert "Compute-optimal frontier" in page and "Predicted FLOPs" in page
    assert (folder / "frontier.png").exists()


def test_scaling_with_too_few_runs_says_so(tmp_path):
    study = scale_study()
    folder = start(study, tmp_path / "study")
    with pytest.raises(OSError, match="No space"):
        run(folder, study, fail_at=3)
    results = write_report(folder)
    assert results.laws is None
    assert any("needs 3 sizes" in note for note in results.notes)


def test_ablation_compares_each_pair(tmp_path):
    from primer_tf.studies.modifications import MODIFICATIONS, ablation_models

    study = compare_study(kind="ablate", models=ablation_models("tiny"), seeds=[0, 1])
    folder = start(study, tmp_path / "study")
    run(folder, study)
    results = write_report(folder)
    pairs = {(effect.modification, effect.inserted) for effect in results.ablation}
    assert {name for name, _ in pairs} == set(MODIFICATIONS)
    assert len(pairs) == 2 * len(MODIFICATIONS) - 3  # Primer shares Q and K.
    assert (folder / "ablation.png").exists()


def test_two_processes_do_not_run_one_study(tmp_path):
    from primer_tf.files import sole_writer

    study = compare_study()
    folder = start(study, tmp_path / "study")
    with sole_writer(folder), pytest.raises(UserError, match="Another process"):
        run(folder, study)
    assert json.loads((folder / "study.json").read_text())["title"] == "A test"
