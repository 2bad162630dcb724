"""The options that choose a sampler and its settings."""

from argparse import ArgumentParser, Namespace
from typing import Any

from primer_tf.errors import UserError
from primer_tf.training.config import COUNT_OR_ZERO, Constraint

# The settings that each sampler has.
SETTINGS: dict[str, tuple[str, ...]] = {
    "greedy": (),
    "top_k": ("temperature", "top_k"),
    "top_p": ("temperature", "top_k", "top_p"),
    "random": ("temperature",),
    "beam": (),
    "contrastive": ("top_k",),
}
CONSTRAINTS = {
    # Logits divided by less would not be finite.
    "temperature": Constraint(
        "0, which is greedy, or from 0.001 to 1000", lambda t: t == 0 or 0.001 <= t <= 1000
    ),
    "top_k": COUNT_OR_ZERO,
    "top_p": Constraint("above 0 and at most 1", lambda p: 0 < p <= 1),
}


def add_sampling(parser: ArgumentParser, default: str = "top_k") -> None:
    """Adds `--sampler`, `--temperature`, `--top_k` and `--top_p`.

    Args:
        parser: The parser to add them to.
        default: The sampler if no option is given. Defaults to `"top_k"`.
    """
    names = ", ".join(SETTINGS)
    parser.add_argument(
        "--sampler", help=f"{names} (default: {default}, or what the settings ask for)"
    )
    parser.add_argument(
        "--temperature", type=float, help="above 1 more varied, 0 greedy (default: 1.0)"
    )
    parser.add_argument(
        "--top_k", type=int, help="draw from so many tokens, 0 from all (default: 5)"
    )
    parser.add_argument(
        "--top_p", type=float, help="draw from the fewest tokens with this probability together"
    )


def check_sampling(arguments: Namespace) -> None:
    """Checks `--sampler` and `--max_length`.

    Args:
        arguments: The parsed arguments.

    Raises:
        UserError: There is no such sampler, or the length leaves no room for text.
    """
    sampler, max_length = arguments.sampler, arguments.max_length
    if sampler not in (None, *SETTINGS):
        raise UserError(f"Unknown sampler {sampler!r}; known: {', '.join(SETTINGS)}.")
    if max_length is not None and max_length < 2:
        raise UserError(f"max_length {max_length} leaves no room for text; give at least 2.")


def chosen_sampler(arguments: Namespace, default: str = "top_k") -> tuple[str, dict[str, Any]]:
    """Returns the name and the settings of the sampler that the options choose.

    Args:
        arguments: The parsed arguments.
        default: The sampler if no option is given. Defaults to `"top_k"`.

    Raises:
        UserError: A setting is out of range, or the sampler does not have it.
    """
    given = {name: getattr(arguments, name) for name in CONSTRAINTS}
    given = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        CONSTRAINTS[name].check(value, name)
    sampler = arguments.sampler
    if sampler is None:
        sampler = _sampler_for(given) if given else default
        if sampler == "greedy":
            return sampler, {}
    if sampler in ("top_p", "random") and given.get("top_k") == 0:
        del given["top_k"]
    for name in given:
        if name not in SETTINGS[sampler]:
            raise UserError(f"The sampler {sampler} has no {name}; leave one of them out.")
    if given.get("temperature") == 0:
        raise UserError(f"With temperature 0 the sampler is greedy; leave --sampler {sampler} out.")
    if given.get("top_k") == 0:
        raise UserError(f"With top_k 0 the sampler is random; leave --sampler {sampler} out.")
    return sampler, given


def _sampler_for(given: dict[str, Any]) -> str:
    """Returns the sampler that settings ask for if no sampler is named."""
    if given.get("temperature") == 0:
        return "greedy"
    if "top_p" in given:
        return "top_p"
    return "random" if given.get("top_k") == 0 else "top_k"
