"""A training run: from a text and a preset to a trained preset, resumable at any moment.

Only this module reads a `RunConfig`: it builds the parts of the run and passes them to a `Trainer`.
"""

import dataclasses
import hashlib
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import keras

from primer_tf.data.load_chunks import check_source, load_chunks
from primer_tf.data.prepared_data import PreparedData, is_prepared
from primer_tf.data.token_chunks import without_masks
from primer_tf.data.vocabulary import read_vocabulary
from primer_tf.data.vocabulary_sample import vocabulary_of_text
from primer_tf.distribution.hosts import ALONE, Hosts
from primer_tf.errors import UserError, errors_of, preset_errors
from primer_tf.evaluation.evaluator import Evaluation, Evaluator
from primer_tf.files import atomic_write, sole_writer
from primer_tf.gin_config.model_arguments import SENTINELS, padded_vocabulary_size
from primer_tf.layers.replicas import check_batch_size, num_replicas, part_of_batch
from primer_tf.losses import NextTokenLoss
from primer_tf.models import (
    PrimerBackbone,
    PrimerCausalLM,
    PrimerCausalLMPreprocessor,
    PrimerTokenizer,
)
from primer_tf.models.optional_tensorflow import has_tensorflow
from primer_tf.models.preset_files import check_preset
from primer_tf.models.training_state import read_training_state, restore_training_state
from primer_tf.optimizers.averaged_weights import averaged_weights, start_averages, use_averages
from primer_tf.optimizers.t5_adafactor import t5_adafactor_in
from primer_tf.tasks.text import TextSource
from primer_tf.training import restarts
from primer_tf.training.callbacks.csv_history import CSVHistory
from primer_tf.training.callbacks.learning_curve import LearningCurve
from primer_tf.training.callbacks.progress import progress
from primer_tf.training.callbacks.report_evaluation import ReportEvaluation
from primer_tf.training.callbacks.save_checkpoint import SaveCheckpoint
from primer_tf.training.callbacks.save_presets import SavePresets
from primer_tf.training.callbacks.stop_at_divergence import StopAtDivergence
from primer_tf.training.callbacks.stop_at_signal import StopAtSignal
from primer_tf.training.callbacks.tensorboard_scalars import TensorBoardScalars
from primer_tf.training.callbacks.validation import Validation
from primer_tf.training.checkpoints import Checkpoints
from primer_tf.training.choose_dtype import choose_dtype
from primer_tf.training.config import RunConfig
from primer_tf.training.optimizer_of_run import optimizer_of_run, schedule_of_run
from primer_tf.training.pending_signal import PendingSignal
from primer_tf.training.record import (
    BEST,
    LAST,
    VOCABULARY,
    check_folder,
    read_config,
    write_record,
)
from primer_tf.training.record import FILE as RECORD
from primer_tf.training.restarts import Restarts
from primer_tf.training.trainer import Trainer
from primer_tf.types import Config, StrPath

# What a run's folder holds beside its record, its presets and `history.csv`.
CURVE = "learning_curve.png"
TENSORBOARD = "tensorboard"

FINISHING = (
    "Stopping with a checkpoint after this step, and its evaluation if one is due; a second signal "
    "ends the run at once."
)


