"""The models of primer_tf."""

import keras
import numpy as np

from primer_tf import PrimerBackbone, PrimerCausalLM

ARCHITECTURES = {
    "transformer_vanilla": {"kernel_size": None, "activation": "relu"},
    "primer_ez": {},
    "primer": {
        "shared_query_key": True,
        "normalization": "primer",
        "placement": "alternating",
    },
}


def build(model, architecture="transformer_vanilla", **kwargs):
    """Returns a model with fresh weights."""
    keras.utils.set_random_seed(0)
    return PrimerCausalLM(PrimerBackbone(**model, **ARCHITECTURES[architecture], **kwargs))


def train_step(model, batch_size, length, architecture="transformer_vanilla", steps=1, **kwargs):
    """Trains with the defaults, from batches made anew in Python."""
    causal_lm = build(model, architecture, max_sequence_length=max(512, length), **kwargs)
    causal_lm.compile()
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


def input_pipeline(model, batch_size, length):
    """Makes batches as `primer train` does, and nothing else."""
    from primer_tf.training import TokenChunks

    tokens = np.random.default_rng(0).integers(3, model["vocabulary_size"], 10**6)
    stream = TokenChunks(tokens, length).training_batches(batch_size, seed=0)
    return lambda: next(stream) and None


def generate(model, batch_size, prompt, new, architecture="transformer_vanilla", quantize=None):
    """Greedy decoding."""
    causal_lm = build(model, architecture)
    if quantize:
        causal_lm.quantize(quantize)
    causal_lm.compile(sampler="greedy")
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


def score(model, batch_size, length, architecture="transformer_vanilla"):
    """The loss of given texts."""
    causal_lm = build(model, architecture)
    causal_lm.compile()
    rng = np.random.default_rng(0)
    ids = rng.integers(3, model["vocabulary_size"], (batch_size, length), "int32")
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    return lambda: float(causal_lm.test_on_batch(inputs, ids, return_dict=True)["loss"])
