"""KerasHub's GPT-2."""

import keras
import keras_hub
import numpy as np


def build(model, length):
    """Returns a model with fresh weights."""
    backbone = keras_hub.models.GPT2Backbone(**model, max_sequence_length=length, dropout=0.0)
    return keras_hub.models.GPT2CausalLM(backbone)


def train_step(model, batch_size, length, steps=1, jit_compile=True):
    """Trains with Keras' defaults: Adam and the accuracy of the next token."""
    causal_lm = build(model, length)
    causal_lm.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit_compile,
    )
    rng = np.random.default_rng(0)

    def batches():
        while True:
            tokens = rng.integers(3, model["vocabulary_size"], (batch_size, length + 1), "int32")
            mask = np.ones((batch_size, length), "int32")
            yield {"token_ids": tokens[:, :-1], "padding_mask": mask}, tokens[:, 1:]

    stream = batches()

    def run():  # not `fit`, whose end waits seconds for its input pipeline
        losses = [causal_lm.train_on_batch(*next(stream), return_dict=True) for _ in range(steps)]
        return float(losses[-1]["loss"])

    return run


def generate(model, batch_size, prompt, new, jit_compile=True):
    """Greedy decoding."""
    causal_lm = build(model, prompt + new)
    causal_lm.compile(sampler="greedy", jit_compile=jit_compile)
    ids = np.random.default_rng(0).integers(3, model["vocabulary_size"], (batch_size, prompt + new))
    mask = np.arange(prompt + new)[None] < prompt
    inputs = {
        "token_ids": ids.astype("int32"),
        "padding_mask": np.broadcast_to(mask, ids.shape).astype("int32"),
    }
    inputs = {key: keras.ops.convert_to_tensor(value) for key, value in inputs.items()}

    def run():
        outputs = causal_lm.generate(inputs, stop_token_ids=None)
        return float(keras.ops.convert_to_numpy(outputs["token_ids"]).sum())

    return run


def score(model, batch_size, length):
    """The loss of given texts."""
    causal_lm = build(model, length)
    causal_lm.compile(jit_compile=True)
    rng = np.random.default_rng(0)
    ids = rng.integers(3, model["vocabulary_size"], (batch_size, length), "int32")
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    return lambda: float(causal_lm.test_on_batch(inputs, ids, return_dict=True)["loss"])
