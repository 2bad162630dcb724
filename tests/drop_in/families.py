"""Tiny models of the families of KerasHub that `primer_tf.drop_in` changes."""

import keras
import keras_hub
import numpy as np

SIZES = {"vocabulary_size": 50, "num_layers": 2, "hidden_dim": 16, "intermediate_dim": 24}
LENGTH = 16


def _make(name, **config):
    models = keras_hub.models
    backbone = getattr(models, f"{name}Backbone")(**SIZES, **config)
    return getattr(models, f"{name}CausalLM")(backbone=backbone)


FAMILIES = {
    "GPT2": {"num_heads": 2, "max_sequence_length": LENGTH, "dropout": 0.1},
    "OPT": {"num_heads": 2, "max_sequence_length": LENGTH, "dropout": 0.1},
    "Llama": {"num_query_heads": 4, "num_key_value_heads": 2},
    "Llama3": {"num_query_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "Gemma": {"num_query_heads": 4, "num_key_value_heads": 1, "head_dim": 8},
    "Mistral": {"num_query_heads": 4, "num_key_value_heads": 2, "sliding_window": 6},
}


def plain_model(name):
    """Returns a causal LM of KerasHub with large weights, so that every part shows."""
    return disturb(_make(name, **FAMILIES[name]))


def disturb(model, seed=0):
    """Adds noise to all weights of a model, and returns it."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        noise = 0.3 * rng.standard_normal(weight.shape)
        weight.assign(keras.ops.convert_to_numpy(weight) + noise)
    return model


def inputs(token_ids):
    return {"token_ids": token_ids, "padding_mask": np.ones_like(token_ids)}


def logits(model, token_ids):
    return keras.ops.convert_to_numpy(model(inputs(token_ids)))


TOKENS = np.random.default_rng(1).integers(1, SIZES["vocabulary_size"], (3, 9)).astype("int32")
