"""Prompts for several devices, of which each gets as many."""

from typing import Any

import numpy as np

from primer_tf.layers.replicas import num_replicas

ALL = slice(None)


def repeat_last_prompt(inputs: Any) -> tuple[Any, int | slice]:
    """Repeats the last prompt until the devices of the present distribution divide the prompts.

    Args:
        inputs: What `generate` takes. The devices must divide the batches of a dataset.

    Returns:
        `(inputs, own)`: the prompts, and the index of the caller's own ones among them.
    """
    replicas = num_replicas()
    if replicas == 1:
        return inputs, ALL
    if isinstance(inputs, str):
        return [inputs] * replicas, 0
    if isinstance(inputs, dict):
        repeated = {key: repeat_last_prompt(value) for key, value in inputs.items()}
        own = next(own for _, own in repeated.values())
        return {key: value for key, (value, _) in repeated.items()}, own
    if isinstance(inputs, (list, tuple)):
        return [*inputs, *[inputs[-1]] * (-len(inputs) % replicas)], slice(len(inputs))
    if len(getattr(inputs, "shape", ())) == 0:
        return inputs, ALL
    array = np.asarray(inputs)
    missing = -len(array) % replicas
    return np.concatenate([array, *[array[-1:]] * missing]), slice(len(array))


def only(own: int | slice, outputs: Any) -> Any:
    """Returns the caller's own rows of what `generate` returned."""
    if own == ALL:
        return outputs
    if isinstance(outputs, dict):
        return {key: value[own] for key, value in outputs.items()}
    return outputs[own]
