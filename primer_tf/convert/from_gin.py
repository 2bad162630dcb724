"""Builds the Keras model that the gin files of a Mesh TensorFlow model describe."""

from collections.abc import Iterable
from os import PathLike
from typing import Any

from primer_tf.gin_config import configurables as known
from primer_tf.gin_config import gin_reader
from primer_tf.gin_config.model_arguments import backbone_arguments, loss_arguments
from primer_tf.gin_config.resolved_bindings import ResolvedBindings
from primer_tf.gin_config.run_arguments import dtype_policy
from primer_tf.gin_config.unused_macros import check_macros
from primer_tf.losses import NextTokenLoss
from primer_tf.models import PrimerBackbone, PrimerCausalLM, PrimerCausalLMPreprocessor
from primer_tf.types import StrPath


def from_gin(
    files: StrPath | Iterable[StrPath],
    bindings: Iterable[str] = (),
    preprocessor: PrimerCausalLMPreprocessor | None = None,
    location_prefixes: Iterable[StrPath] = (),
    **arguments: Any,
) -> PrimerCausalLM:
    """Returns the Keras model that the gin files of a Mesh TensorFlow model describe.

    Args:
        files: A gin file or a list of them, named as for `--gin_file`, such as `"mine.gin"` or
            `"models/medium_primer.gin"`. `gin_config.gin_search.GinSearch` describes the search.
        bindings: List of bindings as for `--gin_param`, such as `"num_layers = 6"`.
        preprocessor: A `PrimerCausalLMPreprocessor`, or `None` (the default) for a model that
            works on token ids.
        location_prefixes: Folders to search for gin files, as for `--gin_location_prefix`.
        **arguments: Arguments of `PrimerBackbone`, which override the files.

    Returns:
        A compiled `PrimerCausalLM` with fresh weights.

    Raises:
        UserError: If a file is missing, is not gin or includes itself; or if a binding is
            misspelled or has a value that the Keras model does not support. The message names
            file and line.

    Example:

    >>> import primer_tf
    >>> model = primer_tf.from_gin("models/medium_primer.gin", bindings=["num_layers = 6"])
    """
    names = [files] if isinstance(files, str | PathLike) else files
    read = gin_reader.read(names, bindings, location_prefixes)
    check_macros(read)
    resolved = ResolvedBindings(read)
    described = backbone_arguments(resolved)
    if resolved.is_bound(known.VARIABLE_DTYPE, "activation_dtype"):
        described["dtype"] = dtype_policy(resolved)
    backbone = PrimerBackbone(**{**described, **arguments})
    model = PrimerCausalLM(backbone, preprocessor)
    model.compile(loss=NextTokenLoss(**loss_arguments(resolved)))
    return model
