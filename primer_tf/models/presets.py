"""The model zoo as data: sizes, architectures, and the presets that combine them.

Names and numbers are those of the T5 experiments of the Primer paper; the tiny size is ours, for
CPUs. A preset describes a model with fresh weights: no trained Primer weights were published.
"""

SIZES = {
    "tiny": {
        "vocabulary_size": 8192,
        "num_layers": 6,
        "hidden_dim": 128,
        "num_heads": 4,
        "head_dim": 32,
        "intermediate_dim": 512,
    },
    "small": {"num_layers": 6, "hidden_dim": 512, "num_heads": 8, "intermediate_dim": 2048},
    "medium": {"num_layers": 12, "hidden_dim": 768, "num_heads": 12, "intermediate_dim": 3072},
    "large": {"num_layers": 24, "hidden_dim": 1024, "num_heads": 16, "intermediate_dim": 8192},
    # The heads of GPT-3 XL, with which the count is the published 1.9 billion.
    "xl": {
        "num_layers": 24,
        "hidden_dim": 2048,
        "num_heads": 24,
        "head_dim": 128,
        "intermediate_dim": 12288,
    },
}

# A gated feed-forward has three matrices instead of two; this width keeps the count.
GATED_INTERMEDIATE_DIM = {"tiny": 344, "small": 1364, "medium": 2048, "large": 5462}

TRANSFORMER = {"kernel_size": None, "activation": "relu"}

ARCHITECTURES = {
    "transformer_vanilla": TRANSFORMER,
    "transformer_gelu": {**TRANSFORMER, "activation": "gelu_tanh"},
    "transformer_swish": {**TRANSFORMER, "activation": "swish"},
    "transformer_squared_relu": {**TRANSFORMER, "activation": "squared_relu"},
    "transformer_reglu": {**TRANSFORMER, "gated": True},
    "transformer_swiglu": {**TRANSFORMER, "activation": "swish", "gated": True},
    "transformer_plusplus": {
        **TRANSFORMER,
        "activation": "swish",
        "gated": True,
        "normalization": "rms",
    },
    "primer_ez": {},
    "primer": {
        "shared_query_key": True,
        "normalization": "primer",
        "placement": "alternating",
    },
}

XL_ARCHITECTURES = ("transformer_gelu", "primer_ez", "primer")


def _preset(size, architecture):
    config = {**SIZES[size], **ARCHITECTURES[architecture]}
    if config.get("gated"):
        config["intermediate_dim"] = GATED_INTERMEDIATE_DIM[size]
    return config


PRESETS = {
    f"{size}_{architecture}": _preset(size, architecture)
    for size in SIZES
    for architecture in ARCHITECTURES
    if size != "xl" or architecture in XL_ARCHITECTURES
}
