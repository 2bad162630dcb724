"""The examples of a SeqIO task as rows of token ids, for engines other than T5's."""

import os
import tempfile

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
    try:
        import gin
        import seqio

        import primer_tf.tasks.seqio_tasks  # noqa: F401  registers our tasks
        from primer_tf.tasks.vocabulary import ConfiguredVocabulary
    except ImportError as error:
        raise UserError(
            f"seqio:{name} needs the T5 packages; run `pip install primer_tf[t5]`."
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vocabulary.model")
        with open(path, "wb") as file:
            file.write(vocabulary)
        with gin.unlock_config():
            gin.bind_parameter("primer_tf.tasks.sentencepiece_model.path", path)
        try:
            task = seqio.get_mixture_or_task(name)
            own = task.output_features["targets"].vocabulary
            if not isinstance(own, ConfiguredVocabulary) and own.sp_model != vocabulary:
                raise UserError(f"seqio:{name} has a vocabulary of its own, not the model's.")
            dataset = task.get_dataset(
                {"targets": sequence_length}, split, shuffle=False, num_epochs=1, seed=0
            )
            return [np.asarray(row["targets"], np.int32) for row in dataset.as_numpy_iterator()]
        except UserError:
            raise
        except (ValueError, OSError, AssertionError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"Cannot read seqio:{name}: {reason}") from error
