"""Tasks of lm-eval score a model as its definition does."""

import importlib.util
import json
import logging
import os
import random
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from keras import ops

os.environ.setdefault("HF_DATASETS_CACHE", tempfile.mkdtemp())
os.environ.setdefault("HF_HUB_OFFLINE", "1")

pytest.importorskip("lm_eval", reason="lm-eval is not installed: it is the extra [eval]")

from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window  # noqa: E402

from primer_tf.cli import main  # noqa: E402
from primer_tf.cli.harness import PrimerHarnessModel  # noqa: E402
from primer_tf.errors import UserError  # noqa: E402
from primer_tf.evaluation.harness_model import HarnessModel  # noqa: E402
from primer_tf.evaluation.harness_tasks import HarnessTasks  # noqa: E402
from primer_tf.models import PrimerCausalLMPreprocessor, PrimerTokenizer  # noqa: E402
from tests.models.small_models import make_gpt2_backbone, make_model  # noqa: E402
from tests.sample_text import SENTENCES  # noqa: E402

NATS = 1e-4
QUESTIONS = 40
CHOICES = ["light", "the earth", "darkness", "a day"]

TASK = """
task: toy_choice
dataset_path: json
dataset_kwargs: {data_files: {train: train.jsonl, test: test.jsonl}}
test_split: test
fewshot_split: train
output_type: multiple_choice
doc_to_text: "Question: {{question}} Answer:"
doc_to_choice: choices
doc_to_target: answer
metric_list: [{metric: acc}, {metric: acc_norm}]
"""

COMPLETION_TASK = """
task: toy_completion
dataset_path: json
dataset_kwargs: {data_files: {test: test.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[answer]}}"
generation_kwargs: {until: ["."], max_gen_toks: 8}
metric_list: [{metric: exact_match}]
"""


@pytest.fixture(scope="module")
def task_folder(tmp_path_factory):
    """A task whose answers are evenly spread over the choices, in an order of chance."""
    folder, rng = tmp_path_factory.mktemp("tasks"), random.Random(1)
    answers = [i % len(CHOICES) for i in range(QUESTIONS)]
    rng.shuffle(answers)
    rows = [
        {
            "question": f"{i} {rng.choice(SENTENCES)[: rng.randint(5, 60)]}",
            "choices": rng.sample(CHOICES, len(CHOICES)),
            "answer": answer,
        }
        for i, answer in enumerate(answers)
    ]
    for name, some in (("train", rows[:4]), ("test", rows)):
        lines = "\n".join(map(json.dumps, some))
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "toy_choice.yaml").write_text(TASK)
    (folder / "toy_completion.yaml").write_text(COMPLETION_TASK)
    return folder


@pytest.fixture(scope="module")
def model(vocabulary):
    preprocessor = PrimerCausalLMPreprocessor(PrimerTokenizer(vocabulary), sequence_length=24)
    return make_model("primer", preprocessor, num_layers=1)


@pytest.fixture(scope="module")
def gpt2_preset(tmp_path_factory):
    """A preset of KerasHub whose tokens are single bytes and two merges."""
    import keras_hub

    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:?;'Ġ"
    pieces = [*letters, "th", "the", "<|endoftext|>"]
    tokenizer = keras_hub.tokenizers.GPT2Tokenizer(
        vocabulary={piece: i for i, piece in enumerate(pieces)}, merges=["t h", "th e"]
    )
    backbone = make_gpt2_backbone(len(pieces), 64)
    preprocessor = keras_hub.models.GPT2CausalLMPreprocessor(tokenizer, sequence_length=64)
    folder = tmp_path_factory.mktemp("gpt2") / "preset"
    keras_hub.models.GPT2CausalLM(backbone, preprocessor).save_to_preset(str(folder))
    return folder


def instances(kind, *arguments):
    return [Instance(kind, {}, args, i) for i, args in enumerate(arguments)]


def by_definition(model, context, continuation):
    """Returns log likelihood and greediness by one forward pass and a softmax in NumPy."""
    seen = np.array([[*context, *continuation][:-1]], "int32")
    inputs = {"token_ids": seen, "padding_mask": np.ones_like(seen)}
    logits = ops.convert_to_numpy(model(inputs)).astype("float64")[0, -len(continuation) :]
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    of_tokens = log_probabilities[np.arange(len(continuation)), continuation]
    return of_tokens.sum(), bool((logits.argmax(axis=-1) == continuation).all())


def check_texts(harness, pairs):
    """Compares log likelihoods of texts, item by item, with those of their tokens."""
    tokenizer = harness.model.preprocessor.tokenizer
    found = harness.loglikelihood(instances("loglikelihood", *pairs), disable_tqdm=True)
    for (context, continuation), (score, greedy) in zip(pairs, found, strict=True):
        # Spaces at the end of a context belong to what follows.
        given = [tokenizer.start_token_id, *np.asarray(tokenizer(context.rstrip())).tolist()]
        whole = [tokenizer.start_token_id, *np.asarray(tokenizer(context + continuation)).tolist()]
        expected = by_definition(harness.model, given, whole[len(given) :])
        assert (score, greedy) == (pytest.approx(expected[0], abs=NATS), expected[1])


