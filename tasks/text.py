"""Plain text as training data: files, the demo text, and the documents of SeqIO or TFDS.

A source is a string: `demo`, `seqio:TASK`, `tfds:NAME`, or a comma-separated list of text files,
folders and globs. A folder stands for all `.txt` and `.jsonl` files in it, at any depth, except
hidden ones. A path of an existing file or folder is never read as a glob. With the prefix `lm:`, as
in `lm:demo`, the text is cut into chunks as by T5's `lm` objective.

A file is one document, with two exceptions. Each line of a `.jsonl` file is a JSON object with a
document under the key `text`. A `.json` file has such lines, too, or one object, or an array of
objects. Suffixes may be in upper or lower case.
"""

import glob
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from primer_tf.errors import UserError, errors_of
from primer_tf.installation import install_command
from primer_tf.tasks import kjv

# The share of a text without a validation split that is held out from its end.
HELD_OUT = 0.05

# The prefix of a source that is to be cut into chunks as T5 does.
LM = "lm:"

# The suffixes of the files that a folder stands for.
IN_FOLDERS = (".txt", ".jsonl")

TEXT_KEYS = ("text", "book_text", "targets")


def load_split(source: str, split: str, validation_source: str | None = None) -> list[str]:
    """Returns the documents of a split.

    Args:
        source: A source as described above.
        split: Name of the split, `"train"` or `"validation"`, or for files also `"all"`.
        validation_source: A separate source for the validation split: all of its files, or its
            split `"validation"`. By default the last 5% of the characters of files are held out.

    Returns:
        List of strings, none empty.

    Raises:
        UserError: If a file does not exist, is empty or is not UTF-8, or the demo text is not
            installed.
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
    if validation_source is not None or split == "all":
        return read_files(source)
    train, validation = hold_out(read_files(source))
    return train if split == "train" else validation


def has_splits(source: str) -> bool:
    """Whether a source comes with the splits `"train"` and `"validation"`, as files do not."""
    source = source.removeprefix(LM)
    return source == "demo" or source.partition(":")[0] in ("seqio", "tfds")


def read_files(patterns: str) -> list[str]:
    """Returns the documents of a comma-separated list of files, folders and globs."""
    documents = [document for path in find_files(patterns) for document in read_file(path)]
    if not documents:
        shown = patterns if len(patterns) <= 200 else f"{patterns[:200]}..."
        raise UserError(f"No text in {shown}: every file is empty.")
    return documents


def find_files(patterns: str) -> list[Path]:
    """Returns the files of a comma-separated list of files, folders and globs, each file once.

    A comma may also be part of a name: parts are joined until they name something.
    """
    paths: dict[Path, None] = {}
    parts = patterns.split(",")
    while parts:
        for end in range(1, len(parts) + 1):
            name = ",".join(parts[:end])
            found = _matches(name)
            if found:
                break
        else:
            if glob.has_magic(parts[0]):
                raise UserError(f"No data file matches {parts[0]}.")
            raise UserError(f"No such data file: {parts[0] or repr('')}.")
        files = [file for path in found for file in _files_of(path)]
        if not files:
            raise UserError(f"There are no {' or '.join(IN_FOLDERS)} files in the folder {name}.")
        paths.update(dict.fromkeys(files))
        parts = parts[end:]
    return list(paths)


def _matches(name: str) -> list[Path]:
    """Returns the file or folder of this name, or else those that match the name as a glob."""
    names = [name] if os.path.exists(name) else sorted(glob.glob(name, recursive=True))
    return [Path(match) for match in names if os.path.isfile(match) or os.path.isdir(match)]


def _files_of(path: Path) -> Iterator[Path]:
    """Yields a file itself, or the text files of a folder; links to other folders are not followed.

    Raises:
        OSError: A folder cannot be read.
    """
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(IN_FOLDERS) and not name.startswith("."):
                yield Path(folder, name)


def _raise(error: OSError) -> None:
    raise error


def read_file(path: Path) -> list[str]:
    """Returns the documents of one file, without blank ones."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # with or without a byte order mark
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text: byte {error.start} cannot be decoded; convert the file."
        ) from error
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        documents = _json_lines(path, text)
    elif suffix == ".json":
        documents = _json_documents(path, text)
    else:
        documents = [text]
    return [document for document in documents if document.strip()]


def _json_documents(path: Path, text: str) -> list[str]:
    """Returns the documents of a `.json` file: an array of objects, an object, or one a line."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _json_lines(path, text)
    if not isinstance(value, list):
        return [_document(value, str(path))]
    return [_document(entry, f"{path}, entry {n},") for n, entry in enumerate(value, start=1)]


def _json_lines(path: Path, text: str) -> list[str]:
    documents = []
    # Not `splitlines`: JSON strings may contain Unicode's other line separators.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path}, line {number},"
            try:
                documents.append(_document(json.loads(line), where))
            except (ValueError, RecursionError) as error:
                if isinstance(error, UserError):
                    raise
                documents.append(_document(None, where))
    return documents


def _document(value: object, where: str) -> str:
    """Returns the text of a parsed JSON object; error messages start with `where`."""
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise UserError(f"{where} is not a JSON object with a string as 'text'.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"{where} has a text that is not Unicode: {ascii(text[error.start])} is half of a "
            "character; write the file again as UTF-8."
        ) from error
    return text


def hold_out(documents: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits documents into train and validation, and the document at the boundary in two."""
    total = sum(map(len, documents))
    keep = total - max(1, int(total * HELD_OUT))
    train: list[str] = []
    validation: list[str] = []
    for document in documents:
        train.append(document[: max(keep, 0)])
        validation.append(document[max(keep, 0) :])
        keep -= len(document)
    return [d for d in train if d], [d for d in validation if d]


def read_dataset(kind: str, name: str, split: str) -> list[str]:
    """Returns the documents of a SeqIO task (`kind="seqio"`) or a prepared TFDS dataset."""
    try:
        if kind == "seqio":
            import seqio

            import primer_tf.tasks.seqio_tasks  # noqa: F401  registers the published tasks
        else:
            import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(
            f"{kind}:{name} needs the T5 packages; run `{install_command('t5')}`."
        ) from error
    with errors_of(f"read {kind}:{name}"):
        if kind == "seqio":
            dataset = seqio.get_mixture_or_task(name).source.get_dataset(split, shuffle=False)
        else:
            dataset = tfds.load(name, split=split)
        key = next((key for key in TEXT_KEYS if key in dataset.element_spec), None)
        if key is None:
            raise UserError(f"{kind}:{name} has no text under any of {', '.join(TEXT_KEYS)}.")
        return [example[key].decode("utf-8") for example in dataset.as_numpy_iterator()]
