"""From a source of text to packed chunks of tokens."""

from primer_tf.training.token_chunks import TokenChunks


def load_chunks(source, split, documents, tokenizer, sequence_length):
    """Returns the chunks of a source of text, and the length of the text.

    The chunks of a SeqIO task are those that T5 would train or evaluate on.

    Args:
        source: See `primer_tf.tasks.text`.
        split: `"train"` or `"validation"`.
        documents: Its documents.
        tokenizer: A `PrimerTokenizer`.
        sequence_length: Tokens in a chunk.

    Returns:
        `(TokenChunks, bytes)`.
    """
    kind, _, name = source.partition(":")
    if kind != "seqio":
        chunks = TokenChunks.from_documents(documents, tokenizer, sequence_length)
        return chunks, sum(len(document.encode("utf-8")) for document in documents)
    from primer_tf.tasks.seqio_rows import token_rows

    rows = token_rows(name, split, sequence_length, tokenizer.proto)
    texts = (tokenizer.detokenize(row.tolist()) for row in rows)
    num_bytes = sum(len(str(text).encode("utf-8")) for text in texts)
    return TokenChunks.from_rows(rows, sequence_length, tokenizer.start_token_id), num_bytes
