"""`primer generate`: completes prompts."""

from argparse import ArgumentParser, Namespace

from primer_tf.cli import options
from primer_tf.cli.load import load
from primer_tf.errors import UserError

HELP = "Complete a prompt."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument("preset", help="preset directory")
    parser.add_argument("--prompt", required=True, action="append", help="may be repeated")
    options.add_sampling(parser)
    options.add_field(parser, "seed", help="seed of the sampler")


def run(arguments: Namespace) -> None:
    """Prints each prompt with its completion."""
    options.check_sampling(arguments)
    if not all(prompt.strip() for prompt in arguments.prompt):
        raise UserError("--prompt is empty; give the text to continue.")
    options.check_field(arguments, "seed")

    import keras

    model = load(arguments.preset, arguments.sampler)
    keras.utils.set_random_seed(arguments.seed)
    for text in model.generate(list(arguments.prompt), max_length=arguments.max_length):
        print(text)
