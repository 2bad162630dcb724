"""`primer models`: the presets and their sizes."""

from argparse import ArgumentParser, Namespace

HELP = "List the presets with their exact parameter counts."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument(
        "--gin", action="store_true", help="what each gin file's model costs: FLOPs and memory"
    )


def run(arguments: Namespace) -> None:
    """Prints a table."""
    if arguments.gin:
        from primer_tf.models.cost import cost_table

        print(cost_table())
    else:
        from primer_tf.gin_config.presets import preset_table
        from primer_tf.gin_config.trained_presets import trained_presets

        print(preset_table())
        for name, preset in trained_presets().items():
            print(f"{name}, trained: {preset['metadata']['description']}")
