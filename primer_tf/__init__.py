"""Primer language models for Keras, the T5 codebase and TensorFlow Serving.

Importing this package imports neither TensorFlow nor Keras; the names below load on first use.
"""

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path

TYPE_CHECKING = False  # Type checkers know the name; importing `typing` for it would cost 2 ms.
if TYPE_CHECKING:
    from primer_tf import (
        convert,
        data,
        distribution,
        drop_in,
        evaluation,
        export,
        gin_config,
        inference,
        layers,
        losses,
        mesh,
        models,
        optimizers,
        programs,
        samplers,
        search,
        serving,
        studies,
        sublayers,
        tasks,
        training,
    )
    from primer_tf.convert.from_gin import from_gin
    from primer_tf.models import (
        PrimerBackbone,
        PrimerCausalLM,
        PrimerCausalLMPreprocessor,
        PrimerTokenizer,
    )

__version__ = "0.1.0"

__all__ = [
    "PrimerBackbone",
    "PrimerCausalLM",
    "PrimerCausalLMPreprocessor",
    "PrimerTokenizer",
    "convert",
    "data",
    "distribution",
    "drop_in",
    "evaluation",
    "export",
    "from_gin",
    "gin_config",
    "gin_directory",
    "inference",
    "layers",
    "losses",
    "mesh",
    "models",
    "optimizers",
    "programs",
    "samplers",
    "search",
    "serving",
    "studies",
    "sublayers",
    "tasks",
    "training",
]

# Where the names above are that are not subpackages.
_HOMES = {
    "PrimerBackbone": "primer_tf.models",
    "PrimerCausalLM": "primer_tf.models",
    "PrimerCausalLMPreprocessor": "primer_tf.models",
    "PrimerTokenizer": "primer_tf.models",
    "from_gin": "primer_tf.convert.from_gin",
}

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent


class _CheckoutFinder:
    """Finds the packages that lie beside this folder in a checkout, and inside it in a wheel.

    Adding the checkout to `__path__` would find them as well, but also `primer_tf.tests`,
    `primer_tf.benchmarks` and whatever else lies there.
    """

    @staticmethod
    def find_spec(name, path=None, target=None):
        """Returns the spec of `primer_tf.tasks` or `primer_tf.export`, as import asks for it."""
        if name in ("primer_tf.tasks", "primer_tf.export"):
            return PathFinder.find_spec(name, [str(_CHECKOUT)])
        return None


if not (_PACKAGE / "tasks").is_dir():
    # First, because an editable install of another checkout has a finder that knows these names.
    sys.meta_path.insert(0, _CheckoutFinder)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in __all__:
        return import_module(f"primer_tf.{name}")
    raise AttributeError(f"module 'primer_tf' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})


def gin_directory() -> Path:
    """Returns the folder that holds `models/`, `run/` and the other gin files, as a `Path`."""
    for root in (_PACKAGE, _CHECKOUT):
        if (root / "gin" / "models").is_dir():
            return root / "gin"
    raise FileNotFoundError("primer_tf is installed without its gin files; install it again.")
