"""The text of every token."""

import sentencepiece

from primer_tf.models import PrimerTokenizer


def token_texts(tokenizer: PrimerTokenizer, vocabulary_size: int) -> list[bytes]:
    """Returns the bytes that each token adds to a text.

    Args:
        tokenizer: A `PrimerTokenizer`.
        vocabulary_size: Number of tokens, `V`; those beyond the pieces are unknown.
    """
    processor = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.proto)
    unknown = processor.decode([processor.unk_id()]).encode("utf-8")

    def text(token: int) -> bytes:
        if token >= processor.get_piece_size() or processor.is_unknown(token):
            return unknown
        if processor.is_control(token):
            return b""
        piece = processor.id_to_piece(token)
        if processor.is_byte(token):  # "<0x0A>"
            return bytes([int(piece[1:-1], 16)])
        return piece.replace("\u2581", " ").encode("utf-8")

    return [text(token) for token in range(vocabulary_size)]
