"""Reads the examples of a SeqIO task as rows of token ids, for engines other than T5's."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from primer_tf.errors import UserError
from primer_tf.installation import install_command

if TYPE_CHECKING:
    import seqio


def token_rows(name: str, split: str, sequence_length: int, vocabulary: bytes) -> list[np.ndarray]:
    """Returns the targets of a task, cut into rows by the task's own preprocessors.

    Args:
        name: Name of a SeqIO task or mixture.
        split: Name of one of its splits.
        sequence_length: Maximum number of tokens in a row.
        vocabulary: The serialized SentencePiece model to tokenize with.

    Returns:
        List of integer arrays, each of shape `[T]` with `T <= sequence_length`.

    Raises:
        UserError: If the T5 packages are not installed, the task or its data does not exist, or the
            task has another vocabulary.
    """
    with _errors(f"seqio:{name}"):
        import seqio

        import primer_tf.tasks.seqio_tasks  # noqa: F401  registers our tasks

        provider = seqio.get_mixture_or_task(name)
        return _rows(_with_vocabulary(provider, vocabulary), split, sequence_length)


def lm_rows(
    documents: Callable[[], Iterable[str]], sequence_length: int, vocabulary: bytes
) -> list[np.ndarray]:
    """Returns documents as rows of token ids, cut by T5's `lm` objective.

    Args:
        documents: A function that returns the documents.
        sequence_length: Maximum number of tokens in a row.
        vocabulary: The serialized SentencePiece model to tokenize with.

    Returns:
        List of integer arrays, each of shape `[T]` with `T <= sequence_length`.

    Raises:
        UserError: If the T5 packages are not installed.
    """
    with _errors("lm:"):
        from primer_tf.tasks.seqio_tasks import documents_source, lm_task
        from primer_tf.tasks.vocabulary import vocabulary_of

        source = documents_source(lambda split: documents())
        task = lm_task("documents", source, vocabulary=vocabulary_of(vocabulary))
        return _rows(task, "train", sequence_length)


@contextlib.contextmanager
def _errors(source: str) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        raise UserError(
            f"{source} needs the T5 packages; run `{install_command('t5')}`."
        ) from error
    except (ValueError, OSError, LookupError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"Cannot read {source}: {reason}") from error


def _rows(
    provider: "seqio.Task | seqio.Mixture", split: str, sequence_length: int
) -> list[np.ndarray]:
    dataset = provider.get_dataset(
        {"targets": sequence_length}, split, shuffle=False, num_epochs=1, seed=0
    )
    return [np.asarray(row["targets"], np.int32) for row in dataset.as_numpy_iterator()]


def _with_vocabulary(
    provider: "seqio.Task | seqio.Mixture", model: bytes
) -> "seqio.Task | seqio.Mixture":
    """Returns a copy of a registered task or mixture, with the vocabulary of a model.

    The registered one stays unchanged, because the whole process shares it.
    """
    import seqio

    from primer_tf.tasks.vocabulary import ConfiguredVocabulary, vocabulary_of

    # All tasks of a mixture must have the same vocabulary.
    given = functools.cache(functools.partial(vocabulary_of, model))

    def feature_with_vocabulary(feature):
        own = getattr(feature, "vocabulary", None)
        if not isinstance(own, ConfiguredVocabulary):
            return feature
        return dataclasses.replace(feature, vocabulary=given(own.extra_ids))

    def task_with_vocabulary(task):
        features = {k: feature_with_vocabulary(f) for k, f in task.output_features.items()}
        if "targets" not in features:
            raise UserError(f"seqio:{task.name} has no feature 'targets'.")
        own = features["targets"].vocabulary
        if not isinstance(own, seqio.SentencePieceVocabulary) or (
            own.sp_model != given(own.extra_ids).sp_model
        ):
            raise UserError(f"seqio:{task.name} has a vocabulary of its own, not the model's.")
        return task.replace(output_features=features)

    if isinstance(provider, seqio.Task):
        return task_with_vocabulary(provider)
    tasks = [(task_with_vocabulary(task), provider.get_rate(task)) for task in provider.tasks]
    return seqio.Mixture(provider.name, tasks, sample_fn=provider._sample_fn)
