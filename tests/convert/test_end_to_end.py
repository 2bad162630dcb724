"""One training run in two engines: T5 trains, Keras continues, and T5 decodes the result."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.mesh.tf1 import in_tf1

STEPS = 200
LENGTH = 128
DEMO = {
    "MIXTURE_NAME": "demo_autoregressive_language_modeling",
    "TOKENS_PER_BATCH": 8 * LENGTH,
    "utils.run.save_checkpoints_steps": STEPS,
}
LENGTHS = {"utils.run.sequence_length": {"inputs": 1, "targets": LENGTH}}
# The order of the batches in the second half.
SEED = {"mesh_train_dataset_fn.seed": 7}
PROMPTS = ["And it came to pass, that", "In the beginning", "The LORD"]


@in_tf1
def in_t5(folder, run, bindings):
    """Runs T5's command on the demo text; its output goes to `RUN.txt`."""
    from tests.mesh.command import t5

    # Decoding has its own lengths.
    own = {} if run == "decode" else LENGTHS
    printed = t5(f"{folder}/mesh", run, model="tiny_primer_ez", **{**DEMO, **own, **bindings})
    Path(folder, f"{run}.txt").write_text(printed)


@in_tf1
def dump_batches(folder, vocabulary, seed):
    """Writes the batches of a T5 run to `batches.npy`."""
    import gin
    import tensorflow.compat.v1 as tf
    from t5.models import mesh_transformer

    gin.clear_config()
    gin.bind_parameter("primer_tf.tasks.sentencepiece_model.path", vocabulary)
    with tf.Graph().as_default():
        tf.set_random_seed(1)  # as the Estimator does
        dataset = mesh_transformer.mesh_train_dataset_fn(
            mixture_or_task_name=DEMO["MIXTURE_NAME"],
            sequence_length=LENGTHS["utils.run.sequence_length"],
            vocabulary=mesh_transformer.get_vocabulary(DEMO["MIXTURE_NAME"]),
            dataset_split="train",
            seed=seed,
        )
        batch = tf.data.make_one_shot_iterator(dataset.repeat().batch(8)).get_next()["targets"]
        with tf.Session() as session:
            np.save(f"{folder}/batches.npy", [session.run(batch) for _ in range(STEPS)])


@pytest.mark.slow
def test_both_engines_continue_one_training(tmp_path, tf1_process):
    import keras

    from primer_tf.convert.keras_to_mesh import keras_to_mesh
    from primer_tf.convert.mesh_to_keras import mesh_to_keras
    from primer_tf.data.load_chunks import load_chunks
    from primer_tf.data.vocabulary import train_vocabulary
    from primer_tf.evaluation.evaluator import Evaluator
    from primer_tf.losses import NextTokenLoss
    from primer_tf.models import PrimerCausalLM
    from primer_tf.models.training_state import restore_training_state, save_training_state
    from primer_tf.optimizers import RsqrtSchedule, T5Adafactor
    from primer_tf.tasks import kjv

    vocabulary = tmp_path / "vocabulary.model"
    vocabulary.write_bytes(train_vocabulary([text for _, text in kjv.split("train")], 8000))
    common = {"VOCABULARY": str(vocabulary)}
    folder = str(tmp_path)

    def t5(run, **bindings):
        in_t5(folder=folder, run=run, bindings={**common, **bindings}, tf1_process=tf1_process)
        return (tmp_path / f"{run}.txt").read_text()

    # T5 trains; the converted checkpoint has the same perplexity in Keras.
    t5("train", TRAIN_STEPS=STEPS)
    evaluated = t5("perplexity_eval", CHECKPOINT=-1)
    expected = float(re.search(r"perplexity ([\d.]+)", evaluated)[1])
    mesh_to_keras(tmp_path / "mesh", tmp_path / "preset")
    model = PrimerCausalLM.from_preset(str(tmp_path / "preset"))
    source = f"seqio:{DEMO['MIXTURE_NAME']}"
    tokenizer = model.preprocessor.tokenizer
    chunks, text = load_chunks(source, "validation", tokenizer, LENGTH)
    chunks = type(chunks)(chunks.tokens[: 100 * 8 * LENGTH], LENGTH)  # perplexity_eval's batches
    evaluation = Evaluator(model, chunks, text, 8)()
    assert evaluation.perplexity == pytest.approx(expected, rel=1e-3)

    # Both continue with the same batches.
    printed = t5("train", TRAIN_STEPS=2 * STEPS, **SEED)
    curve = {int(s): float(x) for s, x in re.findall(r"step (\d+)/\d+  loss ([\d.]+)", printed)}
    dump_batches(
        folder=folder,
        vocabulary=str(vocabulary),
        seed=SEED["mesh_train_dataset_fn.seed"],
        tf1_process=tf1_process,
    )
    trained = PrimerCausalLM(model.backbone)
    trained.compile(optimizer=T5Adafactor(RsqrtSchedule()), loss=NextTokenLoss(z_loss=1e-4))
    weights = trained.trainable_variables
    step = restore_training_state(tmp_path / "preset", weights, trained.optimizer)
    assert step == STEPS
    losses = {}
    for targets in np.load(tmp_path / "batches.npy"):
        inputs = np.pad(targets, ((0, 0), (1, 0)))[:, :-1]
        batch = {"token_ids": inputs, "padding_mask": np.ones_like(inputs)}
        trained.reset_metrics()
        step += 1
        losses[step] = trained.train_on_batch(batch, targets, return_dict=True)["loss"]
    assert len(curve) > 3 and max(curve) == 2 * STEPS
    for number, loss in curve.items():
        assert losses[number] == pytest.approx(loss, rel=2e-3), (number, curve)

    # T5 decodes with the weights that Keras trained.
    model.save_to_preset(str(tmp_path / "preset"))
    save_training_state(tmp_path / "preset", weights, trained.optimizer)
    (tmp_path / "mesh").rename(tmp_path / "before")
    keras_to_mesh(tmp_path / "preset", tmp_path / "mesh")
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(PROMPTS) + "\n")
    lengths = dict(PROMPT_LENGTH=16, DECODE_LENGTH=24)
    t5("decode", INPUT=str(prompts), OUTPUT=str(tmp_path / "decoded"), **lengths)
    lines = (tmp_path / f"decoded-{2 * STEPS}").read_text().splitlines()
    model.compile(sampler="greedy", jit_compile=False)
    for prompt, line in zip(PROMPTS, lines, strict=True):
        length = 1 + len(tokenizer(prompt)) + lengths["DECODE_LENGTH"]
        text = model.generate(prompt, max_length=length)
        # T5 writes the continuation alone, on one line.
        assert text.removeprefix(prompt).replace("\n", " ").strip() == line.strip()
    keras.backend.clear_session()
