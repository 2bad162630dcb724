"""KerasHub's GPT-2."""

import keras
import keras_hub

from benchmarks.candidates import keras_model
from benchmarks.harness import TINY


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


def learn(steps, seed, rate, batches):
    """Returns a function that trains on the batches and returns what was reached."""
    import numpy as np

    from benchmarks.candidates import learning

    def run():
        text = np.load(batches)
        keras.utils.set_random_seed(seed)
        causal_lm = build(TINY, text["inputs"].shape[-1])
        optimizer = keras.optimizers.AdamW(
            rate, beta_2=0.95, weight_decay=learning.WEIGHT_DECAY, global_clipnorm=1.0
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        causal_lm.compile(optimizer=optimizer, loss=loss, weighted_metrics=[], jit_compile=True)

        def inputs(ids):
            return {"token_ids": ids, "padding_mask": np.ones_like(ids)}

        def step(ids, targets, rate):
            optimizer.learning_rate = rate
            causal_lm.train_on_batch(inputs(ids), targets)

        def nats(ids, targets, weights):
            batch = (inputs(ids), targets, weights)
            return weights.sum() * keras_model.mean_loss(causal_lm, [batch])

        return learning.learn(text, steps, rate, step, nats)

    return run


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
