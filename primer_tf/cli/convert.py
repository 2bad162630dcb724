"""`primer convert`: between the checkpoints of the T5 codebase and Keras presets."""

from argparse import ArgumentParser, Namespace

from primer_tf.cli import options
from primer_tf.cli.load import HELP as PRESET
from primer_tf.cli.load import resolve

HELP = "Convert between the checkpoints of the T5 codebase and Keras presets, bitwise."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    directions = parser.add_subparsers(dest="direction", required=True)
    to_keras = directions.add_parser("mesh-to-keras", help="from a T5 model_dir to a preset")
    to_keras.add_argument("model_dir", help="folder of the checkpoints")
    to_keras.add_argument("preset", help="preset directory to write")
    options.add_gin(to_keras, "default: the operative_config.gin in model_dir")
    to_keras.add_argument("--vocabulary", help="default: the one that the gin files name")
    to_keras.add_argument("--step", type=int, help="of the checkpoint; default: the newest")
    to_mesh = directions.add_parser("keras-to-mesh", help="from a preset to a T5 model_dir")
    to_mesh.add_argument("preset", help=PRESET)
    to_mesh.add_argument("model_dir", help="folder of the checkpoint to write")


def run(arguments: Namespace) -> None:
    """Converts in the given direction."""
    if arguments.direction == "keras-to-mesh":
        from primer_tf.convert.keras_to_mesh import keras_to_mesh

        keras_to_mesh(resolve(arguments.preset), arguments.model_dir)
        return
    from primer_tf.convert.mesh_to_keras import mesh_to_keras

    mesh_to_keras(
        arguments.model_dir,
        arguments.preset,
        arguments.gin_file,
        arguments.gin_param,
        arguments.vocabulary,
        arguments.step,
        location_prefixes=arguments.gin_location_prefix,
    )
