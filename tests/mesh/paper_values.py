"""Millions of parameters as the code that accompanied the paper states them."""

PUBLISHED = {
    "small_transformer_vanilla": 35,
    "small_transformer_gelu": 35,
    "small_transformer_plusplus": 35,
    "small_primer": 36,
    "small_primer_ez": 36,
    "small_evolved_transformer": 38,
    "medium_transformer_vanilla": 110,
    "medium_transformer_gelu": 110,
    "medium_transformer_swish": 110,
    "medium_transformer_squared_relu": 110,
    "medium_transformer_reglu": 110,
    "medium_transformer_swiglu": 110,
    "medium_transformer_plusplus": 110,
    "medium_evolved_transformer": 110,
    "medium_primer": 110,
    "medium_primer_ez": 110,
    "large_transformer_vanilla": 537,
    "large_transformer_plusplus": 537,
    "large_primer": 537,
    "switch_transformer": 550,
    "switch_primer": 550,
    "synthesizer": 145,
    "synthesizer_squared_relu": 145,
}

# Full Primer as its published files ran, normalized before every layer: gin files of ours with the
# same variables.
AS_PUBLISHED = {
    f"{size}_primer_as_published": PUBLISHED[f"{size}_primer"]
    for size in ("small", "medium", "large")
}
