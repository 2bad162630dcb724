"""The figures of several models on the same tasks, side by side.

The module needs the extra `[eval]`.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from primer_tf.errors import UserError
from primer_tf.evaluation.harness_tasks import TaskFigures
from primer_tf.evaluation.paired_test import SIGNIFICANT, PairedTest, paired_test
from primer_tf.files import atomic_directory
from primer_tf.types import StrPath


class Comparison:
    """Compares models with the first of them, task by task, by the metric that a task reports.

    Args:
        figures: The figures of each model on the same tasks, by the models' names.
    """

    def __init__(self, figures: Mapping[str, Sequence[TaskFigures]]) -> None:
        self.figures = figures
        self.names = list(figures)

    def tests(self, name: str) -> dict[str, PairedTest]:
        """Returns the test of a model against the first, by the names of the tasks.

        Tasks whose reported metric belongs to all questions together have none.

        Args:
            name: Name of the model.
        """
        pairs = zip(self.figures[self.names[0]], self.figures[name], strict=True)
        tests = {}
        for first, second in pairs:
            if first.reported is None or first.reported not in second.figures:
                continue
            scores = first.of_items(first.reported), second.of_items(first.reported)
            if scores[0] and scores[1]:
                tests[first.task] = paired_test(scores[0], scores[1])
        return tests

    def to_dict(self) -> dict[str, Any]:
        """Returns the tests of each model but the first, by the names of models and tasks."""
        return {
            name: {task: asdict(test) for task, test in self.tests(name).items()}
            for name in self.names[1:]
        }

    def __str__(self) -> str:
        heads = ("task", "metric", "model", "score", f"less {self.names[0]}", "p")
        rows = [heads, *self._rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, *self._summaries()])

    def _rows(self) -> Iterator[tuple[str, str, str, str, str, str]]:
        tests = {name: self.tests(name) for name in self.names[1:]}
        for several in zip(*self.figures.values(), strict=True):
            metric = several[0].reported
            if metric is None:
                continue
            head = (f"{several[0].task} ({several[0].samples:,})", metric)
            for name, figures in zip(self.names, several, strict=True):
                test = tests.get(name, {}).get(figures.task)
                difference, p = "", ""
                if test is not None:
                    difference = f"{test.difference:+.4f} ± {test.standard_error:.4f}"
                    p = f"{test.p_value:.2g}"
                yield *head, name, figures.describe(metric), difference, p
                head = ("", "")

    def _summaries(self) -> Iterator[str]:
        for name in self.names[1:]:
            tests = self.tests(name)
            count = Counter(test.verdict for test in tests.values())
            kinds = " or ".join(sorted({test.test for test in tests.values()}))
            yield (
                f"{name} against {self.names[0]}: better on {count['better']} of {len(tests)} "
                f"tasks, worse on {count['worse']}, equal on {count['equal']} "
                f"(p < {SIGNIFICANT} by {kinds}, each task by itself)"
            )


def check_output(folder: StrPath) -> None:
    """Raises `UserError` if results would replace other files.

    Args:
        folder: The folder to write results to.
    """
    path = Path(folder)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{folder} is not empty; choose another folder for the results.")


def write_results(
    folder: StrPath, figures: Mapping[str, Sequence[TaskFigures]], results: Mapping[str, Any]
) -> None:
    """Writes `results.json`, `scores.png`, and each model's answers to a new folder.

    Args:
        folder: The folder; see `check_output`.
        figures: The figures of each model, by the models' names.
        results: The content of `results.json`.
    """
    with atomic_directory(folder) as partial:
        text = json.dumps(results, indent=2) + "\n"
        (partial / "results.json").write_text(text, encoding="utf-8")
        draw_scores(figures, partial / "scores.png")
        for number, several in enumerate(figures.values(), 1):
            for each in several:
                path = partial / f"items_{number}" / f"{each.task}.jsonl"
                path.parent.mkdir(exist_ok=True)
                lines = (json.dumps(item, default=str) + "\n" for item in each.items)
                path.write_text("".join(lines), encoding="utf-8")


def draw_scores(figures: Mapping[str, Sequence[TaskFigures]], path: Path) -> None:
    """Draws the reported metric of each task, with standard errors.

    Args:
        figures: The figures of each model, by the models' names.
        path: The PNG file.
    """
    # Not `pyplot`, whose choice of a backend is the user's.
    from matplotlib.figure import Figure

    tasks = next(iter(figures.values()))
    figure = Figure(figsize=(8, 1.5 + 0.35 * len(tasks)), layout="constrained")
    axis = figure.subplots()
    for number, (name, several) in enumerate(figures.items()):
        shown = [(row, each, each.reported) for row, each in enumerate(several)]
        axis.errorbar(
            [each.figures[metric] for _, each, metric in shown if metric],
            [row + 0.15 * number for row, _, metric in shown if metric],
            xerr=[each.standard_errors.get(metric, 0.0) for _, each, metric in shown if metric],
            fmt="o",
            capsize=3,
            label=name,
        )
    axis.set_yticks(range(len(tasks)), [f"{each.task} {each.reported}" for each in tasks])
    axis.invert_yaxis()
    axis.set(xlabel="score and its standard error")
    axis.grid(axis="x", alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)
