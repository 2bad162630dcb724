"""From the gin files of a Mesh TensorFlow model to the same model in Keras."""

from primer_tf.gin_config import configurables as known
from primer_tf.gin_config import gin_reader
from primer_tf.gin_config.model_arguments import backbone_arguments, loss_arguments
from primer_tf.gin_config.resolved_bindings import ResolvedBindings
from primer_tf.gin_config.run_arguments import dtype_policy
from primer_tf.losses import NextTokenLoss
from primer_tf.models import PrimerBackbone, PrimerCausalLM


def from_gin(files, bindings=(), preprocessor=None, location_prefixes=(), **arguments):
    """Returns the Keras model that the gin files of a Mesh TensorFlow model describe.

    Args:
        files: A name or a list of them, as `--gin_file` takes them (`"mine.gin"`,
            `"models/medium_primer.gin"`), found as `gin_config.gin_search.GinSearch` says.
        bindings: List of bindings as `--gin_param` takes them (`"num_layers = 6"`).
        preprocessor: A `PrimerCausalLMPreprocessor`, or `None` to work on token ids.
        location_prefixes: Folders to search for gin files, as `--gin_location_prefix` takes them.
        **arguments: Arguments of `PrimerBackbone` that override the files.

    Returns:
        A compiled `PrimerCausalLM` with fresh weights.

    Raises:
        UserError: A file is missing, is not gin or includes itself; a binding is misspelled, or
            says something that the Keras model cannot honour. The message names file and line.

    Example:

    >>> model = primer_tf.from_gin("models/medium_primer.gin", bindings=["num_layers = 6"])
    """
    files = [files] if isinstance(files, str) or not hasattr(files, "__iter__") else files
    resolved = ResolvedBindings(gin_reader.read(files, bindings, location_prefixes))
    described = backbone_arguments(resolved)
    if resolved.is_bound(known.VARIABLE_DTYPE, "activation_dtype"):
        described["dtype"] = dtype_policy(resolved)
    backbone = PrimerBackbone(**{**described, **arguments})
    model = PrimerCausalLM(backbone, preprocessor)
    model.compile(loss=NextTokenLoss(**loss_arguments(resolved)))
    return model
