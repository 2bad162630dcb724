"""From a source of text to packed chunks of tokens."""

from typing import Any

from primer_tf.data.document_tokenizer import tokenize
from primer_tf.data.lm_rows import LmRows
from primer_tf.data.prepared_data import PreparedData, is_prepared
from primer_tf.data.text_length import TextLength
from primer_tf.data.token_chunks import TokenChunks
from primer_tf.errors import UserError
from primer_tf.tasks.text import LM, TextSource


def load_chunks(
    source: str,
    split: str,
    tokenizer: Any,
    sequence_length: int,
    validation_source: str | None = None,
) -> tuple[TokenChunks, TextLength]:
    """Returns the packed chunks of a source of text, and the length of the text.

    A prepared folder stays on disk. Any other text is tokenized into memory. The chunks of a SeqIO
    task, and of a source with the prefix `lm:`, are cut as T5 cuts them.

    Args:
        source: A source of text, as `primer_tf.tasks.text` describes it, or a folder that
            `primer prepare` has written.
        split: `"train"`, `"validation"` or, of files, `"all"`.
        tokenizer: A `PrimerTokenizer`.
        sequence_length: Number of tokens in a chunk.
        validation_source: A separate source for the validation split. By default it is part of
            `source`.

    Returns:
        `(chunks, length)`: the `TokenChunks`, and the `TextLength` of the text in them.
    """
    separate = split == "validation" and validation_source is not None
    used = validation_source if separate and validation_source else source
    start = tokenizer.start_token_id
    if is_prepared(used):
        return _prepared_chunks(used, split, tokenizer, sequence_length)
    kind, _, name = used.partition(":")
    if kind == "seqio":
        from primer_tf.tasks.seqio_rows import token_rows

        rows = token_rows(name, split, sequence_length, tokenizer.proto)
    else:
        text = TextSource(used) if separate else TextSource(used, validation_source)
        split = text.whole if separate else split
        if not used.startswith(LM):
            tokens, length = tokenize(text.pieces(split), tokenizer.proto)
            return TokenChunks(tokens, sequence_length, start), length
        from primer_tf.tasks.seqio_rows import lm_rows

        rows = lm_rows(lambda: text.documents(split), sequence_length, tokenizer.proto)
    texts = (str(tokenizer.detokenize(row.tolist())) for row in rows)
    return TokenChunks.from_rows(rows, sequence_length, start), TextLength.of(texts)


def _prepared_chunks(
    source: str, split: str, tokenizer: Any, sequence_length: int
) -> tuple[TokenChunks, TextLength]:
    prepared = PreparedData(source)
    prepared.check_vocabulary(tokenizer.proto, "the model's vocabulary")
    shards = prepared.shards(split)
    tokens = LmRows(shards, sequence_length) if prepared.index.packing == "lm" else shards
    return TokenChunks(tokens, sequence_length, tokenizer.start_token_id), shards.text


def check_source(source: str, validation_source: str | None = None) -> None:
    """Checks sources before anything is written. Files of text are read once.

    Args:
        source: As in `load_chunks`.
        validation_source: As in `load_chunks`.

    Raises:
        UserError: A file is missing, empty, damaged or not UTF-8, or a prepared folder is damaged
            or not complete, or a package or data set is not there.
    """
    for each in (source, validation_source):
        if each is not None and is_prepared(each.removeprefix(LM)):
            if each.startswith(LM):
                raise UserError(
                    f"{each}: whether text is cut as T5 cuts it is decided by `primer prepare`; "
                    f"leave {LM} out."
                )
            PreparedData(each)
        elif each is not None:
            text = TextSource(each)
            if text.characters("train") is None:
                next(text.pieces("train"), None)
