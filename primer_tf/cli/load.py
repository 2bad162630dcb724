"""Loads a trained preset for a subcommand."""

from typing import TYPE_CHECKING

from primer_tf.errors import UserError, preset_errors

if TYPE_CHECKING:
    from primer_tf.models import PrimerCausalLM


def load(preset: str, sampler: str = "greedy") -> "PrimerCausalLM":
    """Returns the trained model of a preset directory, compiled with a sampler.

    Args:
        preset: The preset directory.
        sampler: The name of a KerasHub sampler. Defaults to `"greedy"`.

    Raises:
        UserError: The preset cannot be loaded, or has no trained weights.
    """
    from primer_tf.models import PrimerCausalLM

    with preset_errors(preset):
        model = PrimerCausalLM.from_preset(preset)
    if model.preprocessor is None:
        raise UserError(f"Preset {preset!r} has no trained weights; train it first.")
    model.compile(sampler=sampler)
    return model
