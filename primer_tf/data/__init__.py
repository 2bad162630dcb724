"""Text as training data: vocabularies, shards of tokens, and packed chunks of tokens."""

from primer_tf.data.text_length import TextLength
from primer_tf.data.token_chunks import TokenChunks

__all__ = ["TextLength", "TokenChunks"]
