"""Primer language models for Keras, the T5 codebase and TensorFlow Serving.

Importing this package imports neither TensorFlow nor Keras; the names below load on first use.
"""

from importlib import import_module
from pathlib import Path

__version__ = "0.1.0"

# In a checkout `tasks/`, `export/` and `gin/` lie beside this folder; in a wheel, inside it.
_CHECKOUT = Path(__file__).resolve().parent.parent
if (_CHECKOUT / "tasks").is_dir() and not (Path(__file__).parent / "tasks").is_dir():
    __path__.append(str(_CHECKOUT))

_PUBLIC = {
    "PrimerBackbone": "primer_tf.models",
    "PrimerCausalLM": "primer_tf.models",
    "PrimerCausalLMPreprocessor": "primer_tf.models",
    "PrimerTokenizer": "primer_tf.models",
    "from_gin": "primer_tf.convert.from_gin",
}


def __getattr__(name):
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    if name in ("convert", "export", "layers", "mesh", "models", "tasks", "training", "zoo"):
        return import_module(f"primer_tf.{name}")
    raise AttributeError(f"module 'primer_tf' has no attribute {name!r}")


def gin_directory():
    """Returns the folder that holds `models/`, `run/` and the other gin files, as a `Path`."""
    for root in __path__:
        if (Path(root) / "gin" / "models").is_dir():
            return Path(root) / "gin"
    raise FileNotFoundError("primer_tf is installed without its gin files; install it again.")
