"""SeqIO tasks for language modeling: the paper's data sets, local text files and the demo text.

All have T5's `lm` objective: tokenized documents are concatenated and cut into chunks of the target
length, each ended by the end-of-sequence id. Importing this module registers those of these tasks
whose names are free:

- `lm1b_autoregressive_language_modeling` (TFDS `lm1b:1.1.0`),
- `c4_v220_autoregressive_language_modeling` (TFDS `c4/en:3.0.1`),
- `pg19_autoregressive_language_modeling` (TFDS `pg19:0.1.1`), by their published names, and
- `text_autoregressive_language_modeling`, the files that gin gives to `text_files`,
- `demo_autoregressive_language_modeling`, the King James Bible.
"""

import functools

import gin
import seqio
import tensorflow as tf
from t5.data import preprocessors
from t5.evaluation import metrics

from primer_tf.errors import UserError
from primer_tf.tasks import text
from primer_tf.tasks.prepared_tfds import PreparedTfds
from primer_tf.tasks.vocabulary import ConfiguredVocabulary

# Of a longer document, T5 takes one stretch of this many tokens, chosen at random.
MAX_DOCUMENT_TOKENS = 65536


class OwnTask(seqio.Task):
    """A task of this package, in whose place the user may register another of the same name."""

    may_be_replaced = True


def lm_task(name, source, text_key="text", vocabulary=None):
    """Returns a language modeling task, which is not registered.

    Args:
      name: the task's name.
      source: a `seqio.DataSource` of examples with a string feature `text_key`, a document.
      text_key: the feature's name.
      vocabulary: a `seqio.Vocabulary`; by default the one that gin chooses.

    Returns:
      The `seqio.Task`, whose examples have the feature `targets`.
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
def text_files(train=None, validation=None):
    """Returns the sources of local text, as `primer_tf.tasks.text` reads them.

    Args:
      train: a comma-separated list of `.txt` and `.jsonl` paths or globs.
      validation: the same; if None, the last 5% of `train` are held out.

    Raises:
      UserError: if `train` is not given.
    """
    if train is None:
        raise UserError(
            "Name the text files to train on, as in --gin_param=\"TRAIN_FILES='corpus/*.txt'\"."
        )
    return train, validation


def _local_source():
    def documents(split):
        train, validation = text_files()
        return text.load_split(train, split, validation)

    return documents_source(documents)


def documents_source(documents):
    """Returns a data source over a function from the split's name to a list of strings."""

    def dataset(split, shuffle_files=False, seed=None):
        data = tf.data.Dataset.from_tensor_slices({"text": documents(split)})
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
        documents_source(functools.partial(text.load_split, "demo")),
    ),
)


def register():
    """Registers the tasks of this module whose names are free."""
    for task in _TASKS:
        if task.name not in seqio.TaskRegistry.names():
            seqio.TaskRegistry.add_provider(task.name, task)


register()
