"""Facts of the code that accompanied the paper."""

# Millions of parameters of the published gin files.
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

# Our gin files for full Primer as the published files ran it, normalized before every layer. They
# have the same variables.
AS_PUBLISHED = {
    f"{size}_primer_as_published": PUBLISHED[f"{size}_primer"]
    for size in ("small", "medium", "large")
}

# Bindings of the published files and their operative configurations that have no effect: language
# models ignore them, or they bind the only possible value.
WITHOUT_EFFECT = (
    "Unitransformer.layer_stack = @PrePostNormLayerStack",
    "encoder/LayerStack.sublayers_per_layer = []",
    "deccoder/MDHA.num_heads = 7",
    "decoder/d_ff = 7",
    "MDHA.num_memory_heads = 0",
    "MDHA.shared_kv = False",
    "MDHA.combine_dims = True",
    "MDHA.keep_query_heads_dims = False",
    "MDHA.attention_func = None",
    "MDHA.call.losses = None",
)
