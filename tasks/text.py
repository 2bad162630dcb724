"""Plain text as training data: files, the demo text, and the documents of SeqIO or TFDS.

A source is a string: `demo`; `seqio:TASK` or `tfds:NAME`; else a comma-separated list of `.txt` and
`.jsonl` paths or globs. A `.txt` file is one document, a line of a `.jsonl` file (key `text`) is
one document. With `lm:` before it, as in `lm:demo`, it is the same text, to be cut into chunks as
T5's `lm` objective cuts it.
"""

import glob
import json
from pathlib import Path

from primer_tf.errors import UserError
from primer_tf.tasks import kjv

# Of a text that comes without a validation split, this much of its end is held out.
HELD_OUT = 0.05

# Before a source: its chunks are to be T5's.
LM = "lm:"

TEXT_KEYS = ("text", "book_text", "targets")


def load_split(source, split, validation_source=None):
    """Returns the documents of a split.

    Args:
        source: See above.
        split: `"train"` or `"validation"`.
        validation_source: A source of its own for the validation split: all of its files, or its
            split of this name. Without one, files hold out the last 5% of their characters.

    Returns:
        List of strings, none empty.

    Raises:
        UserError: No such file, no text in it, not UTF-8, or the demo text is not installed.
    """
    if split == "validation" and validation_source is not None:
        source = validation_source
    source = source.removeprefix(LM)
    if source == "demo":
        try:
            return [text for _, text in kjv.split(split)]
        except ModuleNotFoundError as error:
            raise UserError(str(error)) from error
    kind, _, name = source.partition(":")
    if kind in ("seqio", "tfds"):
        return read_dataset(kind, name, split)
    if validation_source is not None:
        return read_files(source)
    train, validation = hold_out(read_files(source))
    return train if split == "train" else validation


def read_files(patterns):
    """Returns the documents of a comma-separated list of paths or globs."""
    paths = []
    for pattern in patterns.split(","):
        matches = sorted(glob.glob(pattern, recursive=True)) or [pattern]
        paths += [Path(match) for match in matches]
    documents = [document for path in paths for document in read_file(path)]
    if not documents:
        raise UserError(f"No text in {patterns}: every file is empty.")
    return documents


def read_file(path):
    """Returns the documents of one `.txt` or `.jsonl` file, those that are not blank."""
    if not path.is_file():
        raise UserError(f"No such data file: {path}.")
    try:
        text = path.read_text(encoding="utf-8-sig")  # with or without a byte order mark
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text: byte {error.start} cannot be decoded; convert the file."
        ) from error
    if path.suffix == ".jsonl":
        documents = [_json_text(path, number, line) for number, line in _numbered_lines(text)]
    else:
        documents = [text]
    return [document for document in documents if document.strip()]


def _numbered_lines(text):
    # Not `splitlines`: JSON strings may hold other characters that end a line in Unicode.
    return [(n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _json_text(path, number, line):
    try:
        text = json.loads(line)["text"]
    except (ValueError, KeyError, TypeError):
        text = None
    if not isinstance(text, str):
        raise UserError(f"{path}, line {number}, is not a JSON object with a string as 'text'.")
    return text


def hold_out(documents):
    """Splits documents into train and validation, cutting one document where the split falls."""
    total = sum(map(len, documents))
    keep = total - max(1, int(total * HELD_OUT))
    train, validation = [], []
    for document in documents:
        train.append(document[: max(keep, 0)])
        validation.append(document[max(keep, 0) :])
        keep -= len(document)
    return [d for d in train if d], [d for d in validation if d]


def read_dataset(kind, name, split):
    """Returns the documents of a SeqIO task (`kind="seqio"`) or a prepared TFDS data set."""
    try:
        if kind == "seqio":
            import seqio

            import primer_tf.tasks.seqio_tasks  # noqa: F401  registers the published tasks

            dataset = seqio.get_mixture_or_task(name).source.get_dataset(split, shuffle=False)
        else:
            import tensorflow_datasets as tfds

            dataset = tfds.load(name, split=split)
    except ImportError as error:
        raise UserError(
            f"{kind}:{name} needs the T5 packages; run `pip install primer_tf[t5]`."
        ) from error
    except (ValueError, OSError, AssertionError) as error:
        raise UserError(f"Cannot read {kind}:{name}: {str(error).splitlines()[0]}") from error
    key = next((key for key in TEXT_KEYS if key in dataset.element_spec), None)
    if key is None:
        raise UserError(f"{kind}:{name} has no text under any of {', '.join(TEXT_KEYS)}.")
    return [example[key].decode("utf-8") for example in dataset.as_numpy_iterator()]
