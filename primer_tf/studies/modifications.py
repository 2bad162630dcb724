"""Primer's modifications one by one, as arguments of `PrimerBackbone`."""

from dataclasses import dataclass, field

from primer_tf.errors import UserError
from primer_tf.studies.shapes import gated_width
from primer_tf.types import Config

# What ablations start from: modifications are inserted in the first and taken out of the second.
PLAIN = "vanilla"
WHOLE = "primer"
INSERTED = f"{PLAIN} + "
REMOVED = f"{WHOLE} - "
REPLACED = f"{WHOLE} with "


@dataclass(frozen=True)
class Modification:
    """A single change of the architecture (Primer, section 4.1 and appendix A.3).

    Attributes:
        label: What reports call it.
        inserted: Arguments of `PrimerBackbone` that add it to the vanilla Transformer.
        removed: Arguments that take it out of Primer, or for a variant those that put it in the
            place of what Primer has. `None` if Primer has nothing of the kind.
        is_variant: Whether Primer has something else of the same kind.
        gated: Whether the feed-forward layers are gated, and so narrower.
    """

    label: str
    inserted: Config = field(default_factory=dict)
    removed: Config | None = None
    is_variant: bool = False
    gated: bool = False


def _block(attention: str) -> Config:
    return {"block": [attention, "feed_forward"]}


def _dconv(kernel_size: int) -> Config:
    return {"kernel_size": kernel_size}


MODIFICATIONS: dict[str, Modification] = {
    "squared_relu": Modification(
        "squared ReLU", {"activation": "squared_relu"}, {"activation": "relu"}
    ),
    "mdha": Modification("MDHA", _dconv(3), {"kernel_size": None}),
    "dconv_query": Modification(
        "MDHA on Q alone", {**_dconv(3), **_block("query_dconv_attention")}
    ),
    "dconv_key": Modification("MDHA on K alone", {**_dconv(3), **_block("key_dconv_attention")}),
    "dconv_value": Modification(
        "MDHA on V alone",
        {**_dconv(3), **_block("value_dconv_attention")},
    ),
    "shared_query_key": Modification(
        "shared QK", {"shared_query_key": True}, {"shared_query_key": False}
    ),
    "normalization": Modification(
        "custom norm", {"normalization": "primer"}, {"normalization": "layer"}
    ),
    "placement": Modification(
        "pre and post norm", {"placement": "alternating"}, {"placement": "pre"}
    ),
    "kernel_2": Modification("MDHA, width 2", _dconv(2), _dconv(2), is_variant=True),
    "kernel_5": Modification("MDHA, width 5", _dconv(5), _dconv(5), is_variant=True),
    "kernel_7": Modification("MDHA, width 7", _dconv(7), _dconv(7), is_variant=True),
    "gated_squared_relu": Modification(
        "gated squared ReLU",
        {"activation": "squared_relu", "gated": True},
        {"gated": True},
        is_variant=True,
        gated=True,
    ),
    "token_shift": Modification(
        "token shift",
        _block("token_shift_attention"),
        {"kernel_size": None, **_block("token_shift_attention")},
        is_variant=True,
    ),
}


def ablation_models(size: str, names: list[str] | None = None) -> dict[str, Config]:
    """Returns the models of an ablation, as `Study` takes them.

    Args:
        size: A size of the presets, such as `"tiny"`.
        names: Names in `MODIFICATIONS`. Defaults to all.

    Raises:
        UserError: A name is unknown.
    """
    from primer_tf.gin_config.presets import preset_arguments

    plain, whole = f"{size}_transformer_vanilla", f"{size}_primer"
    models: dict[str, Config] = {
        PLAIN: {"preset": plain},
        "primer_ez": {"preset": f"{size}_primer_ez"},
        WHOLE: {"preset": whole},
    }
    width = gated_width(preset_arguments(whole)["intermediate_dim"])
    for name in names or MODIFICATIONS:
        if name not in MODIFICATIONS:
            raise UserError(
                f"Unknown modification {name!r}. Known ones: {', '.join(MODIFICATIONS)}."
            )
        change = MODIFICATIONS[name]
        narrower = {"intermediate_dim": width} if change.gated else {}
        models[INSERTED + name] = {"preset": plain, **change.inserted, **narrower}
        if change.removed is not None:
            other = REPLACED if change.is_variant else REMOVED
            models[other + name] = {"preset": whole, **change.removed, **narrower}
    return models