def test_texts_score_as_their_tokens_do(model):
    contexts = ["In the beginning", "And God said, Let there be", "And"]
    continuations = [" light", " the heaven and the earth", " God", ": and there was light."]
    pairs = [(context, each) for context in contexts for each in continuations]
    check_texts(HarnessModel(model, batch_size=4), pairs)


def test_an_empty_context_is_the_start_token(model):
    tokens = np.asarray(model.preprocessor.tokenizer("God")).tolist()
    ((score, _),) = HarnessModel(model).loglikelihood(instances("loglikelihood", ("", "God")))
    assert score == pytest.approx(by_definition(model, [0], tokens)[0], abs=NATS)


def test_a_choice_within_the_last_token_of_its_context(model):
    """The tokens that cover the choice are scored, although they begin in the context."""
    tokenizer = model.preprocessor.tokenizer
    whole = np.asarray(tokenizer("And the")).tolist()
    split = np.asarray(tokenizer("And th")).tolist()
    assert len(split) >= len(whole) and split[: len(whole)] != whole
    shared = next(i for i, (a, b) in enumerate(zip(split, whole, strict=False)) if a != b)
    expected = by_definition(model, [0, *whole[:shared]], whole[shared:])
    ((score, _),) = HarnessModel(model).loglikelihood(instances("loglikelihood", ("And th", "e")))
    assert score == pytest.approx(expected[0], abs=NATS)


def test_long_contexts_are_counted(model, caplog):
    harness = HarnessModel(model, max_length=8)
    text = " ".join(SENTENCES)
    pairs = [(text, " light"), (text, " God"), ("And", " God")]
    with caplog.at_level(logging.WARNING, logger="primer_tf"):
        harness.loglikelihood(instances("loglikelihood", *pairs), disable_tqdm=True)
    assert harness.truncated == harness.get_model_info()["truncated"] == 2
    assert "2 of 3 contexts are longer than the model's 8 tokens" in caplog.text


def test_rolling_is_the_sum_over_the_windows_of_lm_eval(model):
    harness = HarnessModel(model, max_length=16)
    texts = [SENTENCES[0], " ".join(SENTENCES[:3]), "God"]
    found = harness.loglikelihood_rolling(instances("loglikelihood_rolling", *zip(texts)))
    for text, score in zip(texts, found, strict=True):
        tokens = np.asarray(model.preprocessor.tokenizer(text)).tolist()
        windows = map(make_disjoint_window, get_rolling_token_windows(tokens, 0, 16, 1))
        expected = sum(by_definition(model, *window)[0] for window in windows)
        assert score == pytest.approx(expected, abs=NATS)


