"""Every mode of T5's command, on one small model."""

import os
import re
from pathlib import Path

import pytest

from tests.mesh.tf1 import in_tf1


@in_tf1
def test_train_resume_evaluate_decode_score_and_export(tmp_path):
    import tensorflow.compat.v1 as tf

    from tests.mesh.command import corpus, failure, t5

    # TensorFlow reads this name as a pattern, which does not match the name itself.
    model, data = str(tmp_path / "[v1] a\\b?"), corpus(str(tmp_path))

    # Training, and continuing from the checkpoint.
    printed = t5(model, "train", TRAIN_STEPS=4, **data)
    assert re.search(r"step 4/4  loss \d.*steps/s.*tokens/s.*left", printed)
    printed = t5(model, "train", TRAIN_STEPS=30, **data)
    assert f"continuing from {model}/model.ckpt-4" in printed
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", printed)]
    assert losses[-1] < losses[0] - 0.3
    assert "at step 30 of 30" in t5(model, "train", TRAIN_STEPS=30, **data)

    # Perplexity of every checkpoint.
    printed = t5(model, "perplexity_eval", **data, BATCHES=2)
    steps = re.findall(r"at step (\d+): perplexity ([\d.]+)", printed)
    assert [int(step) for step, _ in steps] == [4, 30]
    assert float(steps[1][1]) < float(steps[0][1])

    # Decoding: one line for each prompt, as text instead of b'text'.
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("light and\nthe earth was void and the deep\nsaid\n")
    decoding = dict(data, INPUT=str(prompts), PROMPT_LENGTH=16, DECODE_LENGTH=6)
    for run, more in (
        ("decode", {}),
        ("decode", dict(TEMPERATURE=1.0, TOP_K=5)),
        ("beam_decode", {}),
    ):
        t5(model, run, OUTPUT=str(tmp_path / "out" / run), **decoding, **more)
        lines = (tmp_path / "out" / f"{run}-30").read_text().splitlines()
        assert len(lines) == 3 and not any("b'" in line for line in lines)
    assert not list((tmp_path / "out").glob("*.partial"))

    # Scores of lines, and of the examples of a task.
    targets = tmp_path / "targets.txt"
    targets.write_text("light and the earth\nwas void\n")
    scores = str(tmp_path / "scores")
    t5(model, "score", TARGETS=str(targets), SCORES=scores, **data)
    values = [float(line) for line in Path(scores + ".scores").read_text().split()]
    assert len(values) == 2 and all(-60 < value < 0 for value in values)
    assert Path(scores + ".targets").read_text() == targets.read_text()
    t5(model, "score_task", SCORES=scores + "_task", **data)
    assert len(Path(scores + "_task.scores").read_text().split()) > 2

    # Evaluation on continuations of the validation split.
    t5(model, "eval", EXAMPLES=5, PROMPT_LENGTH=8, DECODE_LENGTH=6, **data)
    check_evaluation(Path(model) / "validation_eval", Path(data["TRAIN_FILES"]).read_text())

    # The exported model continues prompts as infer mode does.
    greedy = dict(data, PROMPT_LENGTH=16, DECODE_LENGTH=6)
    t5(model, "export", EXPORT_DIR=str(tmp_path / "export"), **greedy)
    (version,) = os.listdir(tmp_path / "export")
    for folder in (model, str(tmp_path / "[1]")):
        line = failure(model, "export", EXPORT_DIR=folder, **greedy)
        assert f"cannot load a SavedModel from {folder}" in line
    t5(model, "decode", OUTPUT=str(tmp_path / "out" / "greedy"), **decoding)
    infer = (tmp_path / "out" / "greedy-30").read_text().splitlines()
    with tf.Graph().as_default(), tf.Session() as session:
        path = str(tmp_path / "export" / version)
        signature = tf.saved_model.load(session, ["serve"], path).signature_def["serving_default"]
        exported = session.run(
            signature.outputs["outputs"].name,
            {signature.inputs["inputs"].name: prompts.read_text().splitlines()},
        )
    assert [line.decode() for line in exported] == infer


