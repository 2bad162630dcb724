"""Questions about a passage, each with the questions and answers before it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def as_turns(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields a row for each question, with the earlier ones about the same passage.

    Args:
        rows: Rows with the fields `passage`, `question` and `answers`. If `question` is a list, the
            row is a whole dialogue, and all fields that are lists have an element for each turn.
            Rows of the same passage follow one another. The right answers of a turn are a text or a
            list of texts.

    Yields:
        The rows, with a list of texts as `answers`, and with `previous`, the fields of the earlier
        turns that differ from turn to turn, among them `answer`, the first of the right ones.

    Example:

    >>> from primer_tf.evaluation.gpt3.dialogues import as_turns
    >>> row = {"passage": "It rains.", "question": ["Who?", "What?"], "answers": ["it", "rains"]}
    >>> list(as_turns([row]))[1]["previous"]
    [{'question': 'Who?', 'answer': 'it'}]
    """
    passage: Any = None
    previous: list[dict[str, Any]] = []
    for row in rows:
        if row["passage"] != passage:
            passage, previous = row["passage"], []
        for turn in _turns(row):
            answers = turn["answers"]
            turn["answers"] = answers if isinstance(answers, list) else [answers]
            yield {**turn, "previous": list(previous)}
            own: dict[str, Any] = {key: turn[key] for key in ("question", "options") if key in turn}
            previous.append({**own, "answer": turn["answers"][0]})


def _turns(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if not isinstance(row["question"], list):
        yield dict(row)
        return
    for index in range(len(row["question"])):
        yield {
            key: value[index] if isinstance(value, list) else value for key, value in row.items()
        }