def train(
    config: RunConfig,
    output: StrPath,
    resume: bool = False,
    report: Callable[[str], object] = print,
    hosts: Hosts = ALONE,
) -> tuple[PrimerCausalLM, Evaluation, CSVHistory]:
    """Trains a model and saves it as `OUTPUT/preset`, and its best weights as `OUTPUT/best`.

    Both presets are replaced at each evaluation, each in one step, and can be used at any time.

    In the scope of a distribution of Keras the run trains on its devices. Checkpoints and presets
    do not depend on the devices: a run may go on with others.

    Args:
        config: What defines the run.
        output: The folder of the run.
        resume: Whether to continue the run that is already there. Defaults to `False`.
        report: A function that prints a line of progress. Defaults to `print`, which on a terminal
            also means a progress bar.
        hosts: The `Hosts` that train together, with a folder that all of them see. Only the first
            one writes files and prints. By default there is one.

    Returns:
        `(model, evaluation, history)`: the trained model, its last `Evaluation`, and the
        `CSVHistory` of the run, whose `rows` hold what was measured.

    Raises:
        UserError: Bad data, vocabulary, preset, sizes, schedule, a batch that the devices of the
            present distribution do not divide, a folder that holds another run, or a loss that is
            not a number: nothing is saved from that step on.
        TrainingInterrupted: SIGINT or SIGTERM came after the start of the first step. The run ends
            after the step, with a checkpoint; a second signal ends the process at once.
    """
    output = Path(output)
    config = dataclasses.replace(config, dtype=choose_dtype(config.dtype, report))
    check_folder(output, resume)
    check_batch_size(config.batch_size, num_replicas())
    if config.architecture is None:
        check_preset(config.preset)
    check_source(config.data, config.validation_data)
    config = dataclasses.replace(config, first_step=_first_step(config, output, resume))
    hosts.check_equal(**dataclasses.asdict(config), output=str(output), resume=resume)
    if not hosts.is_first:
        return _train(config, output, resume, lambda line: None, hosts)
    with sole_writer(output):
        return _train(config, output, resume, report, hosts)


def _train(
    config: RunConfig,
    output: Path,
    resume: bool,
    report: Callable[[str], object],
    hosts: Hosts,
) -> tuple[PrimerCausalLM, Evaluation, CSVHistory]:
    schedule_of_run(config)
    keras.utils.set_random_seed(config.seed)
    proto = _vocabulary(config, output, resume)
    tokenizer = PrimerTokenizer(proto)
    model = model_of_run(config, tokenizer)
    data = (tokenizer, config.sequence_length, config.validation_data)
    chunks, _ = load_chunks(config.data, "train", *data)
    chunks.check_length()
    validation, text = load_chunks(config.data, "validation", *data)
    _write_record(config, output, proto, chunks.sha256, resume, hosts)

    # The same weights without a preprocessor: what is trained on are tokens, not strings.
    trained = PrimerCausalLM(model.backbone)
    checkpoints = Checkpoints(output / "checkpoints", hosts=hosts)
    part, parts = part_of_batch()
    trainer = Trainer(
        trained,
        optimizer=optimizer_of_run(config, trained.trainable_variables),
        loss=NextTokenLoss(config.z_loss, config.label_smoothing),
        batches=lambda start: without_masks(
            chunks.training_batches(config.batch_size, config.seed, start, part, parts)
        ),
        checkpoints=checkpoints,
        restarts=Restarts(output / restarts.FILE, hosts),
        max_restarts=config.max_restarts,
        report=report,
    )
    evaluator = Evaluator(model, validation, text, config.batch_size)
    step = checkpoints.restore_newest(trained, report) if resume else 0
    if resume:
        report(f"Resuming at step {step}.")
    elif config.architecture is None:
        _continue_from_preset(config.preset, trained, report)
    report(f"primer train {config}")
    report(
        f"{config.preset}: {model.count_params():,} parameters; {len(chunks.tokens):,} training "
        f"tokens, {len(validation.tokens):,} validation tokens ({text.num_bytes:,} bytes)."
    )

    def evaluate() -> Evaluation:
        with averaged_weights(trained.optimizer):
            return evaluator()

    tokens_per_batch = config.batch_size * config.sequence_length
    measure = Validation(evaluate, tokens_per_batch)
    stop = StopAtDivergence(checkpoints)
    history = CSVHistory(output / "history.csv", step)
    presets = SavePresets(model, output, history, hosts)
    curve = LearningCurve(history, output / CURVE)
    if step:  # The process may have ended between a checkpoint and what comes after it.
        presets.set_model(trained)
        presets.save(step)
        if hosts.is_first:
            curve.draw()
    pending = PendingSignal(lambda: report(FINISHING))
    tokens_per_step = tokens_per_batch * config.gradient_accumulation_steps
    with pending, progress(config.steps, tokens_per_step, step, report) as display:
        on_first: list[keras.callbacks.Callback] = [history] if hosts.is_first else []
        if on_first and has_tensorflow():
            on_first.append(TensorBoardScalars(output / TENSORBOARD))
        callbacks = [
            measure,
            stop,
            display,
            *on_first,
            presets,
            *([curve] if hosts.is_first else []),
            SaveCheckpoint(checkpoints),
            StopAtSignal(pending, checkpoints, presets, config.interval, config.steps, hosts),
            ReportEvaluation(measure, config.steps, report),
        ]
        trainer.fit(config.steps, config.interval, callbacks, step)
    evaluation = measure.evaluation
    if evaluation is None:  # A finished run was resumed.
        evaluation = evaluate()
        stop.check_validation(evaluation.loss, step)
    use_averages(trained.optimizer)
    for line in _summary(output, history):
        report(line)
    return model, evaluation, history