@pytest.mark.parametrize("kind", ["primer", "gpt2"])
def test_completions_are_greedy_and_end_before_a_stop_text(kind, model, gpt2_preset):
    prompts = ["In the", "And God said", "the"]
    harness = HarnessModel(model) if kind == "primer" else PrimerHarnessModel(str(gpt2_preset))
    harness.model.compile(sampler="greedy")
    texts = []
    for prompt in prompts:
        ids = harness.tok_encode(prompt)
        whole = harness.model.generate([prompt], max_length=len(ids) + 12)[0]
        assert whole.startswith(prompt)
        texts.append(whole.removeprefix(prompt))
    assert all(texts)
    # A text in the middle of the first completion.
    stop = texts[0][len(texts[0]) // 2 :][:2]
    for until in ([], [stop]):
        settings = {"until": until, "max_gen_toks": 12}
        asked = instances("generate_until", *((prompt, settings) for prompt in prompts))
        found = harness.generate_until(asked, disable_tqdm=True)
        assert found == [text.split(stop)[0] if until else text for text in texts]
    assert len(found[0]) < len(texts[0])
    with pytest.raises(UserError, match="at random"):
        harness.generate_until(instances("generate_until", ("And", {"temperature": 1.0})))


def test_other_models_of_keras_hub(gpt2_preset):
    harness = PrimerHarnessModel(str(gpt2_preset), batch_size=3)
    check_texts(harness, [(c, t) for c in ("the day", "God: ") for t in ("the", " a", ", th")][:5])


def test_a_checkpoint_of_t5(small_preset, tmp_path):
    from primer_tf.convert.keras_to_mesh import keras_to_mesh

    keras_to_mesh(str(small_preset), str(tmp_path / "model"))
    asked = instances("loglikelihood", ("In the", " beginning"), ("And", " God said"))
    scores = [
        PrimerHarnessModel(**source).loglikelihood(asked, disable_tqdm=True)
        for source in ({"pretrained": str(small_preset)}, {"model_dir": str(tmp_path / "model")})
    ]
    np.testing.assert_allclose(scores[0], scores[1], rtol=0, atol=NATS)
    with pytest.raises(UserError, match="and not both"):
        PrimerHarnessModel()


class Oracle(HarnessModel):
    """Knows the answers, and nothing else."""

    def __init__(self, model, folder):
        super().__init__(model)
        lines = (folder / "test.jsonl").read_text().splitlines()
        self.rows = [json.loads(line) for line in lines]

    def _loglikelihood_tokens(self, requests, **kwargs):
        scores = []
        for (context, continuation), *_ in requests:
            (row,) = [r for r in self.rows if context.endswith(f": {r['question']} Answer:")]
            right = continuation.strip() == row["choices"][row["answer"]]
            scores.append((0.0 if right else -1.0, right))
        return scores


@pytest.fixture(scope="module")
def tasks(task_folder):
    return HarnessTasks(["toy_choice"], task_folder)


@pytest.mark.parametrize("shots", [0, 1])
def test_an_oracle_knows_everything(model, tasks, task_folder, shots):
    (figures,) = tasks.evaluate(Oracle(model, task_folder), shots)
    assert (figures.task, figures.samples, figures.shots) == ("toy_choice", QUESTIONS, shots)
    assert figures.figures == {"acc": 1.0, "acc_norm": 1.0}


@pytest.mark.slow
def test_a_uniform_model_guesses(model, tasks):
    uniform = make_model("primer", model.preprocessor, num_layers=1)
    embedding = uniform.backbone.token_embedding.embeddings
    embedding.assign(ops.zeros_like(embedding))
    harness = HarnessModel(uniform)
    ((score, _),) = harness.loglikelihood(instances("loglikelihood", ("And", " God")))
    lengths = [len(np.asarray(model.preprocessor.tokenizer(text))) for text in ("And", "And God")]
    assert score == pytest.approx((lengths[0] - lengths[1]) * np.log(320), abs=NATS)
    (figures,) = tasks.evaluate(harness, shots=1)
    for name, error in figures.standard_errors.items():
        assert abs(figures.figures[name] - 0.25) <= error
    assert figures.standard_errors.keys() == {"acc", "acc_norm"}


def test_the_command(small_preset, task_folder, capsys):
    options = ["--task_folder", str(task_folder), "--tasks"]
    command = ["evaluate", str(small_preset), "--limit", "6", *options, "toy_choice,toy_completion"]
    assert main([*command, "--shots", "0"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("toy_choice, 6 samples, 0-shot: acc 0.") and "acc_norm" in first
    assert second.startswith("toy_completion, 6 samples, 0-shot: exact_match 0.")
    assert main([*command[:-1], "toy_choice", "--shots", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["tasks"]["toy_choice"]["shots"] == 1
    assert printed["tasks"]["toy_choice"]["figures"].keys() == {"acc", "acc_norm"}
    assert printed["max_length"] == 64 and printed["truncated"] >= 0


def test_the_command_takes_a_checkpoint_of_t5(small_preset, task_folder, tmp_path, capsys):
    from primer_tf.convert.keras_to_mesh import keras_to_mesh

    keras_to_mesh(str(small_preset), model_dir := str(tmp_path / "model"))
    capsys.readouterr()
    options = ["--tasks", "toy_choice", "--task_folder", str(task_folder), "--limit", "4"]
    printed = []
    for preset, more in ((small_preset, []), (model_dir, ["--gin_file", f"{model_dir}/model.gin"])):
        assert main(["evaluate", str(preset), *options, *more, "--json"]) == 0
        printed.append(json.loads(capsys.readouterr().out))
    assert printed[0]["tasks"] == printed[1]["tasks"]
    assert main(["evaluate", str(small_preset), *options, "--gin_file", "a.gin"]) == 1
    assert "--gin_file describes a T5 checkpoint, and there is none" in capsys.readouterr().err


def test_a_choice_without_tokens(model):
    for pair in (("And", ""), ("", "")):
        with pytest.raises(UserError, match="is empty"):
            HarnessModel(model).loglikelihood(instances("loglikelihood", pair), disable_tqdm=True)


def test_unknown_tasks(small_preset, task_folder, capsys):
    options = ["--task_folder", str(task_folder), "--tasks"]
    assert main(["evaluate", str(small_preset), *options, "toy_choise"]) == 1
    assert "Unknown task 'toy_choise'; did you mean toy_choice" in capsys.readouterr().err
    assert main(["evaluate", str(small_preset), "--task_folder", "nowhere", "--tasks", "a"]) == 1
    assert "There is no folder nowhere" in capsys.readouterr().err


@pytest.mark.slow
def test_lm_eval_finds_the_model(small_preset, task_folder):
    """In a new process, by its name alone."""
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "primer", "--tasks", "toy_choice"]
    command += ["--include_path", str(task_folder), "--num_fewshot", "1", "--limit", "4"]
    command += ["--model_args", f"pretrained={small_preset}"]
    if importlib.util.find_spec("_primer_tf_import_hook") is None:
        pytest.skip("This environment has no import hook: install the package in it.")
    done = subprocess.run(command, cwd=task_folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "acc_norm" in done.stdout and "toy_choice" in done.stdout
