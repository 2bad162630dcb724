"""Every private name of TensorFlow, Keras and KerasHub that the Keras code uses, and why.

When a release moves one, this file is what changes, and `tests/test_compat.py` is what fails.
"""

from importlib import import_module

from keras.src.backend import get_stateless_scope, in_stateless_scope
from keras.src.backend.common import global_state
from keras.src.losses.loss import scale_loss_for_distribution, squeeze_or_expand_to_same_rank
from keras.src.trainers.trainer import model_supports_jit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from keras_hub.src.utils.preset_utils import (
        CONFIG_FILE,
        PREPROCESSOR_CONFIG_FILE,
        TASK_CONFIG_FILE,
        TASK_WEIGHTS_FILE,
        TOKENIZER_CONFIG_FILE,
        check_file_exists,
        load_json,
    )

__all__ = [
    # Gradient checkpointing must know whether JAX's `fit` has given variables other values.
    "get_stateless_scope",
    "in_stateless_scope",
    # Keras' own losses divide by the replicas of a `tf.distribute` strategy; so must ours.
    "scale_loss_for_distribution",
    # And weights must meet losses of another rank as they do there.
    "squeeze_or_expand_to_same_rank",
    # XLA must not compile generation where Keras would not let it compile training.
    "model_supports_jit",
    "forget_uninitialized_variables",
    "in_xla_context",
    # KerasHub's names for the files of a preset, and its readers of presets on its hubs.
    "CONFIG_FILE",
    "PREPROCESSOR_CONFIG_FILE",
    "TASK_CONFIG_FILE",
    "TASK_WEIGHTS_FILE",
    "TOKENIZER_CONFIG_FILE",
    "check_file_exists",
    "load_json",
]


def __getattr__(name: str):
    # KerasHub is imported when one of its names is asked for: layers do without it.
    if name in __all__:
        return getattr(import_module("keras_hub.src.utils.preset_utils"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def forget_uninitialized_variables():
    """Empties Keras' list of variables to initialize later.

    Models built only to stream their weights never get values; Keras would give them some at the
    end of the scope, in full.
    """
    global_state.set_global_attribute("uninitialized_variables", [])


def in_xla_context():
    """Returns whether TensorFlow is tracing a function that XLA compiles.

    Some formulas are fast only with XLA and others only without; no public name tells.
    """
    import tensorflow as tf
    from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

    return GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
