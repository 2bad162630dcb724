"""The examples of a SeqIO task as rows of token ids, for engines other than T5's."""

import contextlib
import dataclasses
import functools

import numpy as np

from primer_tf.errors import UserError


def token_rows(name, split, sequence_length, vocabulary):
    """Returns the targets of a task, cut into rows by the task's own preprocessors.

    Args:
        name: Name of a SeqIO task or mixture.
        split: Name of its split.
        sequence_length: Tokens of a row, at most.
        vocabulary: The SentencePiece model that the rows are for, as bytes.

    Returns:
        List of integer arrays, each of `sequence_length` ids or fewer.

    Raises:
        UserError: The T5 packages are not installed, there is no such task or data, or the task has
            another vocabulary.
    """
    with _errors(f"seqio:{name}"):
        import seqio

        import primer_tf.tasks.seqio_tasks  # noqa: F401  registers our tasks

        provider = seqio.get_mixture_or_task(name)
        return _rows(_with_vocabulary(provider, vocabulary), split, sequence_length)


def lm_rows(documents, sequence_length, vocabulary):
    """Returns documents as rows of token ids, cut by T5's `lm` objective.

    Args:
        documents: List of strings.
        sequence_length: Tokens of a row, at most.
        vocabulary: The SentencePiece model that the rows are for, as bytes.

    Returns:
        List of integer arrays, each of `sequence_length` ids or fewer.

    Raises:
        UserError: The T5 packages are not installed.
    """
    with _errors("lm:"):
        from primer_tf.tasks.seqio_tasks import documents_source, lm_task
        from primer_tf.tasks.vocabulary import vocabulary_of

        source = documents_source(lambda split: documents)
        task = lm_task("documents", source, vocabulary=vocabulary_of(vocabulary))
        return _rows(task, "train", sequence_length)


@contextlib.contextmanager
def _errors(source):
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        raise UserError(
            f"{source} needs the T5 packages; run `pip install primer_tf[t5]`."
        ) from error
    except (ValueError, OSError, LookupError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"Cannot read {source}: {reason}") from error


def _rows(provider, split, sequence_length):
    dataset = provider.get_dataset(
        {"targets": sequence_length}, split, shuffle=False, num_epochs=1, seed=0
    )
    return [np.asarray(row["targets"], np.int32) for row in dataset.as_numpy_iterator()]


def _with_vocabulary(provider, model):
    """Returns a task or mixture like a registered one, with the vocabulary of a model.

    The registered one stays as it is: it belongs to the whole process.
    """
    import seqio

    from primer_tf.tasks.vocabulary import ConfiguredVocabulary, vocabulary_of

    # One for all tasks of a mixture, which must have the same.
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
