"""The models of primer_tf."""

import keras
import numpy as np

from benchmarks.candidates import keras_model
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
    """Trains with the defaults on random batches."""
    causal_lm = build(model, architecture, max_sequence_length=max(512, length), **kwargs)
    causal_lm.compile()
    return keras_model.train(causal_lm, model["vocabulary_size"], batch_size, length, steps)


def input_pipeline(model, batch_size, length):
    """Makes batches as `primer train` does, without training."""
    from primer_tf.data import TokenChunks

    tokens = np.random.default_rng(0).integers(3, model["vocabulary_size"], 10**6)
    stream = TokenChunks(tokens, length).training_batches(batch_size, seed=0)
    return lambda: next(stream) and None


def generate(
    model,
    batch_size,
    prompt,
    new,
    architecture="transformer_vanilla",
    quantize=None,
    **kwargs,
):
    """Decodes greedily."""
    causal_lm = build(model, architecture, **kwargs)
    if quantize:
        causal_lm.quantize(quantize)
    causal_lm.compile(sampler="greedy")
    return keras_model.generate(causal_lm, model["vocabulary_size"], batch_size, prompt, new)


def generate_in_cache(model, prompt, new, size):
    """Decodes greedily some tokens of a text that has room for more."""
    from primer_tf.models.stepwise_generation import StepwiseGenerator

    causal_lm = build(model, "primer_ez", max_sequence_length=size)
    causal_lm.compile(sampler="greedy")
    generator = StepwiseGenerator(causal_lm)
    ids = np.random.default_rng(0).integers(3, model["vocabulary_size"], (1, size), "int32")
    mask = np.arange(size)[None] < prompt
    inputs = {"token_ids": ids, "padding_mask": mask}

    def run():
        for token_ids, end in generator(inputs):
            if end >= prompt + new:
                return float(keras.ops.convert_to_numpy(token_ids)[0, : prompt + new].sum())

    return run


def score(model, batch_size, length, architecture="transformer_vanilla"):
    """Computes the loss of fixed texts."""
    causal_lm = build(model, architecture)
    causal_lm.compile()
    return keras_model.score(causal_lm, model["vocabulary_size"], batch_size, length)


def evaluate(model, batch_size, contexts, requests, architecture="transformer_vanilla"):
    """Scores continuations."""
    causal_lm = build(model, architecture, max_sequence_length=512)
    return keras_model.evaluate(causal_lm, model["vocabulary_size"], batch_size, contexts, requests)
