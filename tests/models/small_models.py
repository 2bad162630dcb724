"""Small models for tests."""

import keras
import numpy as np

VARIANTS = {
    "primer_ez": {},
    "primer": {"shared_query_key": True, "normalization": "primer", "placement": "alternating"},
    "transformer": {"kernel_size": None, "activation": "relu"},
    # One of these blocks has two caches.
    "evolved": {
        "num_layers": 1,
        "block": (
            "double_heads_attention",
            "evolved_convolution",
            "attention",
            "feed_forward",
        ),
        "kernel_size": None,
        "activation": "swish",
    },
    "switch": {
        "num_layers": 1,
        "block": ("attention", "switch_feed_forward"),
        "num_experts": 4,
        # One expert has room for all tokens, because decoding with a cache drops none.
        "eval_capacity_factor": 4.0,
        "initializer_scale": 0.1,
    },
    "synthesizer": {"block": ("synthesizer_attention", "feed_forward"), "activation": "relu"},
    "plusplus": {"kernel_size": None, "activation": "swish", "gated": True, "normalization": "rms"},
}

SMALL = {
    "vocabulary_size": 320,
    "num_layers": 2,
    "hidden_dim": 24,
    "intermediate_dim": 32,
    "num_heads": 3,
    "head_dim": 8,
}


def make_model(variant, preprocessor, **kwargs):
    """Returns a model whose weights vary enough that its greedy text does not repeat one token."""
    from primer_tf.models import PrimerBackbone, PrimerCausalLM

    keras.utils.set_random_seed(0)
    backbone = PrimerBackbone(**{**SMALL, **VARIANTS[variant], **kwargs})
    rng = np.random.default_rng(0)
    for weight in backbone.trainable_variables:
        if "token_embedding" not in weight.path:
            value = keras.ops.convert_to_numpy(weight.value)
            weight.assign(value + 0.3 * rng.standard_normal(value.shape))
    return PrimerCausalLM(backbone, preprocessor)


def make_gpt2_backbone(vocabulary_size, length):
    """Returns a backbone of KerasHub's GPT-2 with weights that make its choices clear."""
    import keras_hub

    keras.utils.set_random_seed(0)
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=vocabulary_size,
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=16,
        max_sequence_length=length,
        dropout=0.0,
    )
    for weight in backbone.trainable_variables:
        weight.assign(weight + 0.3 * keras.random.normal(weight.shape))
    return backbone
