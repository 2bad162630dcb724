"""A version as a model that completes texts."""

import json

from primer_tf.serving.continuous_batching import ContinuousBatcher
from primer_tf.serving.metrics import Metrics
from primer_tf.serving.saved_model import SavedModel
from primer_tf.serving.vocabulary import Vocabulary

_SIGNATURES = {"prefill", "decode", "score_prompt"}


class CompletionModel:
    """The vocabulary, the limits and the batcher of an export.

    Args:
        saved_model: A SavedModel for which `can_complete` is true.
        max_batch_size: Rows that are decoded together.
        metrics: Where tokens are counted.
    """

    def __init__(self, saved_model: SavedModel, max_batch_size: int, metrics: Metrics) -> None:
        extra = saved_model.folder / "assets.extra"
        description = json.loads((extra / "export.json").read_text("utf-8"))
        self.saved_model = saved_model
        self.max_length = int(description["max_length"])
        self.vocabulary_size = int(description["vocabulary_size"])
        self.start_token_id = int(description["start_token_id"])
        special = [description[kind] for kind in ("start_token_id", "end_token_id", "pad_token_id")]
        self.vocabulary = Vocabulary(extra / "vocabulary.model", self.start_token_id, special)
        self.batcher = ContinuousBatcher(saved_model, description, max_batch_size, metrics)


def can_complete(saved_model: SavedModel) -> bool:
    """Returns whether a SavedModel has the signatures that completions need."""
    return saved_model.signatures.keys() >= _SIGNATURES
