"""Samplers by name, with the settings that all of them call the same."""

from typing import Any

import keras_hub

from primer_tf.samplers.greedy_sampler import GreedySampler

CLASSES = {
    "greedy": GreedySampler,
    "top_k": keras_hub.samplers.TopKSampler,
    "top_p": keras_hub.samplers.TopPSampler,
    "random": keras_hub.samplers.RandomSampler,
    "beam": keras_hub.samplers.BeamSampler,
    "contrastive": keras_hub.samplers.ContrastiveSampler,
}
KEYWORDS = {"top_k": "k", "top_p": "p"}
SEEDED = ("top_k", "top_p", "random")


def make_sampler(name: str, seed: int | None = None, **settings: Any) -> keras_hub.samplers.Sampler:
    """Returns a sampler.

    Args:
        name: `"greedy"`, `"top_k"`, `"top_p"`, `"random"`, `"beam"` or `"contrastive"`.
        seed: The seed of what is drawn. Defaults to a random one.
        **settings: `temperature`, `top_k` and `top_p`, those that the sampler has. Each defaults to
            the default of the sampler.

    Example:

    >>> from primer_tf.samplers import make_sampler
    >>> make_sampler("top_p", seed=1, top_p=0.9, temperature=0.7).get_config()
    {'temperature': 0.7, 'p': 0.9, 'k': None, 'seed': 1}
    """
    arguments = {KEYWORDS.get(setting, setting): value for setting, value in settings.items()}
    if name in SEEDED:
        arguments["seed"] = seed
    return CLASSES[name](**arguments)
