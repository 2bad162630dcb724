"""Puts the best preset of a run into the package, with half-precision weights and a model card.

`python -m benchmarks.ship_preset runs/english/primer_ez tiny_primer_ez_english --text "..."
--licence "public domain"` writes `primer_tf/trained/tiny_primer_ez_english`. The bits per byte on
the card are those of the preset as it ships.
"""

import argparse

from primer_tf.data.load_chunks import load_chunks
from primer_tf.evaluation import Evaluator
from primer_tf.files import atomic_write
from primer_tf.gin_config.trained_presets import CARD, save_trained_preset
from primer_tf.models import PrimerCausalLM
from primer_tf.training.record import preset_of_run, read_config

TEXT = """# {name}

{parameters:,} parameters, trained on {text}; {bits_per_byte:.3f} bits per byte in validation.

- Text: {text}; licence: {licence}. Nothing else was read.
- Architecture: `{preset}`; a vocabulary of {pieces:,} pieces, trained on the same text.
- Training: {steps:,} steps of {batch_size} x {sequence_length} tokens. `make trained` runs

      primer train {command}

- Validation, with the weights in float16, as they ship: {bits_per_byte:.4f} bits per byte in
  {num_bytes:,} bytes, which were held out; {demo_bits_per_byte:.4f} in those of the King James
  Bible alone: `primer evaluate {name} --data demo`.
- It is a small model to try things with: it knows no facts, and may write anything.
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
    folder = save_trained_preset(model, arguments.name, "Not evaluated yet.")
    model = PrimerCausalLM.from_preset(arguments.name)
    tokenizer = model.preprocessor.tokenizer
    figures = {}
    for data, validation in ((config.data, config.validation_data), ("demo", None)):
        source = (data, "validation", tokenizer, config.sequence_length, validation)
        chunks, text = load_chunks(*source)
        figures[data] = Evaluator(model, chunks, text, config.batch_size)()
    evaluation = figures[config.data]
    card = TEXT.format(
        name=arguments.name,
        parameters=model.count_params(),
        steps=config.steps,
        batch_size=config.batch_size,
        sequence_length=config.sequence_length,
        text=arguments.text,
        licence=arguments.licence,
        preset=config.preset,
        pieces=tokenizer.vocabulary_size(),
        command=config,
        num_bytes=evaluation.text.num_bytes,
        bits_per_byte=evaluation.bits_per_byte,
        demo_bits_per_byte=figures["demo"].bits_per_byte,
    )
    atomic_write(folder / CARD, card)
    print(f"{folder}: {evaluation}")


if __name__ == "__main__":
    main()
