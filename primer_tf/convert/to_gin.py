"""From the arguments of a Keras model to the gin file of the same Mesh TensorFlow model."""

import inspect

from primer_tf import gin_directory
from primer_tf.errors import UserError
from primer_tf.models import PrimerBackbone
from primer_tf.zoo.gin_reader import read_text
from primer_tf.zoo.model_arguments import backbone_arguments
from primer_tf.zoo.resolved_bindings import ResolvedBindings

# The macros of the gin files, by the argument that each stands for.
MACROS = {
    "num_layers": "num_layers",
    "hidden_dim": "d_model",
    "num_heads": "num_heads",
    "head_dim": "d_kv",
    "intermediate_dim": "d_ff",
    "dropout": "dropout_rate",
    "vocabulary_size": "vocabulary_size",
}


def to_gin(backbone):
    """Returns the text of a gin file that describes a backbone.

    It includes the architecture of this package that fits, and adds what is different.

    Args:
        backbone: A `PrimerBackbone`.

    Returns:
        Text, whose first line states the number of parameters.

    Raises:
        UserError: No architecture of the gin files fits.
    """
    wanted = {name: getattr(backbone, name) for name in _defaults()}
    closest = None
    for path in sorted((gin_directory() / "architectures").glob("*.gin")):
        text = _text(backbone, path.stem)
        found = {**_defaults(), **backbone_arguments(ResolvedBindings(read_text(text, path.stem)))}
        different = [name for name in wanted if found[name] != wanted[name]]
        if not different:
            return text
        if closest is None or len(different) < len(closest[1]):
            closest = path.stem, different, found
    name, different, found = closest
    reasons = ", ".join(f"{n} is {wanted[n]!r}, not {found[n]!r}" for n in different)
    raise UserError(
        f"No gin file describes this model; the closest architecture is {name}, but {reasons}."
    )


def _defaults():
    """Returns the arguments that shape a backbone, with their defaults."""
    parameters = inspect.signature(PrimerBackbone.__init__).parameters.values()
    arguments = {p.name: p.default for p in parameters if p.default is not p.empty}
    del arguments["dtype"]
    return {**arguments, "block": list(arguments["block"])}


def _text(backbone, architecture):
    macros = dict(MACROS)
    if "switch_feed_forward" in backbone.block:
        macros["num_experts"] = "num_experts"
    lines = [f"{macro} = {getattr(backbone, name)!r}\n" for name, macro in macros.items()]
    length = backbone.max_sequence_length
    return (
        f"# {backbone.count_params():,} parameters.\n"
        'include "defaults.gin"\n'
        f'include "architectures/{architecture}.gin"\n\n'
        f"{''.join(lines)}\n"
        f'utils.run.sequence_length = {{"inputs": 1, "targets": {length}}}\n'
        f"LayerStack.recompute_grads = {backbone.gradient_checkpointing}\n"
    )
