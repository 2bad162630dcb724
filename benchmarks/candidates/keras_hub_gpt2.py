"""KerasHub's GPT-2."""

import keras
import keras_hub

from benchmarks.candidates import keras_model


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
    return keras_model.train(causal_lm, model["vocabulary_size"], batch_size, length, steps)


def generate(model, batch_size, prompt, new, jit_compile=True):
    """Decodes greedily."""
    causal_lm = build(model, prompt + new)
    causal_lm.compile(sampler="greedy", jit_compile=jit_compile)
    return keras_model.generate(causal_lm, model["vocabulary_size"], batch_size, prompt, new)


def score(model, batch_size, length):
    """Computes the loss of fixed texts."""
    causal_lm = build(model, length)
    causal_lm.compile(jit_compile=True)
    return keras_model.score(causal_lm, model["vocabulary_size"], batch_size, length)


def evaluate(model, batch_size, contexts, requests):
    """Scores continuations."""
    return keras_model.evaluate(
        build(model, 512), model["vocabulary_size"], batch_size, contexts, requests
    )
