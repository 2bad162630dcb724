"""SentencePiece vocabularies with T5's special pieces."""

import io
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import sentencepiece

from primer_tf.errors import UserError
from primer_tf.types import StrPath

WARNINGS = 1  # One of SentencePiece's logging levels.

# SentencePiece marks spaces with U+2581, so this character itself would be decoded as a space. The
# normalizer therefore replaces it by a private-use character, and escapes private-use characters of
# the text by another one. The denormalizer undoes both.
MARK, ESCAPED_MARK, ESCAPE = "\u2581", "\ue000", "\ue001"
ESCAPES = {
    MARK: ESCAPED_MARK,
    ESCAPED_MARK: ESCAPE + ESCAPED_MARK,
    ESCAPE: ESCAPE + ESCAPE,
}

# SentencePiece skips lines of more than 4,192 bytes, and learns little from words of that length.
MAX_CHARACTERS = 1000

# SentencePiece starts with this many candidates (`seed_sentencepiece_size`). It does not stop when
# asked for many more pieces than that.
MAX_SIZE = 1_000_000

# SentencePiece skips lines with this character, which it uses for unknown pieces.
RESERVED = "\u2585"


def train_vocabulary(documents: Iterable[str], size: int = 8000) -> bytes:
    """Trains a unigram vocabulary that represents any text without loss.

    Characters outside the vocabulary fall back to bytes, and normalization loses none. Detokenizing
    therefore gives back the exact text, which bits per byte rely on.

    Args:
        documents: The texts.
        size: Number of pieces, including the special ones, at most 1,000,000. Defaults to 8000.

    Returns:
        The SentencePiece model, as bytes.

    Raises:
        UserError: The text cannot fill a vocabulary of this size.
    """
    if size > MAX_SIZE:
        raise UserError(
            f"Cannot train a vocabulary of {size} pieces: at most {MAX_SIZE:,} are possible."
        )
    sentencepiece.set_min_log_level(WARNINGS)  # `minloglevel` below does not silence everything.
    model = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        rules, inverse = Path(folder) / "normalize.tsv", Path(folder) / "denormalize.tsv"
        rules.write_text("".join(_rule(*pair) for pair in ESCAPES.items()))
        inverse.write_text("".join(_rule(*pair[::-1]) for pair in ESCAPES.items()))
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=_lines(documents),
                model_writer=model,
                vocab_size=size,
                model_type="unigram",
                byte_fallback=True,
                normalization_rule_name="user_defined",
                normalization_rule_tsv=str(rules),
                denormalization_rule_tsv=str(inverse),
                remove_extra_whitespaces=False,
                # T5's ids. Its decoder starts with the pad piece, so there is no start piece.
                pad_id=0,
                eos_id=1,
                unk_id=2,
                bos_id=-1,
                minloglevel=WARNINGS,
            )
        except (RuntimeError, OSError) as error:
            # "INTERNAL: FILE(LINE) [CONDITION] what is wrong", the last part perhaps missing.
            reason = str(error).strip().splitlines()[-1].rpartition("] ")[2]
            if reason.endswith("[!sentences_.empty()]"):
                reason = "it is empty."
            raise UserError(
                f"Cannot train a vocabulary of {size} pieces on this text: {reason}"
            ) from error
    return _without_paths(model.getvalue())


def num_pieces(vocabulary: bytes) -> int:
    """Returns the number of pieces of a SentencePiece model."""
    return sentencepiece.SentencePieceProcessor(model_proto=vocabulary).get_piece_size()


def _without_paths(model: bytes) -> bytes:
    """Returns a model that does not name the temporary files it was made with."""
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto.FromString(model)  # type: ignore[attr-defined]
    for spec in (proto.normalizer_spec, proto.denormalizer_spec):
        spec.ClearField("normalization_rule_tsv")
    return proto.SerializeToString(deterministic=True)


def _rule(source: str, target: str) -> str:
    return "\t".join(" ".join(f"{ord(c):X}" for c in text) for text in (source, target)) + "\n"


def _lines(documents: Iterable[str]) -> Iterator[str]:
    """Yields the lines of documents, cut where SentencePiece would skip them."""
    for document in documents:
        for line in document.splitlines():
            for part in line.split(RESERVED):
                yield from _short_lines(part)


def _short_lines(line: str) -> Iterator[str]:
    """Yields a line in parts with the same words.

    SentencePiece splits at spaces and adds one before each line, which replaces the one at the cut.
    """
    while len(line) > MAX_CHARACTERS:
        cut = line.rfind(" ", 1, MAX_CHARACTERS)
        while cut > 0 and line[cut - 1] == " ":
            cut -= 1
        if cut > 0:
            yield line[:cut]
            line = line[cut + 1 :]
        else:  # One long word.
            yield line[:MAX_CHARACTERS]
            line = line[MAX_CHARACTERS:]
    if line.strip():
        yield line


def read_vocabulary(path: StrPath) -> bytes:
    """Reads a SentencePiece model file and checks that it has T5's special pieces.

    Args:
        path: The file.

    Returns:
        The SentencePiece model, as bytes.

    Raises:
        UserError: The file does not exist, is no SentencePiece model, or lacks special pieces.
    """
    try:
        proto = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"No such vocabulary: {path}.") from error
    sentencepiece.set_min_log_level(WARNINGS)
    try:
        pieces = sentencepiece.SentencePieceProcessor(model_proto=proto)
    except (RuntimeError, UnicodeDecodeError) as error:  # the latter: its message quotes the file
        raise UserError(f"{path} is not a SentencePiece model.") from error
    if (pieces.pad_id(), pieces.eos_id(), pieces.unk_id()) != (0, 1, 2):
        raise UserError(
            f"{path} does not have T5's special pieces (<pad> 0, </s> 1, <unk> 2); "
            "`primer vocab` trains one that has."
        )
    return proto
