"""SeqIO tasks for language modeling: the paper's datasets, local text files and the demo text.

All have T5's `lm` objective: tokenized documents are concatenated and cut into chunks of the target
length, and each chunk ends with the end-of-sequence id. The tasks are

- `lm1b_autoregressive_language_modeling` (TFDS `lm1b:1.1.0`),
- `c4_v220_autoregressive_language_modeling` (TFDS `c4/en:3.0.1`) and
- `pg19_autoregressive_language_modeling` (TFDS `pg19:0.1.1`), under their published names;
- `text_autoregressive_language_modeling`, the files that gin binds to `text_files`;
- `demo_autoregressive_language_modeling`, the King James Bible.

Importing this module registers them, except under names that are already registered.
"""

import functools
from collections.abc import Callable, Iterable

import gin
import seqio
import tensorflow as tf
from t5.data import preprocessors
from t5.evaluation import metrics

from primer_tf.errors import UserError
from primer_tf.tasks.prepared_tfds import PreparedTfds
from primer_tf.tasks.text import TextSource
from primer_tf.tasks.vocabulary import ConfiguredVocabulary

# T5 takes a random chunk of this many tokens from a longer document.
MAX_DOCUMENT_TOKENS = 65536


class OwnTask(seqio.Task):
    """A task of this package, which the user may replace by another task with the same name."""

    may_be_replaced = True


def lm_task(
    name: str,
    source: seqio.DataSource,
    text_key: str = "text",
    vocabulary: seqio.Vocabulary | None = None,
) -> seqio.Task:
    """Returns a language modeling task without registering it.

    Args:
      name: The task's name.
      source: A `seqio.DataSource` of documents.
      text_key: The name of the string feature that contains the document, "text" by default.
      vocabulary: A `seqio.Vocabulary`, by default the one that gin configures.

    Returns:
      A `seqio.Task` whose examples have the feature `targets`.
    """
    return OwnTask(
        name,
        source=source,
        preprocessors=[
            functools.partial(preprocessors.rekey, key_map={"targets": text_key}),
            seqio.preprocessors.tokenize,
            seqio.CacheDatasetPlaceholder(),
            functools.partial(preprocessors.select_random_chunk, max_length=MAX_DOCUMENT_TOKENS),
            preprocessors.reduce_concat_tokens,
            preprocessors.split_tokens_to_targets_length,
            seqio.preprocessors.append_eos_after_trim,
        ],
        output_features={
            "targets": seqio.Feature(vocabulary or ConfiguredVocabulary(), add_eos=True)
        },
        metric_fns=[metrics.accuracy, metrics.bleu],
    )


@gin.configurable(module="primer_tf.tasks")
def text_files(train: str | None = None, validation: str | None = None) -> tuple[str, str | None]:
    """Returns the sources of local text, in the format of `primer_tf.tasks.text`.

    Args:
      train: A comma-separated list of `.txt` and `.jsonl` files, folders or globs.
      validation: A list like `train`, or None (the default) to hold out the last 5% of `train`.

    Raises:
      UserError: If `train` is None.
    """
    if train is None:
        raise UserError(
            "Name the text files to train on, as in --gin_param=\"TRAIN_FILES='corpus/*.txt'\"."
        )
    return train, validation


def _local_source():
    def documents(split):
        source = TextSource(*text_files())
        source.characters(split)  # reads all files, so that what is wrong with one shows at once
        return source.documents(split)

    return documents_source(documents)


def documents_source(documents: Callable[[str], Iterable[str]]) -> seqio.FunctionDataSource:
    """Returns a data source of documents.

    Args:
      documents: A function from the name of a split to strings, which are read as a stream.
    """

    def dataset(split, shuffle_files=False, seed=None):
        documents(split)  # raises the errors of the user's files as they are
        data = tf.data.Dataset.from_generator(
            lambda: ({"text": document} for document in documents(split)),
            output_signature={"text": tf.TensorSpec((), tf.string)},
        )
        return data.shuffle(1000, seed=seed) if shuffle_files else data

    return seqio.FunctionDataSource(dataset, splits=("train", "validation"))


_TASKS = (
    lm_task(
        "lm1b_autoregressive_language_modeling",
        PreparedTfds(
            "lm1b:1.1.0", {"train": "train[:98%]", "validation": "train[98%:]", "test": "test"}
        ),
    ),
    lm_task(
        "c4_v220_autoregressive_language_modeling",
        PreparedTfds("c4/en:3.0.1", ("train", "validation")),
    ),
    lm_task(
        "pg19_autoregressive_language_modeling",
        PreparedTfds("pg19:0.1.1", ("train", "validation", "test")),
        text_key="book_text",
    ),
    lm_task("text_autoregressive_language_modeling", _local_source()),
    lm_task(
        "demo_autoregressive_language_modeling",
        documents_source(lambda split: TextSource("demo").documents(split)),
    ),
)


def register() -> None:
    """Registers the tasks of this module, except under names that are already registered."""
    for task in _TASKS:
        if task.name not in seqio.TaskRegistry.names():
            seqio.TaskRegistry.add_provider(task.name, task)


register()
