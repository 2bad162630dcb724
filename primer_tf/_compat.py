"""Every private name of TensorFlow, Keras and KerasHub that this package uses, and why.

Nothing else imports from `keras.src`, `keras_hub.src` or `tensorflow.python`. When a release of one
of them moves a name, this file is what changes.
"""

from keras.src.backend import get_stateless_scope, in_stateless_scope
from keras.src.backend.common import global_state
from keras.src.losses.loss import scale_loss_for_distribution
from keras.src.utils.tracking import no_automatic_dependency_tracking

__all__ = [
    # Gradient checkpointing must know whether JAX's `fit` has given variables other values.
    "get_stateless_scope",
    "in_stateless_scope",
    # Keras' own losses divide by the replicas of a `tf.distribute` strategy; so must ours.
    "scale_loss_for_distribution",
    # A setter that keeps what Keras already tracks elsewhere must not have it tracked twice.
    "no_automatic_dependency_tracking",
    "forget_uninitialized_variables",
    "in_xla_context",
]


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
