"""Models of lm-eval that need no weights: one knows the answers, and one draws them."""

import hashlib
from random import Random

from lm_eval.api.model import LM

WRONG = "no such answer"


def first(doc):
    return doc["answers"][0]


def lower_first(text):
    return text[0].lower() + text[1:]


def letter(doc):
    return " " + doc["choices"]["text"][doc["choices"]["label"].index(doc["answerKey"])]


def without_marks(text):
    """Removes WikiHow's marks, such as [title]."""
    text = text.strip().replace(" [title]", ". ")
    while "[" in text and "]" in text[text.index("[") :]:
        start = text.index("[")
        text = text[:start] + text[text.index("]", start) + 1 :]
    return text.replace("  ", " ").strip()


# The right continuation of a row.
RIGHT = {
    **{f"anli_r{i}": lambda doc: (" True", " Neither", " False")[doc["label"]] for i in (1, 2, 3)},
    "arc_easy": letter,
    "arc_challenge": letter,
    "boolq": lambda doc: " yes" if doc["answer"] else " no",
    "cb": lambda doc: (" true", " false", " neither")[doc["label"]],
    "copa": lambda doc: " " + lower_first(doc["choice2"] if doc["label"] else doc["choice1"]),
    "coqa": first,
    "drop": lambda doc: next((a[0] for a in doc["answers"] if len(a) == 1), WRONG),
    "hellaswag": lambda doc: " " + without_marks(doc["endings"][int(doc["label"])]),
    "lambada": lambda doc: " " + doc["text"].split(" ")[-1],
    "multirc": lambda doc: f"- [{bool(doc['label'])}] {doc['answer']}",
    "naturalqs": lambda doc: doc["answer"][0],
    "openbookqa": letter,
    "piqa": lambda doc: " " + doc[f"sol{doc['label'] + 1}"],
    "quac": first,
    "race_h": lambda doc: " " + doc["options"]["ABCD".index(doc["answers"][0])],
    "race_m": lambda doc: " " + doc["options"]["ABCD".index(doc["answers"][0])],
    "record": lambda doc: "- " + doc["query"].replace("@placeholder", doc["answers"][0]),
    "rte": lambda doc: (" True", " False")[doc["label"]],
    "squadv2": first,
    "storycloze": lambda doc: " " + doc[f"sentence_quiz{doc['answer_right_ending']}"],
    "triviaqa": first,
    "webqs": first,
    "wic": lambda doc: " yes" if doc["label"] else " no",
    "wsc": lambda doc: doc["span1_text"] if doc["label"] else WRONG,
}

# The right end of a context.
RIGHT_CONTEXT = {
    "winograd": lambda doc: doc["options"][doc["label"]],
    "winogrande": lambda doc: doc[f"option{doc['answer']}"],
}


class Answering(LM):
    """What the two models have in common."""

    tokenizer_name = "none"

    def loglikelihood(self, requests):
        return [self.score(request) for request in requests]

    def loglikelihood_rolling(self, requests):
        raise NotImplementedError

    def generate_until(self, requests):
        return [self.complete(request) for request in requests]


def task_of(request):
    return request.task_name.removeprefix("gpt3_")


class Oracle(Answering):
    """Knows what is right, and finds nothing else likely."""

    def score(self, request):
        context, continuation = request.args
        task = task_of(request)
        if context in ("Answer:", "A:"):
            return -1.0, False
        if task in RIGHT_CONTEXT:
            noun = RIGHT_CONTEXT[task](request.doc)
            right = context.lower().removesuffix("'s").endswith(noun.lower())
        else:
            right = continuation == RIGHT[task](request.doc)
        return (0.0 if right else -1000.0), right

    def complete(self, request):
        return " " + RIGHT[task_of(request)](request.doc)


class Uniform(Answering):
    """Draws a score for each continuation, or for each of its characters."""

    def __init__(self, by_character=False):
        super().__init__()
        self.by_character = by_character

    def score(self, request):
        seed = hashlib.sha256(repr(request.args).encode()).digest()
        nats = -Random(seed).random()
        context, continuation = request.args
        if self.by_character:
            nats *= len(continuation.removeprefix(" "))
        return (-1.0 if context in ("Answer:", "A:") else nats), False

    def complete(self, request):
        return WRONG
