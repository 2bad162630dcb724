"""A task of lm-eval whose data lie on this machine and whose examples come from other rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.samplers import ContextSampler
from lm_eval.api.task import ConfigurableTask

from primer_tf.errors import UserError
from primer_tf.evaluation.gpt3.answer_scores import exact_match, token_f1
from primer_tf.evaluation.gpt3.data import DataOfTask, load

# A set that has this many rows of the same passage in a row of draws has no others.
MAX_DRAWS = 1000


class OtherRows(ContextSampler):
    """Draws examples for a row that are not the row itself, and not about its passage.

    Args:
        df: The rows to draw from.
        rnd: Seed.
    """

    rnd: Random

    def sample(
        self,
        n: int,
        eval_doc: Mapping[str, Any] | None = None,
        df: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> list[Any]:
        """Returns examples.

        Args:
            n: Number of examples.
            eval_doc: The row that is evaluated, if it is among those to draw from.
            df: Nothing; lm-eval may pass it.
            **kwargs: Nothing else is known.

        Raises:
            UserError: There are too few rows.
        """
        examples: list[Any] = []
        for _ in range(MAX_DRAWS):
            if len(examples) == n:
                return examples
            row = self.df[self.rnd.randrange(len(self.df))]
            if row not in examples and not _related(row, eval_doc):
                examples.append(row)
        raise UserError(f"The data have too few rows for {n} examples; lower the shots.")


def _related(row: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
    if other is None:
        return False
    return row == other or ("passage" in row and row["passage"] == other["passage"])


class OneShotTask(ConfigurableTask):
    """A task of lm-eval over rows that `data.load` finds.

    Examples come from the training split if there is one, and else from the rows that are
    evaluated, but never from the evaluated row itself or its passage.

    Args:
        config: The content of the task's YAML file. `metadata` may have `task_data`, the folder
            with the user's data, and `answer_context`, after which the probability of a choice
            alone is measured.

    Raises:
        UserError: There are no data, or a row has an empty choice or an unknown label.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config={key: config[key] for key in config if key != "class"})

    def download(self, dataset_kwargs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Reads the data; nothing is downloaded.

        Args:
            dataset_kwargs: What `DataOfTask` takes.
            **kwargs: Nothing else is known.
        """
        folder = (self.config.metadata or {}).get("task_data")
        data = DataOfTask.from_config(self.config.task, dataset_kwargs or {})
        self.dataset = load(data, None if folder is None else Path(folder))
        self.fewshot_cfg.split = "train" if "train" in self.dataset else "test"
        self.fewshot_cfg.sampler = OtherRows  # type: ignore[assignment]  # a class is fine, too
        # What comes next in lm-eval takes the first row to be right.
        self.prompt, self.features = None, self.dataset["test"].column_names
        self._check(self.dataset["test"][0], f"{self.config.task}, row 0")

    def construct_requests(
        self, doc: Mapping[str, Any], ctx: str | list[str], **kwargs: Any
    ) -> list[Instance] | Instance:
        """Returns the requests of a row.

        Args:
            doc: The row.
            ctx: The prompt, or one for each choice.
            **kwargs: lm-eval's.

        Raises:
            UserError: A choice is empty, or there is no such choice as the right one.
        """
        self._check(doc, f"{self.config.task}, row {kwargs['metadata'][1]}")
        requests = super().construct_requests(doc, ctx, **kwargs)
        if self.OUTPUT_TYPE == "multiple_choice":
            for request in requests:
                context, choice = request.args
                if not context:  # lm-eval's unconditional probability
                    request.arguments = (self.config.metadata["answer_context"], choice)
        return requests

    def _check(self, doc: Mapping[str, Any], where: str) -> None:
        if self.OUTPUT_TYPE != "multiple_choice":
            return
        choices = self.doc_to_choice(doc)
        for choice in choices:
            if not choice.strip():
                raise UserError(f"{where}: a choice is empty; correct or remove the row.")
        # Where each choice is a context of its own, its number takes the place of the text.
        text = self.doc_to_text(doc)
        right = text if isinstance(text, int) else self.doc_to_target(doc)
        several = right if isinstance(right, list) else [right]
        if not several or not all(isinstance(x, int) and 0 <= x < len(choices) for x in several):
            raise UserError(
                f"{where}: the right choice is {right!r}, and there are {len(choices)}; a label "
                "must be the number of a choice, as on the Hugging Face hub."
            )

    def process_results(
        self, doc: Mapping[str, Any], results: Sequence[Any]
    ) -> dict[str, float | tuple]:
        """Returns the figures of a row by name.

        Args:
            doc: The row.
            results: The log likelihoods, or the completion.
        """
        if self.OUTPUT_TYPE != "generate_until" or callable(self.config.process_results):
            return super().process_results(doc, results)
        answers = self.doc_to_target(doc)
        answers = answers if isinstance(answers, list) else [answers]
        scores = {"exact_match": exact_match, "f1": token_f1}
        return {
            name: max(score(results[0], answer) for answer in answers)
            for name, score in scores.items()
        }
