"""Presets with trained weights that the package itself carries, loaded without a network.

Each is a folder in `primer_tf/trained`, with half-precision weights, its vocabulary and a model
card, `README.md`.
"""

import json
from pathlib import Path
from typing import Any

from primer_tf.errors import UserError
from primer_tf.files import atomic_directory
from primer_tf.types import StrPath

FOLDER = Path(__file__).parents[1] / "trained"
CARD = "README.md"
CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
# A wheel is no place for large models.
LARGEST_SIZE = 8_000_000


def trained_presets() -> dict[str, dict[str, Any]]:
    """Returns the trained presets by name, in the form of KerasHub's `presets`."""
    return {
        path.parent.name: {
            "metadata": {
                "description": _description(path.parent),
                "params": json.loads((path.parent / "metadata.json").read_text())[
                    "parameter_count"
                ],
                "path": "primer",
            }
        }
        for path in sorted(FOLDER.glob(f"*/{CONFIG}"))
    }


def _description(folder: Path) -> str:
    """Returns the first line of a model card that is no heading."""
    lines = (folder / CARD).read_text(encoding="utf-8").splitlines()
    return next((line for line in lines if line and not line.startswith("#")), "")


def preset_path(preset: StrPath) -> str:
    """Returns the folder of a trained preset, given its name, and any other preset as it is.

    Args:
        preset: Name of a trained preset, or any other preset.
    """
    folder = FOLDER / str(preset)
    is_name = Path(str(preset)).name == str(preset)
    return str(folder) if is_name and (folder / CONFIG).exists() else str(preset)


def save_trained_preset(model: Any, name: str, card: str) -> Path:
    """Adds a trained model to the presets that the package carries.

    Args:
        model: A `PrimerCausalLM` with a preprocessor.
        name: Name of the preset.
        card: The model card: what it was trained on, under which licence, and how good it is. The
            first line that is no heading describes it in lists.

    Returns:
        The folder.

    Raises:
        UserError: The model has no tokenizer, the card is empty, or the preset would be too large.
    """
    if model.preprocessor is None:
        raise UserError(f"{name} has no tokenizer; pass a model with a preprocessor.")
    if not card.strip():
        raise UserError(f"{name} needs a model card.")
    with atomic_directory(FOLDER / name) as folder:
        model.save_to_preset(folder)
        _halve(folder / WEIGHTS)
        (folder / CARD).write_text(card, encoding="utf-8")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if size > LARGEST_SIZE:
            raise UserError(
                f"{name} takes {size:,} bytes; a preset in the package may take {LARGEST_SIZE:,}."
            )
    return FOLDER / name


def _halve(path: Path) -> None:
    """Stores the weights of a file in float16; Keras casts them when it loads them."""
    import h5py

    smaller = path.with_suffix(".half")

    def copy(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            target.require_group(name).attrs.update(item.attrs)
            return
        values = item[()]
        if values.dtype == "float32":
            values = values.astype("float16")
        target.create_dataset(name, data=values).attrs.update(item.attrs)

    with h5py.File(path) as source, h5py.File(smaller, "w") as target:
        target.attrs.update(source.attrs)
        source.visititems(copy)
    smaller.replace(path)