@pytest.mark.slow
@in_tf1
def test_microbatches_give_the_gradient_of_the_whole_batch(tmp_path):
    import shutil
    from unittest import mock

    import numpy as np
    import tensorflow.compat.v1 as tf
    from mesh_tensorflow.transformer import utils

    from tests.mesh.command import corpus, t5

    count, counted = utils.serialize_num_microbatches, []

    def counting(*args, **kwargs):
        counted.append(count(*args, **kwargs))
        return counted[-1]

    # With plain gradient descent a step changes each variable by its gradient.
    descent = tmp_path / "descent.gin"
    descent.write_text(
        "utils.run.optimizer = @optimize.SgdOptimizer\n"
        "utils.run.learning_rate_schedule = 10.0\n"
        "mesh_train_dataset_fn.seed = 1\n"
    )
    data = dict(corpus(str(tmp_path)), files=[str(descent)])
    start = tmp_path / "start"
    t5(str(start), "train", TRAIN_STEPS=1, **data)
    variables = {}
    for parts, tokens in ((1, None), (2, 64), (4, 32)):
        model = str(tmp_path / f"model{parts}")
        shutil.copytree(start, model)
        key = "serialize_num_microbatches.tokens_per_microbatch_per_replica"
        with mock.patch.object(utils, "serialize_num_microbatches", counting):
            t5(model, "train", TRAIN_STEPS=2, **data, **{key: tokens})
        variables[parts] = tf.train.load_checkpoint(os.path.join(model, "model.ckpt-2"))
    assert counted == [1, 2, 4]
    before = tf.train.load_checkpoint(os.path.join(start, "model.ckpt-1"))
    names = [n for n in before.get_variable_to_shape_map() if n.startswith("transformer/")]
    assert len(names) > 10
    for name in names:
        old = before.get_tensor(name)
        whole, *sums = (old - variables[parts].get_tensor(name) for parts in (1, 2, 4))
        assert np.abs(whole).max() > 100 * np.spacing(np.abs(old).max()), name
        # A difference of float32 numbers is exact only to their last bit.
        rounding = 2 * np.spacing(np.abs(old).max()) + 1e-6 * np.abs(whole).max()
        for sum_ in sums:
            np.testing.assert_allclose(sum_, whole, rtol=1e-4, atol=rounding, err_msg=name)


def check_evaluation(folder, text):
    """Checks the output of `eval`: texts of the split, cut in two, and metrics of predictions."""
    import sacrebleu
    import tensorflow.compat.v1 as tf

    task = "text_autoregressive_language_modeling"
    inputs = (folder / f"{task}_inputs").read_text().splitlines()
    targets = (folder / f"{task}_targets").read_text().splitlines()
    words = " ".join(text.split())
    assert len(inputs) == len(targets) == 5
    for prompt, continuation in zip(inputs, targets, strict=True):
        # They may be cut inside a word.
        whole = re.compile(f"{re.escape(prompt)} ?{re.escape(continuation)}")
        assert prompt and continuation and whole.search(words, int(0.9 * len(words)))
    found = {}
    for events in folder.glob("events*"):
        for event in tf.train.summary_iterator(str(events)):
            found.update({(event.step, v.tag): v.simple_value for v in event.summary.value})
    for step in (4, 30):
        predictions = (folder / f"{task}_{step}_predictions").read_text().splitlines()
        assert len(predictions) == 5
        expected = sacrebleu.corpus_bleu(predictions, [targets], tokenize="intl").score
        assert found[step, f"eval/{task}/bleu"] == pytest.approx(expected, rel=1e-5)
        exact = 100 * sum(map(str.__eq__, predictions, targets)) / 5
        assert found[step, f"eval/{task}/accuracy"] == pytest.approx(exact)
