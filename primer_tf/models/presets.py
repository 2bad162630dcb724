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

# Parameters of each preset, counted from the built models; a test holds them to it.
PARAMETERS = {
    "tiny_transformer_vanilla": 2_235_520,
    "tiny_transformer_gelu": 2_235_520,
    "tiny_transformer_swish": 2_235_520,
    "tiny_transformer_squared_relu": 2_235_520,
    "tiny_transformer_reglu": 2_242_720,
    "tiny_transformer_swiglu": 2_242_720,
    "tiny_transformer_plusplus": 2_241_056,
    "tiny_primer_ez": 2_242_432,
    "tiny_primer": 2_240_128,
    "small_transformer_vanilla": 35_352_832,
    "small_transformer_gelu": 35_352_832,
    "small_transformer_swish": 35_352_832,
    "small_transformer_squared_relu": 35_352_832,
    "small_transformer_reglu": 35_344_624,
    "small_transformer_swiglu": 35_344_624,
    "small_transformer_plusplus": 35_337_968,
    "small_primer_ez": 35_380_480,
    "small_primer": 35_371_264,
    "medium_transformer_vanilla": 109_693_824,
    "medium_transformer_gelu": 109_693_824,
    "medium_transformer_swish": 109_693_824,
    "medium_transformer_squared_relu": 109_693_824,
    "medium_transformer_reglu": 109_706_112,
    "medium_transformer_swiglu": 109_706_112,
    "medium_transformer_plusplus": 109_686_912,
    "medium_primer_ez": 109_776_768,
    "medium_primer": 109_749_120,
    "large_transformer_vanilla": 536_537_600,
    "large_transformer_gelu": 536_537_600,
    "large_transformer_swish": 536_537_600,
    "large_transformer_squared_relu": 536_537_600,
    "large_transformer_reglu": 536_652_320,
    "large_transformer_swiglu": 536_652_320,
    "large_transformer_plusplus": 536_602_144,
    "large_primer_ez": 536_758_784,
    "large_primer": 536_685_056,
    "xl_transformer_gelu": 1_878_283_008,
    "xl_primer_ez": 1_878_946_560,
    "xl_primer": 1_954_222_848,
}


def parameter_table():
    """Returns the presets as a table: name, shape, and exact number of parameters."""
    rows = [("preset", "layers", "d_model", "heads", "d_ff", "parameters")]
    for name, config in PRESETS.items():
        heads = f"{config['num_heads']} x {config.get('head_dim', 64)}"
        keys = ("num_layers", "hidden_dim", "intermediate_dim")
        layers, d_model, d_ff = (str(config[key]) for key in keys)
        rows.append((name, layers, d_model, heads, d_ff, f"{PARAMETERS[name]:,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )
