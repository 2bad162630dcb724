"""`primer scale`: how the savings of an architecture grow with compute."""

from argparse import ArgumentParser, Namespace

from primer_tf.cli import studies
from primer_tf.errors import UserError

HELP = "Train a grid of sizes and lengths for each architecture, and fit scaling laws."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument(
        "--models",
        default="vanilla,primer_ez",
        help="as for `primer compare`; the first is the baseline (default: %(default)s)",
    )
    parser.add_argument(
        "--shapes",
        default="64x1,96x3,128x4,192x6,256x8",
        help="d_model x layers of each size, with heads of 32 channels and d_ff = 4 d_model "
        "(default: %(default)s)",
    )
    studies.add_study(parser, "steps:1000", lengths="0.25,0.5,1")


def run(arguments: Namespace) -> None:
    """Runs what is missing of the grid, and reports."""
    models = studies.model_presets(arguments.models, arguments.size)
    if not models:
        raise UserError("primer scale needs a model, as in --models vanilla,primer_ez.")
    studies.needs_scipy()
    from primer_tf.studies.shapes import shape

    try:
        sizes = {text: shape(*map(int, text.split("x"))) for text in arguments.shapes.split(",")}
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"shapes must be given as 64x2,128x4; received {arguments.shapes!r}."
        ) from error
    studies.run_study(
        arguments,
        "scale",
        f"Scaling of {', '.join(models)}",
        models,
        next(iter(models)),
        sizes=sizes,
    )
