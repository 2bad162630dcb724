"""How right a free answer is: SQuAD's exact match and F1, and WSC's rule.

Source: the evaluation script of SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250, section 6.1), which
TriviaQA, CoQA and QuAC have taken over.
"""

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset

PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Returns an answer in lower case, without punctuation, articles and superfluous spaces.

    Example:

    >>> from primer_tf.evaluation.gpt3.answer_scores import normalize_answer
    >>> normalize_answer(" The  Chicago Bears.")
    'chicago bears'
    """
    text = text.lower().translate(PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(answer: str, right: str) -> float:
    """Returns 1 if two answers are the same once normalized, else 0."""
    return float(normalize_answer(answer) == normalize_answer(right))


def token_f1(answer: str, right: str) -> float:
    """Returns the F1 of an answer's words.

    Example:

    >>> from primer_tf.evaluation.gpt3.answer_scores import token_f1
    >>> token_f1("the Bears", "the Chicago Bears")
    0.6666666666666666
    """
    words, expected = (normalize_answer(text).split() for text in (answer, right))
    if not words or not expected:
        return float(words == expected)
    shared = (Counter(words) & Counter(expected)).total()
    return 2 * shared / (len(words) + len(expected))


def true_pairs(rows: Dataset) -> Dataset:
    """Returns the rows of WSC whose noun is what the pronoun refers to."""
    return rows.select([i for i, label in enumerate(rows["label"]) if label])


def same_referent(row: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Returns whether a completion names WSC's noun exactly if the pronoun refers to it.

    Args:
        row: A row of WSC.
        results: The completion.
    """
    named = exact_match(results[0], row["span1_text"])
    return {"acc": float(named == bool(row["label"]))}
