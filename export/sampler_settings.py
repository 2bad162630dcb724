"""KerasHub's samplers as the settings of requests."""

from typing import Any

from keras_hub import samplers

from primer_tf.export.request_settings import Defaults
from primer_tf.samplers import GreedySampler

# By exact class: a subclass may choose in another way.
ATTRIBUTES: dict[type, dict[str, str]] = {
    GreedySampler: {},
    samplers.GreedySampler: {},
    samplers.RandomSampler: {"temperature": "temperature", "seed": "seed"},
    samplers.TopKSampler: {"temperature": "temperature", "top_k": "k", "seed": "seed"},
    samplers.TopPSampler: {
        "temperature": "temperature",
        "top_k": "k",
        "top_p": "p",
        "seed": "seed",
    },
}


def sampler_settings(sampler: Any) -> Defaults | None:
    """Returns the settings that choose tokens as a sampler does.

    Args:
        sampler: A KerasHub sampler.

    Returns:
        The `Defaults`, or `None` for a sampler that is none of KerasHub's, or that chooses among
        several texts, as beam search does.
    """
    attributes = ATTRIBUTES.get(type(sampler))
    if attributes is None:
        return None
    values = {name: getattr(sampler, attribute) for name, attribute in attributes.items()}
    return Defaults(**{name: value for name, value in values.items() if value is not None})
