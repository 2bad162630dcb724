"""Does a model use more context than it was trained with?

Evaluates presets with trained weights on the validation text of the demo, cut into chunks of the
training length and of two, four and eight times that. Each token is predicted once; longer chunks
give it more context. T5's relative position bias has one value for all distances from 128 on.
"""

from pathlib import Path

from benchmarks.harness import options, write_json

NAME = "longer_texts"


def add_arguments(parser):
    """Adds this benchmark's own arguments."""
    parser.add_argument("--presets", nargs="*", help="default: those that the package carries")
    parser.add_argument("--data", default="demo", help="as of primer train")


def evaluate(preset, data, factors):
    """Yields lengths, so many times the training length, and the bits per byte at them."""
    from primer_tf.data.load_chunks import load_chunks
    from primer_tf.evaluation import Evaluator
    from primer_tf.models import PrimerCausalLM, PrimerCausalLMPreprocessor

    preprocessor = PrimerCausalLMPreprocessor.from_preset(preset)
    trained = preprocessor.sequence_length
    model = PrimerCausalLM.from_preset(preset, max_sequence_length=max(factors) * trained)
    for factor in factors:
        length = factor * trained
        chunks, text = load_chunks(data, "validation", preprocessor.tokenizer, length)
        yield length, Evaluator(model, chunks, text, max(1, 16 // factor))().bits_per_byte


def draw(path, rows):
    """Draws bits per byte over lengths."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    for preset, found in rows.items():
        axes.plot(*zip(*found.items(), strict=True), ".-", label=preset)
    axes.set(xlabel="tokens in a chunk", ylabel="bits per byte", xscale="log")
    axes.set_xticks(list(found), list(map(str, found)))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main():
    """Evaluates, prints a row for each preset, and draws."""
    arguments = options(__doc__, add_arguments)
    from primer_tf.gin_config.trained_presets import trained_presets

    rows = {}
    for preset in arguments.presets or trained_presets():
        factors = (1, 2) if arguments.smoke else (1, 2, 4, 8)
        rows[preset] = dict(evaluate(preset, arguments.data, factors))
        bits = "  ".join(f"{length}: {value:.4f}" for length, value in rows[preset].items())
        print(f"{preset:<40} bits per byte at {bits}", flush=True)
    path = write_json(NAME, {"data": arguments.data, "rows": rows}, arguments.output)
    draw(Path(path).with_suffix(".png"), rows)


if __name__ == "__main__":
    main()
