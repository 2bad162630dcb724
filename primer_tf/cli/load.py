"""Loads a trained preset for a subcommand."""

import sys
from typing import TYPE_CHECKING, Any

from primer_tf.cli.libraries import import_tensorflow
from primer_tf.cli.terminal import status
from primer_tf.errors import UserError, preset_errors
from primer_tf.training.record import preset_of_run

if TYPE_CHECKING:
    from primer_tf.models import PrimerCausalLM

HELP = "preset directory, or the folder of a run, which stands for its best preset"


def load(preset: str, sampler: Any = "greedy") -> "PrimerCausalLM":
    """Returns the trained model of a preset directory, compiled with a sampler.

    Of a run's folder it loads the best preset, and says so on the standard error.

    Args:
        preset: The preset directory, or the folder of a run.
        sampler: A KerasHub sampler, or its name. Defaults to `"greedy"`.

    Raises:
        UserError: The preset cannot be loaded, or has no trained weights.
    """
    asked, preset = preset, preset_of_run(preset)
    if preset != asked:
        print(f"primer: loading {preset}", file=sys.stderr)
    with status(f"Loading {preset}"):
        import_tensorflow()
        from primer_tf.models import PrimerCausalLM

        with preset_errors(preset):
            model = PrimerCausalLM.from_preset(preset)
        if model.preprocessor is None:
            raise UserError(f"Preset {preset!r} has no trained weights; train it first.")
        model.compile(sampler=sampler)
    return model
