"""Data for T5's `eval` mode: texts of a task, each split into a prompt and its continuation."""

import functools
from collections.abc import Callable, Mapping

import gin
import seqio
import tensorflow.compat.v1 as tf
from mesh_tensorflow.transformer.dataset import EvalDataset
from seqio import Task

from primer_tf.errors import UserError


@gin.configurable(module="primer_tf.mesh")
def continuation_dataset_fn(
    sequence_length: Mapping[str, int],
    dataset_split: str,
    vocabulary: object = None,
    mixture_or_task_name: str = gin.REQUIRED,
    num_examples: int = -1,
) -> list[EvalDataset]:
    """Returns a task's texts as prompts to continue; a value for `utils.run.eval_dataset_fn`.

    T5 compares the text decoded from `inputs` with `targets_pretokenized`, but language modeling
    tasks have only `targets`. This function splits them: the first `sequence_length["inputs"]`
    tokens are the prompt, and the next `sequence_length["targets"]` tokens are the expected
    continuation. Shorter texts are skipped.

    Args:
      sequence_length: A dictionary of the lengths of "inputs" and "targets", in tokens.
      dataset_split: The name of the split.
      vocabulary: Not used, because each task has its own.
      mixture_or_task_name: The name of a SeqIO task or mixture.
      num_examples: The number of texts from each task, or a negative number for all of them.

    Returns:
      A list of `EvalDataset`, one for each task.

    Raises:
      UserError: If no task has this split.
    """

    def dataset_fn(task):
        # T5 calls this once without arguments, for the texts, and once for the prompts to decode.
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


def _on_texts(metric_fn: Callable, name: str) -> Callable:
    @functools.wraps(metric_fn)
    def checked(targets, predictions):
        if not targets:
            raise UserError(
                f"{name} has no text as long as PROMPT_LENGTH and DECODE_LENGTH together; "
                "make them smaller."
            )
        return metric_fn(targets, predictions)

    return checked


def _cut(task: Task, split: str, inputs: int, targets: int) -> tf.data.Dataset:
    """Returns a dataset of prompts of `inputs` tokens and continuations of `targets` tokens."""
    decode = task.output_features["targets"].vocabulary.decode_tf

    def cut(example):
        prompt, continuation = example["targets"][:inputs], example["targets"][inputs:-1]
        return {
            "inputs": prompt,
            "targets": continuation,
            "inputs_pretokenized": decode(prompt),
            "targets_pretokenized": decode(continuation),
        }

    # Every text ends with an end-of-sequence id, which takes up one more token.
    whole = inputs + targets + 1
    dataset = task.get_dataset({"targets": whole}, split=split, shuffle=False)
    return dataset.filter(lambda example: tf.equal(tf.size(example["targets"]), whole)).map(cut)
