"""SentencePiece vocabularies with T5's special pieces."""

import io
from pathlib import Path

import sentencepiece

from primer_tf.errors import UserError


def train_vocabulary(documents, size=8000):
    """Trains a unigram vocabulary that represents any text without loss.

    Characters outside the vocabulary fall back to bytes and nothing is normalized, so detokenizing
    gives back the text and bits per byte mean what they say.

    Args:
        documents: List of strings.
        size: Number of pieces, the special ones included.

    Returns:
        The SentencePiece model, as bytes.

    Raises:
        UserError: The text cannot fill a vocabulary of this size.
    """
    sentencepiece.set_min_log_level(2)  # errors only; `minloglevel` below does not reach all of it
    lines = (line for document in documents for line in document.splitlines() if line.strip())
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            vocab_size=size,
            model_type="unigram",
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            # T5's ids; its decoder starts with the pad piece, so there is no piece to begin.
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(
            f"Cannot train a vocabulary of {size} pieces on this text: {reason}"
        ) from error
    return model.getvalue()


def read_vocabulary(path):
    """Returns the bytes of a SentencePiece model file, checked for T5's special pieces."""
    try:
        proto = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"No such vocabulary: {path}.") from error
    sentencepiece.set_min_log_level(2)
    try:
        pieces = sentencepiece.SentencePieceProcessor(model_proto=proto)
    except RuntimeError as error:
        raise UserError(f"{path} is not a SentencePiece model.") from error
    if (pieces.pad_id(), pieces.eos_id(), pieces.unk_id()) != (0, 1, 2):
        raise UserError(
            f"{path} does not have T5's special pieces (<pad> 0, </s> 1, <unk> 2); "
            "`primer vocab` trains one that has."
        )
    return proto
