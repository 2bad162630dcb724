"""The text of a search as tokens, prepared once for all individuals."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np

from primer_tf.errors import UserError
from primer_tf.files import DamagedFileError, atomic_write, read_npz
from primer_tf.search.config import SearchConfig
from primer_tf.types import StrPath

FILE = "tokens.npz"
VOCABULARY = "vocabulary.model"


@dataclasses.dataclass(frozen=True)
class Tokens:
    """The tokens that individuals train on and are compared on.

    Attributes:
        train: `[N]` integers.
        validation: `[M]` integers.
    """

    train: np.ndarray
    validation: np.ndarray


def prepare_tokens(config: SearchConfig, directory: StrPath) -> Tokens:
    """Returns the tokens of a search, and keeps them and their vocabulary in its folder.

    Args:
        config: The configuration.
        directory: The folder. What is already in it is used as it is.

    Raises:
        UserError: There is no text, or too little of it.
    """
    path = Path(directory) / FILE
    if path.exists():
        try:
            return Tokens(**read_npz(path))
        except (DamagedFileError, TypeError) as error:
            raise UserError(f"{path} is damaged: {error}; remove it.") from error
    from primer_tf.data.load_chunks import load_chunks
    from primer_tf.data.vocabulary_sample import vocabulary_of_text
    from primer_tf.models import PrimerTokenizer
    from primer_tf.tasks.text import TextSource

    vocabulary = vocabulary_of_text(TextSource(config.data), config.vocabulary_size)
    atomic_write(Path(directory) / VOCABULARY, vocabulary)
    tokenizer = PrimerTokenizer(vocabulary)
    arrays: dict[str, Any] = {}
    for split in ("train", "validation"):
        chunks, _ = load_chunks(config.data, split, tokenizer, config.sequence_length)
        arrays[split] = np.asarray(chunks.tokens, np.int32)
        if chunks.num_chunks == 0:
            raise UserError(
                f"The {split} text does not fill one sequence of {config.sequence_length} tokens; "
                "give more text or a smaller sequence_length."
            )
    content = io.BytesIO()
    np.savez(content, **arrays)
    atomic_write(path, content.getvalue())
    return Tokens(**arrays)
