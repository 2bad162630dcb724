"""Speedup factors of the Primer paper's tables 1 and 2, and its appendix, for reports."""

# Of 35M parameters on LM1B, by the code base and the hardware, relative to a Transformer with ReLU.
SPEEDUPS: dict[str, dict[str, float]] = {
    "paper, LM1B, T2T, TPUv2": {
        "transformer_vanilla": 1.00,
        "transformer_gelu": 1.23,
        "transformer_plusplus": 1.37,
        "primer": 2.12,
        "primer_ez": 2.34,
    },
    "paper, LM1B, T2T, V100": {
        "transformer_vanilla": 1.00,
        "transformer_gelu": 1.05,
        "transformer_plusplus": 1.54,
        "primer": 2.13,
        "primer_ez": 2.03,
    },
    "paper, LM1B, T5, TPUv2": {
        "transformer_vanilla": 1.00,
        "transformer_gelu": 0.97,
        "transformer_plusplus": 1.33,
        "primer": 1.72,
        "primer_ez": 1.75,
    },
}


def paper_speedups(preset: str) -> dict[str, float]:
    """Returns the paper's speedup factors of a preset's architecture, by experiment."""
    architecture = preset.partition("_")[2]
    return {
        experiment: values[architecture]
        for experiment, values in SPEEDUPS.items()
        if architecture in values
    }
