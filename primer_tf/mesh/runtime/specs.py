"""The result of a model function and the configuration of an Estimator.

The classes have the names of TensorFlow 1's `tf.estimator` and `tf.compat.v1.estimator.tpu`, and
the fields that Mesh TensorFlow uses. Current TensorFlow ships neither module.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class ModeKeys:
    """The modes of a model function."""

    TRAIN = "train"
    EVAL = "eval"
    PREDICT = "infer"


@dataclass(frozen=True)
class EstimatorSpec:
    """The graph of a model function: the tensors to run and the hooks to run them with.

    Serves as both `EstimatorSpec` and `TPUEstimatorSpec`. `eval_metrics` is a pair
    `(function, arguments)` whose call returns `{name: (value, update_op)}`. `scaffold_fn` takes no
    argument and returns a `tf.compat.v1.train.Scaffold`.
    """

    mode: str
    predictions: Any = None
    loss: Any = None
    train_op: Any = None
    eval_metrics: tuple | None = None
    scaffold_fn: Callable | None = None
    host_call: Any = None
    training_hooks: list = field(default_factory=list)
    training_chief_hooks: list = field(default_factory=list)
    evaluation_hooks: list = field(default_factory=list)
    prediction_hooks: list = field(default_factory=list)


class InputPipelineConfig:
    """The ways to feed TPU hosts, which make no difference in a single process."""

    PER_SHARD_V1, PER_HOST_V1, PER_HOST_V2, BROADCAST, SLICED = range(1, 6)


@dataclass(frozen=True)
class TPUConfig:
    """The TPU part of `RunConfig`, which callers fill in and nothing reads."""

    iterations_per_loop: int = 2
    num_cores_per_replica: int | None = None
    per_host_input_for_training: int = InputPipelineConfig.PER_HOST_V1
    tpu_job_name: str | None = None


@dataclass(frozen=True)
class RunConfig:
    """The model directory and settings of a run; the model function saves the checkpoints."""

    model_dir: str = ""
    tpu_config: TPUConfig | None = None
    cluster: Any = None
    session_config: Any = None
    tf_random_seed: int = 1
    save_checkpoints_steps: int | None = None
    save_checkpoints_secs: int | None = None


@dataclass(frozen=True)
class ServingInputReceiver:
    """The inputs of an exported model: the tensors to feed, and the features computed from them."""

    features: Any
    receiver_tensors: Any
