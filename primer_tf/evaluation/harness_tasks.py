"""A model's figures on tasks of lm-evaluation-harness.

The module needs the extra `[eval]`.
"""

import contextlib
import difflib
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.defaults import DEFAULT_OTHER_SEED
from lm_eval.tasks import TaskManager

from primer_tf.errors import UserError, errors_of
from primer_tf.evaluation import gpt3
from primer_tf.evaluation.gpt3.data import DataOfTask, find, how_to_provide
from primer_tf.evaluation.harness_model import HarnessModel
from primer_tf.types import StrPath

logger = logging.getLogger("primer_tf")

# The tag of GPT-3's tasks.
GPT3 = "gpt3"
# For the standard errors of figures that are no means, such as MultiRC's F1. lm-eval's default of
# 100,000 takes minutes.
RESAMPLES = 1000


@dataclass(frozen=True)
class TaskFigures:
    """A model's figures on one task.

    Attributes:
        task: Name of the task.
        shots: Number of solved examples before each question.
        samples: Number of questions.
        figures: The task's metrics by name, such as `acc`, and `acc_norm`, for which lm-eval
            divides log likelihoods by the characters of a choice. A filter other than `none`
            follows the name after a comma.
        standard_errors: The standard errors of those metrics that have one.
        reported: Name of the metric by which models are compared, or `None`, if there is none.
        items: What lm-eval notes of each question: its requests, their results, and its metrics.
    """

    task: str
    shots: int
    samples: int
    figures: dict[str, float]
    standard_errors: dict[str, float]
    reported: str | None
    items: list[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Returns all attributes but the items by name."""
        return {name: value for name, value in vars(self).items() if name != "items"}

    def of_items(self, metric: str) -> list[float] | None:
        """Returns a metric of each question, or `None` if it belongs to all of them together."""
        values = [item.get(metric) for item in self.items if item["filter"] == "none"]
        numbers = [float(value) for value in values if isinstance(value, int | float)]
        return numbers if len(numbers) == len(values) else None

    def describe(self, metric: str) -> str:
        """Returns a metric as text, with its standard error if it has one."""
        error = self.standard_errors.get(metric)
        return f"{self.figures[metric]:.4f}" + ("" if error is None else f" ± {error:.4f}")

    def __str__(self) -> str:
        parts = (f"{name} {self.describe(name)}" for name in self.figures)
        head = f"{self.task}, {self.samples:,} samples, {self.shots}-shot: "
        return head + "  ".join(parts)


class HarnessTasks:
    """Tasks of lm-eval, which any number of models are evaluated on.

    Args:
        names: Names of tasks, of groups or of tags of tasks. The tag `gpt3` stands for those of
            GPT-3's tasks that have data.
        folder: A folder with tasks as lm-eval's YAML files, beside lm-eval's own and those of
            `primer_tf.evaluation.gpt3`. The paths of data in them are relative to the folder.
            Defaults to none.
        task_data: A folder with data for GPT-3's tasks; see `primer_tf.evaluation.gpt3.data`.
            Defaults to none.

    Raises:
        UserError: A task is unknown, or has no data.
    """

    def __init__(
        self,
        names: Sequence[str],
        folder: StrPath | None = None,
        task_data: StrPath | None = None,
    ) -> None:
        self.folder = None if folder is None else Path(folder).resolve()
        if self.folder is not None and not self.folder.is_dir():
            raise UserError(f"There is no folder {folder}.")
        self.task_data = None if task_data is None else Path(task_data).resolve()
        self._manager = _manager(names, self.folder, self.task_data)
        self.names = [each for name in names for each in self._with_data(name)]

    def _with_data(self, name: str) -> list[str]:
        """Returns a name, or those of GPT-3's tasks that have data in place of their tag."""
        if name != GPT3:
            return [name]
        data = data_of_tasks(self._manager)
        missing = [each for each in data.values() if find(each, self.task_data) is None]
        for each in missing:
            logger.warning("%s is left out. %s", each.task, how_to_provide(each))
        if len(missing) == len(data):
            raise UserError("None of GPT-3's tasks has data; see `primer tasks`.")
        return sorted(data.keys() - {each.task for each in missing})

    def evaluate(
        self, model: HarnessModel, shots: int | None = None, limit: int | None = None
    ) -> list[TaskFigures]:
        """Returns a model's figures on each task, and on each group that has some.

        Args:
            model: The model.
            shots: Number of solved examples before each question. Defaults to what each task says.
                A task that says 0 keeps it.
            limit: Number of questions of each task. Defaults to all.

        Raises:
            UserError: A task cannot be read.
        """
        # lm-eval writes the number of shots into the tasks, so each call reads them again.
        with contextlib.chdir(self.folder or "."):
            each = [part for name in self.names for part in _load(self._manager, name)]
        with errors_of("load the tasks"):
            loaded = self._manager.load(each)
        for task in loaded["tasks"].values():
            asked = task.get_config("num_fewshot")
            if asked != 0:
                task.set_config("num_fewshot", (asked or 0) if shots is None else shots)
            task.set_fewshot_seed(DEFAULT_OTHER_SEED)
        # Not `simple_evaluate`, which lists all installed packages at each call.
        with contextlib.redirect_stdout(sys.stderr):  # It says that it resamples.
            results = lm_eval.evaluate(
                lm=model, task_dict=loaded, limit=limit, log_samples=True, bootstrap_iters=RESAMPLES
            )
        return [_figures(results, name) for name in results["results"]]


def gpt3_manager() -> TaskManager:
    """Returns a manager that knows GPT-3's tasks alone."""
    return TaskManager(include_path=gpt3.FOLDER, include_defaults=False)


def data_of_tasks(manager: TaskManager) -> dict[str, DataOfTask]:
    """Returns what GPT-3's tasks say about their data, by the names of the tasks.

    Args:
        manager: A manager that knows the tasks.
    """
    index = manager.task_index
    return {
        name: DataOfTask.from_config(name, index[name].cfg["dataset_kwargs"])
        for name in sorted(index[GPT3].tags)
    }


def _manager(names: Sequence[str], folder: Path | None, task_data: Path | None) -> TaskManager:
    """Returns a manager that knows all the tasks, if possible without lm-eval's own."""
    paths = [gpt3.FOLDER] if folder is None else [gpt3.FOLDER, folder]
    metadata = {} if task_data is None else {"task_data": str(task_data)}
    manager = TaskManager(include_path=paths, include_defaults=False, metadata=metadata)
    if set(names) <= set(manager.all_tasks):  # Reading lm-eval's own takes seconds.
        return manager
    manager = TaskManager(include_path=paths, metadata=metadata)
    for name in names:
        if name not in manager.all_tasks:
            near = difflib.get_close_matches(name, manager.all_tasks, n=5)
            hint = f"did you mean {' or '.join(near)}?" if near else "see `lm_eval ls tasks`."
            raise UserError(f"Unknown task {name!r}; {hint}")
    return manager


def _load(manager: TaskManager, name: str) -> list[Any]:
    """Returns a group, or a task, or all tasks of a tag."""
    with errors_of(f"load task {name!r}"):
        loaded = manager.load([name])
    return [loaded["groups"][name]] if name in loaded["groups"] else [*loaded["tasks"].values()]


def _figures(results: dict[str, Any], task: str) -> TaskFigures:
    figures: dict[str, float] = {}
    errors: dict[str, float] = {}
    for key, value in results["results"][task].items():
        name, _, of_filter = key.partition(",")
        if not isinstance(value, int | float) or not of_filter:
            continue
        is_error = name.endswith("_stderr")
        name = name.removesuffix("_stderr") + ("" if of_filter == "none" else f",{of_filter}")
        (errors if is_error else figures)[name] = float(value)
    samples = results["results"][task]["sample_len"]
    shots = results["n-shot"].get(task, 0)
    reported = _reported(results["configs"].get(task, {}), figures)
    items = results["samples"].get(task, [])
    return TaskFigures(task, shots, samples, figures, errors, reported, items)


def _reported(config: Mapping[str, Any], figures: Mapping[str, float]) -> str | None:
    """Returns the metric that a task says is compared, or else its first one."""
    named = (config.get("metadata") or {}).get("reported")
    return named if named in figures else next(iter(figures), None)
