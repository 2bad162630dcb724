"""A training run: from a text and a preset to a trained preset, resumable at any moment."""

import dataclasses
import hashlib
import json
import math
import time
from pathlib import Path

import keras

from primer_tf.data.load_chunks import load_chunks
from primer_tf.data.vocabulary import read_vocabulary, train_vocabulary
from primer_tf.errors import UserError, errors_of, preset_errors
from primer_tf.evaluation.evaluator import Evaluator
from primer_tf.files import atomic_directory, atomic_write, check_free_space, sole_writer
from primer_tf.gin_config.model_arguments import SENTINELS, padded_vocabulary_size
from primer_tf.losses import NextTokenLoss
from primer_tf.models import (
    PrimerBackbone,
    PrimerCausalLM,
    PrimerCausalLMPreprocessor,
    PrimerTokenizer,
)
from primer_tf.models.preset_files import check_preset
from primer_tf.models.training_state import restore_training_state, save_training_state
from primer_tf.optimizers import RsqrtSchedule, T5Adafactor
from primer_tf.tasks.text import load_split
from primer_tf.training.checkpoints import Checkpoints
from primer_tf.training.divergence import StopAtDivergence, check_evaluation
from primer_tf.training.progress import History, Progress

RECORD = "run.json"
VOCABULARY = "vocabulary.model"
WHAT_CHANGED = {
    "vocabulary_sha256": f"its {VOCABULARY} is not the one it was started with",
    "tokens_sha256": "the training text is not the one it was started with",
}


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What defines a run; kept as `run.json` in its folder.

    Attributes:
        preset: Name in the zoo, or a preset directory to train on; an optimizer's state in it is
            taken up as well.
        architecture: Arguments of the `PrimerBackbone`, if gin files describe it; `preset` then
            only names it.
        data: Source of the training text, see `primer_tf.tasks.text`.
        validation_data: Source of the validation text; by default held out from `data`.
        vocabulary: SentencePiece model; by default one of `vocabulary_size` pieces is trained.
        vocabulary_size: Pieces of that one.
        steps: Steps to train in all.
        batch_size: Sequences in a batch.
        sequence_length: Tokens in a sequence.
        interval: Steps between two evaluations and checkpoints.
        warmup_steps: Of the reciprocal square root schedule.
        learning_rate_scale: Factor on the schedule.
        ramp_up_steps: Steps of linear growth at the start.
        z_loss: Factor of the z-loss.
        label_smoothing: Share of the targets that is spread over the vocabulary.
        dropout: Rate of all dropouts.
        gradient_checkpointing: Whether gradients recompute activations.
        dtype: Policy of the computations, such as `mixed_bfloat16`.
        seed: Of the weights, the order of the data and dropout.
    """

    preset: str
    data: str
    architecture: dict | None = None
    validation_data: str | None = None
    vocabulary: str | None = None
    vocabulary_size: int = 8000
    steps: int = 1000
    batch_size: int = 16
    sequence_length: int = 128
    interval: int = 100
    warmup_steps: int = 1000
    learning_rate_scale: float = 1.0
    ramp_up_steps: int = 0
    z_loss: float = 1e-4
    label_smoothing: float = 0.0
    dropout: float = 0.0
    gradient_checkpointing: bool = False
    dtype: str = "float32"
    seed: int = 0

    def __post_init__(self):
        """Checks what can be checked without reading anything."""
        for field in dataclasses.fields(self):
            types, kind = TYPES[field.type]
            _check(self, field.name, kind, lambda value, types=types: type(value) in types)
        for name in ("vocabulary_size", "steps", "batch_size", "sequence_length", "interval"):
            _check(self, name, "at least 1 and below 2**31", lambda value: 1 <= value < 2**31)
        _check(self, "warmup_steps", "at least 1 and below 2**31", lambda value: 1 <= value < 2**31)
        _check(self, "ramp_up_steps", "at least 0 and below 2**31", lambda v: 0 <= v < 2**31)
        _check(self, "seed", "at least 0 and below 2**32", lambda value: 0 <= value < 2**32)
        _check(self, "learning_rate_scale", "a positive number", lambda v: 0 < v < math.inf)
        _check(self, "z_loss", "zero or a positive number", lambda value: 0 <= value < math.inf)
        for name in ("dropout", "label_smoothing"):
            _check(self, name, "at least 0 and below 1", lambda value: 0 <= value < 1)
        _check(self, "dtype", "a Keras dtype policy, such as mixed_bfloat16", _is_policy)


# What a field of each type may hold, and what that is called.
TYPES = {
    str: ((str,), "a string"),
    str | None: ((str, type(None)), "a string"),
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
    dict | None: ((dict, type(None)), "a table of arguments"),
}


def _check(config, name, expected, is_right):
    value = getattr(config, name)
    if not is_right(value):
        raise UserError(f"{name} must be {expected}; received {value!r}.")


def _is_policy(name):
    try:
        keras.dtype_policies.get(name)
    except ValueError:
        return False
    return True


def train(config, output, resume=False, report=print):
    """Trains a model and saves it as `OUTPUT/preset`.

    Args:
        config: A `RunConfig`.
        output: Folder of the run.
        resume: Whether to continue the run that is already there.
        report: Called with each line of progress.

    Returns:
        `(model, evaluation, history)`: the trained `PrimerCausalLM`, its last `Evaluation`, and
        the `History` of the run.

    Raises:
        UserError: Bad data, vocabulary, preset, sizes, a folder that holds another run, or a loss
            that is not a number: nothing is saved from that step on.
    """
    output = Path(output)
    if not resume and (output / RECORD).exists():
        raise UserError(f"{output} already holds a run; add --resume, or choose another folder.")
    if resume and not (output / RECORD).exists():
        raise UserError(f"There is no run to resume in {output}; start it without --resume.")
    if config.architecture is None:
        check_preset(config.preset)
    documents = load_split(config.data, "train", config.validation_data)
    held_out = load_split(config.data, "validation", config.validation_data)
    with sole_writer(output):
        return _train(config, output, resume, documents, held_out, report)


def _train(config, output, started, documents, held_out, report):
    keras.utils.set_random_seed(config.seed)
    proto = _vocabulary(config, output, documents, started)
    tokenizer = PrimerTokenizer(proto)
    model = _model(config, tokenizer)
    length, validation_data = config.sequence_length, config.validation_data or config.data
    chunks, _ = load_chunks(config.data, "train", documents, tokenizer, length)
    chunks.check_length()
    validation, num_bytes = load_chunks(validation_data, "validation", held_out, tokenizer, length)
    _record(config, output, proto, chunks.tokens, started)

    # The same weights without a preprocessor: what is trained on are tokens, not strings.
    trained = PrimerCausalLM(model.backbone)
    trained.compile(
        optimizer=T5Adafactor(
            RsqrtSchedule(config.warmup_steps, config.learning_rate_scale, config.ramp_up_steps)
        ),
        loss=NextTokenLoss(config.z_loss, config.label_smoothing),
    )
    # With no variable left to create, TensorFlow traces the first step once instead of twice.
    trained.optimizer.build(trained.trainable_variables)
    evaluator = Evaluator(model, validation, num_bytes, config.batch_size)
    checkpoints = Checkpoints(output / "checkpoints")
    step = checkpoints.restore_newest(trained, report) if started else 0
    if started:
        report(f"Resuming at step {step}.")
    elif config.architecture is None:
        before = restore_training_state(
            config.preset, trained.trainable_variables, trained.optimizer
        )
        if before:
            report(f"The optimizer of {config.preset} goes on from step {before}.")
    report(
        f"{config.preset}: {model.count_params():,} parameters; {len(chunks.tokens):,} training "
        f"tokens, {len(validation.tokens):,} validation tokens ({num_bytes:,} bytes)."
    )

    history = History(output, step)
    tokens_per_step = config.batch_size * config.sequence_length
    progress = Progress(config.steps, tokens_per_step, step, report=report)
    evaluation = None
    while step < config.steps:
        stretch = min(config.interval - step % config.interval, config.steps - step)
        start = time.monotonic()
        # KerasHub's `fit` takes no generators.
        logs = keras.Model.fit(
            trained,
            chunks.training_batches(config.batch_size, config.seed, step),
            steps_per_epoch=stretch,
            shuffle=False,
            callbacks=[StopAtDivergence(step, checkpoints), progress],
            verbose=0,
        ).history
        seconds = time.monotonic() - start
        step += stretch
        evaluation = evaluator()
        check_evaluation(evaluation, step, checkpoints)
        # Before the checkpoint: rows beyond the newest one are dropped and written again.
        history.append(
            step=step,
            loss=logs["loss"][-1],
            validation_loss=evaluation.loss,
            perplexity=evaluation.perplexity,
            accuracy=evaluation.accuracy,
            bits_per_byte=evaluation.bits_per_byte,
            tokens_per_second=stretch * tokens_per_step / seconds,
        )
        checkpoints.save(trained, step)
        report(f"step {step}/{config.steps}  validation {evaluation}")
    if evaluation is None:
        evaluation = evaluator()
        check_evaluation(evaluation, step, checkpoints)
    history.draw(output / "learning_curve.png")
    # HDF5 ends the process with a segmentation fault when it cannot write all it wants to.
    check_free_space(output, 4 * model.count_params() + 2**20)
    with atomic_directory(output / "preset") as folder:
        model.save_to_preset(str(folder))
        save_training_state(folder, trained.trainable_variables, trained.optimizer)
    report(f"Saved {output / 'preset'}.")
    return model, evaluation, history


def _vocabulary(config, output, documents, started):
    """Returns the SentencePiece model of the run, trained if none was given."""
    own = output / VOCABULARY
    given = None if config.vocabulary is None else read_vocabulary(config.vocabulary)
    if started:
        proto = read_vocabulary(own)
    elif (Path(config.preset) / "tokenizer.json").exists():
        with preset_errors(config.preset):
            proto = PrimerTokenizer.from_preset(config.preset).proto
    else:
        proto = given or train_vocabulary(documents, config.vocabulary_size)
    if given not in (None, proto):
        owner = "this run was started with" if started else f"{config.preset} was trained with"
        raise UserError(
            f"{config.vocabulary} is not the vocabulary {owner}; leave --vocabulary out, or start "
            "another run."
        )
    if not started:
        atomic_write(own, proto)
    return proto


def _model(config, tokenizer):
    """Returns the model to train, with room for the vocabulary."""
    arguments = {
        "dropout": config.dropout,
        "gradient_checkpointing": config.gradient_checkpointing,
        "dtype": config.dtype,
    }
    preprocessor = PrimerCausalLMPreprocessor(tokenizer, config.sequence_length)
    if config.architecture is None:
        with preset_errors(config.preset):
            model = PrimerCausalLM.from_preset(
                config.preset, preprocessor=preprocessor, compile=False, **arguments
            )
    else:
        rows = padded_vocabulary_size(tokenizer.vocabulary_size() + SENTINELS)
        described = {**config.architecture, "vocabulary_size": rows}
        with errors_of(f"build the model of {config.preset}"):
            model = PrimerCausalLM(PrimerBackbone(**{**described, **arguments}), preprocessor)
    backbone = model.backbone
    if config.sequence_length > backbone.max_sequence_length:
        raise UserError(
            f"sequence_length {config.sequence_length} is beyond the {config.preset} preset's "
            f"{backbone.max_sequence_length} tokens."
        )
    if not backbone.trainable:
        raise UserError(f"Every weight of {config.preset} is frozen; there is nothing to train.")
    return model


def _record(config, output, proto, tokens, started):
    """Writes `run.json`, or checks that it describes the run that is to be resumed."""
    record = {
        **dataclasses.asdict(config),
        "vocabulary_sha256": hashlib.sha256(proto).hexdigest(),
        "tokens_sha256": hashlib.sha256(tokens.tobytes()).hexdigest(),
    }
    path = output / RECORD
    if started:
        before = json.loads(path.read_text(encoding="utf-8"))
        # A run may be made longer, and its vocabulary now lies in its folder.
        for key, value in record.items():
            if key not in ("steps", "vocabulary") and value != before.get(key):
                what = WHAT_CHANGED.get(key, f"{key} was {before.get(key)!r}, not {value!r}")
                raise UserError(f"Cannot resume {output}: {what}.")
    atomic_write(path, json.dumps(record, indent=2) + "\n")


def load_config(output):
    """Returns the `RunConfig` of a run's folder.

    Raises:
        UserError: The folder holds no run, or its record cannot be read.
    """
    path = Path(output) / RECORD
    if not path.exists():
        raise UserError(f"There is no run to resume in {output}; start it without --resume.")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        names = {field.name for field in dataclasses.fields(RunConfig)}
        # The run has its own copy of the vocabulary.
        return RunConfig(**{k: v for k, v in record.items() if k in names and k != "vocabulary"})
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
