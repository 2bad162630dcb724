"""What a model function returns and how an Estimator is configured.

The names and fields are those of TensorFlow 1's `tf.estimator` and `tf.compat.v1.estimator.tpu`
that Mesh TensorFlow uses; current TensorFlow ships neither.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class ModeKeys:
    """The modes a model function is called in."""

    TRAIN = "train"
    EVAL = "eval"
    PREDICT = "infer"


@dataclass(frozen=True)
class EstimatorSpec:
    """One model function's graph: tensors to run and hooks to run them with.

    Serves as `EstimatorSpec` and as `TPUEstimatorSpec`. `eval_metrics` is a pair
    `(function, arguments)` whose call returns `{name: (value, update_op)}`; `scaffold_fn` takes no
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
    """How a TPU host would be fed; a single process has nothing to choose."""

    PER_SHARD_V1, PER_HOST_V1, PER_HOST_V2, BROADCAST, SLICED = range(1, 6)


@dataclass(frozen=True)
class TPUConfig:
    """The TPU part of `RunConfig`, kept so that callers may fill it in."""

    iterations_per_loop: int = 2
    num_cores_per_replica: int | None = None
    per_host_input_for_training: int = InputPipelineConfig.PER_HOST_V1
    tpu_job_name: str | None = None


@dataclass(frozen=True)
class RunConfig:
    """Where and how to run. Checkpoints are the model function's own business."""

    model_dir: str | None = None
    tpu_config: TPUConfig | None = None
    cluster: Any = None
    session_config: Any = None
    tf_random_seed: int = 1
    save_checkpoints_steps: int | None = None
    save_checkpoints_secs: int | None = None


@dataclass(frozen=True)
class ServingInputReceiver:
    """Inputs of an exported model: what the caller feeds, and the features made of it."""

    features: Any
    receiver_tensors: Any
