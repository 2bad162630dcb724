"""What gin bindings say about a training run, as the fields of a `RunConfig`."""

from typing import Any

from primer_tf.errors import UserError
from primer_tf.gin_config import configurables as known
from primer_tf.gin_config.gin_reader import Reference, shown
from primer_tf.gin_config.model_arguments import loss_arguments
from primer_tf.gin_config.resolved_bindings import ResolvedBindings

# Mesh TensorFlow's activation dtypes as Keras policies; weights are float32 in both.
DTYPE_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}

_OBJECTIVE = (known.UNSUPERVISED, known.SELECT_RANDOM_CHUNK, known.REDUCE_CONCAT_TOKENS)
_DATA = "t5.models.mesh_transformer.mesh_train_dataset_fn"
_TEXT = "primer_tf.tasks.text_files"


# What says that files describe a run, and not a model alone.
_OF_A_RUN = [
    *(
        (known.RUN, argument)
        for argument in (
            "mode",
            "train_steps",
            "batch_size",
            "save_checkpoints_steps",
            "optimizer",
            "learning_rate_schedule",
            "train_dataset_fn",
        )
    ),
    *(
        (name, argument)
        for name in (known.ADAFACTOR, known.DECAY_RATE, known.NOAM)
        for argument in known.RUNS[name]
    ),
]


def run_arguments(bindings: ResolvedBindings) -> dict[str, Any]:
    """Returns the fields of `primer_tf.training.config.RunConfig` that gin files set.

    Files that describe a model alone set those of its loss. Microbatches, the layout over a TPU's
    memory and logging do not change what is computed, and are left out.

    Args:
        bindings: Bindings of a model file, or of a model, a run and a hardware file.

    Returns:
        Dict of fields.

    Raises:
        UserError: The files describe anything but training on one device with Adafactor and the
            reciprocal square root schedule.
    """

    if not any(bindings.is_bound(*each) for each in _OF_A_RUN):
        return loss_arguments(bindings)

    def value(name: str, argument: str) -> Any:
        return bindings.value(name, argument)

    def only(name: str, argument: str, allowed: tuple[Any, ...]) -> None:
        found = value(name, argument)
        if found not in allowed:
            raise UserError(
                f"{bindings.where(name, argument)}: the Keras engine does not support "
                f"{shown(found)}; it must be {' or '.join(map(shown, allowed))}."
            )

    only(known.RUN, "mode", ("train", None))
    only(known.RUN, "optimizer", (Reference(known.ADAFACTOR),))
    only(known.RUN, "learning_rate_schedule", (Reference(known.NOAM),))
    if bindings.is_bound(known.RUN, "mesh_shape"):
        # The shape of a TPU's mesh, which T5's command ignores as well when it is given no TPU.
        only(known.RUN, "mesh_shape", ("", Reference(known.TPU_MESH_SHAPE, evaluate=True)))
    for name in (known.ADAFACTOR, known.DECAY_RATE, known.NOAM, *_OBJECTIVE):
        bindings.check(name)
    length = value(known.RUN, "sequence_length")["targets"]
    fields = {
        "sequence_length": length,
        "batch_size": _sequences(bindings, length),
        "steps": value(known.RUN, "train_steps"),
        "interval": value(known.RUN, "save_checkpoints_steps"),
        "warmup_steps": value(known.NOAM, "warmup_steps"),
        "learning_rate_scale": value(known.NOAM, "multiplier"),
        "linear_decay_fraction": value(known.NOAM, "linear_decay_fraction"),
        "vocabulary": value(known.SENTENCEPIECE_MODEL, "path"),
        "dtype": dtype_policy(bindings),
        **loss_arguments(bindings),
        **_data(bindings),
    }
    return {name: field for name, field in fields.items() if field is not None}


def dtype_policy(bindings: ResolvedBindings) -> str:
    """Returns the Keras dtype policy for the dtype of activations in gin files."""
    dtype = bindings.value(known.VARIABLE_DTYPE, "activation_dtype")
    if dtype not in list(DTYPE_POLICIES):
        where = bindings.where(known.VARIABLE_DTYPE, "activation_dtype")
        raise UserError(
            f"{where}: the Keras model does not support {dtype!r}; it can compute in "
            f"{' or '.join(DTYPE_POLICIES)}."
        )
    return DTYPE_POLICIES[dtype]


def _sequences(bindings: ResolvedBindings, length: int) -> int:
    """Returns the number of sequences in a batch."""
    kind, size = bindings.value(known.RUN, "batch_size")
    where = bindings.where(known.RUN, "batch_size")
    if kind == "sequences_per_batch":
        return size
    if kind not in ("tokens_per_batch", "tokens_per_replica"):
        raise UserError(f"{where}: the Keras engine does not support {kind!r}.")
    if size < length:
        raise UserError(f"{where}: {size} tokens do not fill one sequence of {length}.")
    return size // length


def _data(bindings: ResolvedBindings) -> dict[str, Any]:
    """Returns the sources of text, which is cut into chunks as T5 does."""
    task = bindings.value(_DATA, "mixture_or_task_name")
    if task != "text_autoregressive_language_modeling":
        return {"data": task and f"seqio:{task}"}
    train, validation = (bindings.value(_TEXT, name) for name in ("train", "validation"))
    if train is None:
        raise UserError(
            "Name the text files to train on, as in --gin_param=\"TRAIN_FILES='corpus/*.txt'\"."
        )
    return {"data": f"lm:{train}", "validation_data": validation and f"lm:{validation}"}
