"""`primer export`: writes a SavedModel for TensorFlow Serving."""

from argparse import ArgumentParser, Namespace

from primer_tf.cli import sampling
from primer_tf.cli.load import HELP as OF_PRESET
from primer_tf.cli.load import load
from primer_tf.errors import UserError
from primer_tf.training.config import COUNT

HELP = "Write a SavedModel for TensorFlow Serving."

DTYPES = ("float32", "bfloat16", "float16", "mixed_bfloat16", "mixed_float16")
QUANTIZATIONS = ("int8",)


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument("preset", help=OF_PRESET)
    parser.add_argument("directory", help="folder of the versions")
    parser.add_argument("--version", type=int, help="number of the version (default: the next)")
    parser.add_argument("--max_length", type=int, help="tokens of prompt and completion")
    sampling.add_sampling(parser, default="greedy")
    parser.add_argument(
        "--ids", action="store_true", help="signatures on token ids, which need no TF Text"
    )
    parser.add_argument(
        "--jit_compile",
        action="store_true",
        help="let XLA compile decoding (TensorFlow Serving: --xla_cpu_compilation_enabled)",
    )
    parser.add_argument(
        "--draft", help="ngram: guess tokens from the text itself, and check several at a time"
    )
    parser.add_argument("--dtype", help=f"{', '.join(DTYPES)} (default: the preset's)")
    parser.add_argument("--quantize", help="int8, for weights of one byte (default: none)")


def run(arguments: Namespace) -> None:
    """Writes the SavedModel and prints its folder."""
    sampling.check_sampling(arguments)
    if arguments.version is not None:
        COUNT.check(arguments.version, "version")
    for name, known in (("dtype", DTYPES), ("quantize", QUANTIZATIONS)):
        value = getattr(arguments, name)
        if value not in (None, *known):
            raise UserError(f"Unknown {name} {value!r}; known: {', '.join(known)}.")
    sampler, settings = sampling.chosen_sampler(arguments, default="greedy")

    from primer_tf.export import export_saved_model
    from primer_tf.samplers import make_sampler

    model = load(
        arguments.preset,
        make_sampler(sampler, **settings),
        **({} if arguments.dtype is None else {"dtype": arguments.dtype}),
    )
    if arguments.quantize:
        model.quantize(arguments.quantize)
    folder = export_saved_model(
        model,
        arguments.directory,
        arguments.max_length,
        arguments.version,
        ids=arguments.ids,
        jit_compile=arguments.jit_compile,
        draft=arguments.draft,
    )
    print(f"Wrote {folder}.")
