"""Puts the best preset of a run into the package, with half-precision weights and a model card.

`python -m benchmarks.ship_preset runs/english tiny_primer_ez_english --text "..." --licence MIT`
writes `primer_tf/trained/tiny_primer_ez_english`.
"""

import argparse

from primer_tf.gin_config.trained_presets import save_trained_preset
from primer_tf.models import PrimerCausalLM
from primer_tf.training.record import preset_of_run, read_config

CARD = """# {name}

{parameters:,} parameters, {steps:,} steps of {batch_size} x {sequence_length} tokens of {text}.

- Text: {text}, licence: {licence}.
- Architecture: `{preset}`; vocabulary of {pieces:,} pieces, trained on the same text.
- It is a small model for trying things out: it knows no facts, and may write anything.
- Weights are stored in float16.
"""


def main():
    """Reads the arguments and writes the preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="folder of a finished run of `primer train`")
    parser.add_argument("name", help="name of the preset")
    parser.add_argument("--text", required=True, help="what the training text is, for the card")
    parser.add_argument("--licence", required=True, help="the licence of the text")
    arguments = parser.parse_args()
    config = read_config(arguments.run)
    model = PrimerCausalLM.from_preset(preset_of_run(arguments.run))
    card = CARD.format(
        name=arguments.name,
        parameters=model.count_params(),
        steps=config.steps,
        batch_size=config.batch_size,
        sequence_length=config.sequence_length,
        text=arguments.text,
        licence=arguments.licence,
        preset=config.preset,
        pieces=model.preprocessor.tokenizer.vocabulary_size(),
    )
    print(save_trained_preset(model, arguments.name, card))


if __name__ == "__main__":
    main()
