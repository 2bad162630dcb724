"""Drafts by name."""

from typing import TYPE_CHECKING

from keras_hub.samplers import Sampler

from primer_tf.errors import UserError
from primer_tf.models.model_draft import ModelDraft
from primer_tf.models.ngram_draft import NGramDraft
from primer_tf.models.speculative_decoding import SpeculativeDecoding

if TYPE_CHECKING:
    from primer_tf.models.primer_causal_lm import PrimerCausalLM


def make_speculative_decoding(
    model: "PrimerCausalLM", draft: "PrimerCausalLM | str | None"
) -> SpeculativeDecoding | None:
    """Returns what generates from drafts, or `None` if there is no draft.

    Args:
        model: A model that is compiled with a sampler.
        draft: `"ngram"`, a smaller model of the same vocabulary, or `None`.

    Raises:
        UserError: The draft is unknown or has another vocabulary, or the sampler chooses among
            several texts.
    """
    if draft is None:
        return None
    if type(model.sampler).__call__ is not Sampler.__call__:
        raise UserError(
            f"{type(model.sampler).__name__} chooses among several texts and cannot use a draft; "
            "leave the draft out, or use another sampler."
        )
    if isinstance(draft, str):
        if draft != "ngram":
            raise UserError(f"Unknown draft {draft!r}; give 'ngram' or a model.")
        return SpeculativeDecoding(model, NGramDraft())
    _check_vocabulary(model, draft)
    return SpeculativeDecoding(model, ModelDraft(draft, model))


def _check_vocabulary(model: "PrimerCausalLM", draft: "PrimerCausalLM") -> None:
    sizes = [each.backbone.vocabulary_size for each in (model, draft)]
    protos = [each.preprocessor and each.preprocessor.tokenizer.proto for each in (model, draft)]
    if sizes[0] != sizes[1] or (all(protos) and protos[0] != protos[1]):
        raise UserError(
            "The draft has another vocabulary than the model; use one that was trained with the "
            "same vocabulary."
        )
