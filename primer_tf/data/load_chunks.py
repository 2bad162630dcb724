"""From a source of text to packed chunks of tokens."""

from collections.abc import Sequence
from typing import Any

from primer_tf.data.text_length import TextLength
from primer_tf.data.token_chunks import TokenChunks
from primer_tf.tasks.text import LM


def load_chunks(
    source: str, split: str, documents: Sequence[str], tokenizer: Any, sequence_length: int
) -> tuple[TokenChunks, TextLength]:
    """Returns the packed chunks of a source of text, and the length of the text.

    The chunks of a SeqIO task, and of a source with the prefix `lm:`, are cut as T5 cuts them.

    Args:
        source: A source of text, as `primer_tf.tasks.text` describes it.
        split: `"train"`, `"validation"` or `"all"`.
        documents: The documents of the split. They are not used for a SeqIO task.
        tokenizer: A `PrimerTokenizer`.
        sequence_length: Number of tokens in a chunk.

    Returns:
        `(chunks, length)`: the `TokenChunks`, and the `TextLength` of the text in them.
    """
    kind, _, name = source.partition(":")
    if kind == "seqio":
        from primer_tf.tasks.seqio_rows import token_rows

        rows = token_rows(name, split, sequence_length, tokenizer.proto)
    elif source.startswith(LM):
        from primer_tf.tasks.seqio_rows import lm_rows

        rows = lm_rows(documents, sequence_length, tokenizer.proto)
    else:
        chunks = TokenChunks.from_documents(documents, tokenizer, sequence_length)
        return chunks, TextLength.of(documents)
    texts = (str(tokenizer.detokenize(row.tolist())) for row in rows)
    chunks = TokenChunks.from_rows(rows, sequence_length, tokenizer.start_token_id)
    return chunks, TextLength.of(texts)
