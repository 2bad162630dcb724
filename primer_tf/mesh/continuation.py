"""What T5's mode `eval` evaluates a language model on: continuing texts of a task."""

import functools

import gin
import seqio
import tensorflow.compat.v1 as tf
from mesh_tensorflow.transformer.dataset import EvalDataset

from primer_tf.errors import UserError


@gin.configurable(module="primer_tf.mesh")
def continuation_dataset_fn(
    sequence_length,
    dataset_split,
    vocabulary=None,
    mixture_or_task_name=gin.REQUIRED,
    num_examples=-1,
):
    """Returns a task's texts as prompts to continue; a value for `utils.run.eval_dataset_fn`.

    T5 evaluates text decoded from `inputs` against `targets_pretokenized`; language modeling tasks
    have `targets` only. Here these are cut: the first `sequence_length["inputs"]` tokens are the
    prompt, the next `sequence_length["targets"]` are to be found. Shorter texts are left out.

    Args:
      sequence_length: a dictionary of the lengths of "inputs" and "targets", in tokens.
      dataset_split: a string.
      vocabulary: not used; tasks know theirs.
      mixture_or_task_name: a string.
      num_examples: how many texts of each task; all if negative.

    Returns:
      A list of `EvalDataset`, one for each task.

    Raises:
      UserError: if no task has that split.
    """

    def dataset_fn(task):
        # Called once with no argument, for the texts, and once for what is decoded.
        def dataset(sequence_length=sequence_length):
            return _cut(task, dataset_split, **sequence_length).take(num_examples)

        return dataset

    tasks = seqio.get_subtasks(seqio.get_mixture_or_task(mixture_or_task_name))
    tasks = [task for task in tasks if dataset_split in task.splits]
    if not tasks:
        raise UserError(f"{mixture_or_task_name} has no split named {dataset_split}.")
    return [
        EvalDataset(
            task.name,
            dataset_fn(task),
            task.postprocess_fn,
            [_on_texts(metric_fn, task.name) for metric_fn in task.metric_fns],
        )
        for task in tasks
    ]


def _on_texts(metric_fn, name):
    @functools.wraps(metric_fn)
    def checked(targets, predictions):
        if not targets:
            raise UserError(
                f"{name} has no text as long as PROMPT_LENGTH and DECODE_LENGTH together; "
                "make them smaller."
            )
        return metric_fn(targets, predictions)

    return checked


def _cut(task, split, inputs, targets):
    """Returns a data set of prompts of `inputs` tokens, each followed by `targets` tokens."""
    decode = task.output_features["targets"].vocabulary.decode_tf

    def cut(example):
        prompt, continuation = example["targets"][:inputs], example["targets"][inputs:-1]
        return {
            "inputs": prompt,
            "targets": continuation,
            "inputs_pretokenized": decode(prompt),
            "targets_pretokenized": decode(continuation),
        }

    # Every text ends with an end-of-sequence id, in the place of one token more.
    whole = inputs + targets + 1
    dataset = task.get_dataset({"targets": whole}, split=split, shuffle=False)
    return dataset.filter(lambda example: tf.equal(tf.size(example["targets"]), whole)).map(cut)
