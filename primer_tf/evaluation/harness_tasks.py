"""A model's figures on tasks of lm-evaluation-harness.

The module needs the extra `[eval]`.
"""

import contextlib
import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.tasks import TaskManager

from primer_tf.errors import UserError, errors_of
from primer_tf.evaluation.harness_model import HarnessModel
from primer_tf.types import StrPath


@dataclass(frozen=True)
class TaskFigures:
    """A model's figures on one task.

    Attributes:
        task: Name of the task.
        shots: Number of solved examples before each question.
        samples: Number of questions.
        figures: The task's metrics by name, such as `acc`, and `acc_norm`, for which lm-eval
            divides log likelihoods by the bytes of a choice. A filter other than `none` follows the
            name after a comma.
        standard_errors: The standard errors of those metrics that have one.
    """

    task: str
    shots: int
    samples: int
    figures: dict[str, float]
    standard_errors: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Returns all attributes by name."""
        return asdict(self)

    def __str__(self) -> str:
        parts = []
        for name, value in self.figures.items():
            error = self.standard_errors.get(name)
            parts.append(f"{name} {value:.4f}" + ("" if error is None else f" ± {error:.4f}"))
        head = f"{self.task}, {self.samples:,} samples, {self.shots}-shot: "
        return head + "  ".join(parts)


class HarnessTasks:
    """Tasks of lm-eval, which any number of models are evaluated on.

    Args:
        names: Names of tasks, of groups or of tags of tasks.
        folder: A folder with tasks as lm-eval's YAML files, beside lm-eval's own. The paths of data
            in them are relative to the folder. Defaults to none.

    Raises:
        UserError: A task is unknown.
    """

    def __init__(self, names: Sequence[str], folder: StrPath | None = None) -> None:
        self.names = names
        self.folder = None if folder is None else Path(folder).resolve()
        if self.folder is not None and not self.folder.is_dir():
            raise UserError(f"There is no folder {folder}.")
        self._manager = _manager(names, self.folder)

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
            tasks = [task for name in self.names for task in _load(self._manager, name)]
        results = lm_eval.simple_evaluate(
            model, tasks=tasks, num_fewshot=shots, limit=limit, log_samples=False
        )
        return [_figures(results, name) for name in results["results"]]


def _manager(names: Sequence[str], folder: Path | None) -> TaskManager:
    """Returns a manager that knows all the tasks, if possible that of the folder alone."""
    if folder is not None:
        manager = TaskManager(include_path=folder, include_defaults=False)
        if set(names) <= set(manager.all_tasks):  # Reading lm-eval's own takes seconds.
            return manager
    manager = TaskManager(include_path=folder)
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
    return TaskFigures(task, results["n-shot"].get(task, 0), samples, figures, errors)
