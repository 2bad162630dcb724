"""Supplies the modules that Mesh TensorFlow, T5 and gin-config need and TensorFlow has dropped.

A module is supplied only if the real one is missing. An older TensorFlow, a real `pkg_resources`
and PyTorch are left alone.
"""

import importlib
import importlib.util
import os
import sys
from types import ModuleType


def supply() -> bool:
    """Supplies the missing modules.

    Returns:
      Whether the Estimator was missing, so that ours is in use.
    """
    import tensorflow.compat.v1 as tf1

    estimator_supplied = not _has_estimator(tf1)
    if estimator_supplied:
        _supply_estimator(tf1)
    _supply_conversion_registry()
    _supply_input_pipeline_hook(tf1)
    if not _importable("pkg_resources"):
        _supply_pkg_resources()
    if not (_importable("torch") and _importable("transformers")):
        _supply_hf_model()
    return estimator_supplied


def _has_estimator(tf1: ModuleType) -> bool:
    try:
        return tf1.estimator.Estimator is not None
    except (AttributeError, ImportError):
        return False


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _module(name: str, **contents: object) -> ModuleType:
    """Returns a new module that can be imported and is an attribute of its parent."""
    module = ModuleType(name, "Supplied by primer_tf: this TensorFlow has none of its own.")
    vars(module).update(contents)
    sys.modules[name] = module
    parent, _, attribute = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], attribute, module)
    return module


def _supply_estimator(tf1):
    import tensorflow as tf
    import tensorflow.python.tpu  # noqa: F401  (the parent of the two modules below)

    from primer_tf.mesh.runtime import estimator, specs

    export = _module("tensorflow.estimator.export", ServingInputReceiver=specs.ServingInputReceiver)
    contents = dict(
        CheckpointSaverListener=tf1.train.CheckpointSaverListener,
        Estimator=estimator.Estimator,
        EstimatorSpec=specs.EstimatorSpec,
        ModeKeys=specs.ModeKeys,
        SessionRunHook=tf1.train.SessionRunHook,
        export=export,
    )
    tf.estimator = _module("tensorflow.estimator", **contents)
    tf1.estimator = _module("tensorflow.compat.v1.estimator", **contents)
    _module(
        "tensorflow.python.tpu.tpu_config",
        InputPipelineConfig=specs.InputPipelineConfig,
        RunConfig=specs.RunConfig,
        TPUConfig=specs.TPUConfig,
    )
    _module(
        "tensorflow.python.tpu.tpu_estimator",
        TPUEstimator=estimator.Estimator,
        TPUEstimatorSpec=specs.EstimatorSpec,
    )


def _supply_conversion_registry():
    from tensorflow.python.framework import ops

    if not hasattr(ops, "register_tensor_conversion_function"):
        from tensorflow.python.framework import tensor_conversion_registry as registry

        ops.register_tensor_conversion_function = registry.register_tensor_conversion_function


def _supply_input_pipeline_hook(tf1):
    experimental = tf1.data.experimental
    if not hasattr(experimental, "CheckpointInputPipelineHook"):
        from primer_tf.mesh.runtime.hooks import CheckpointInputPipelineHook

        experimental.CheckpointInputPipelineHook = CheckpointInputPipelineHook


def _supply_pkg_resources():
    def resource_filename(module_name, resource):
        """Returns the path of a data file in the folder of a module."""
        folder = os.path.dirname(sys.modules[module_name].__file__)
        return os.path.join(folder, resource)

    def fixup_namespace_packages(path_item, parent=None):
        """Does nothing; pytest calls it if there is a `pkg_resources`."""

    _module(
        "pkg_resources",
        resource_filename=resource_filename,
        fixup_namespace_packages=fixup_namespace_packages,
    )


def _supply_hf_model():
    class HfPyTorchModel:
        """Replaces T5's PyTorch model if PyTorch or transformers is not installed."""

        def __init__(self, *args, **kwargs):
            raise ModuleNotFoundError(
                "T5's PyTorch models need torch and transformers: `pip install torch transformers`."
            )

    _module("t5.models.hf_model", HfPyTorchModel=HfPyTorchModel)