def _continue_from_preset(
    preset: str, model: PrimerCausalLM, report: Callable[[str], object]
) -> None:
    """Gives a new run the optimizer's state in a preset, if it has one for this optimizer."""
    if t5_adafactor_in(model.optimizer):
        before = restore_training_state(preset, model.trainable_variables, model.optimizer)
        if before:
            report(f"The optimizer of {preset} goes on from step {before}.")
    start_averages(model.optimizer)


def _summary(output: Path, history: CSVHistory) -> Iterator[str]:
    """Yields lines that say where everything is."""
    yield f"Last preset: {output / LAST}"
    if history.rows and (output / BEST).is_dir():
        best = min(history.rows, key=lambda row: row["validation_loss"])
        figures = f"step {best['step']}, validation loss {best['validation_loss']:.4f}"
        yield f"Best preset: {output / BEST} ({figures})"
    if history.rows:
        yield f"Learning curve: {output / CURVE}"
    if has_tensorflow():
        yield f"TensorBoard: tensorboard --logdir {shlex.quote(str(output / TENSORBOARD))}"


def _vocabulary(config: RunConfig, output: Path, resume: bool) -> bytes:
    """Returns the SentencePiece model of the run, trained if none was given."""
    own = output / VOCABULARY
    given = None if config.vocabulary is None else read_vocabulary(config.vocabulary)
    prepared = PreparedData(config.data) if is_prepared(config.data) else None
    if prepared is not None and given is not None:
        prepared.check_vocabulary(given, str(config.vocabulary))
    if resume:
        proto = read_vocabulary(own)
    elif (Path(config.preset) / "tokenizer.json").exists():
        with preset_errors(config.preset):
            proto = PrimerTokenizer.from_preset(config.preset).proto
    elif prepared is not None:
        proto = prepared.vocabulary
    elif given is not None:
        proto = given
    else:
        text = TextSource(config.data, config.validation_data)
        proto = vocabulary_of_text(text, config.vocabulary_size)
    if given not in (None, proto):
        owner = "this run was started with" if resume else f"{config.preset} was trained with"
        raise UserError(
            f"{config.vocabulary} is not the vocabulary {owner}; leave --vocabulary out, or start "
            "another run."
        )
    return proto


def _first_step(config: RunConfig, output: Path, resume: bool) -> int:
    """Returns the number of updates that the optimizer has done before the run."""
    if resume:
        return read_config(output).first_step
    if config.optimizer != "adafactor" or config.architecture is not None:
        return 0
    step, _ = read_training_state(config.preset) or (0, {})
    return step


def _write_record(
    config: RunConfig, output: Path, proto: bytes, tokens_sha256: str, resume: bool, hosts: Hosts
) -> None:
    """Writes what the run was started with, once all hosts have the same text and vocabulary."""
    hosts.check_equal(vocabulary=hashlib.sha256(proto).hexdigest(), tokens=tokens_sha256)
    if hosts.is_first:
        if not resume:
            atomic_write(output / VOCABULARY, proto)
        settings, defaults = dataclasses.asdict(config), RunConfig.defaults()
        write_record(settings, defaults, output, proto, tokens_sha256, resume)
    hosts.check_equal()
    if not hosts.is_first and not (output / RECORD).exists():
        raise UserError(
            f"{output} is not the folder that host 0 writes; --output must be on a file system "
            "that all hosts share."
        )


def model_of_run(config: RunConfig, tokenizer: PrimerTokenizer) -> PrimerCausalLM:
    """Returns the model of a run before its first step, with room for the vocabulary.

    Args:
        config: What defines the run.
        tokenizer: Its `PrimerTokenizer`.

    Raises:
        UserError: The preset or the architecture does not fit the run.
    """
    arguments: Config = {
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
