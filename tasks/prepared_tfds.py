"""TensorFlow Datasets that are read from a prepared folder and never downloaded."""

from collections.abc import Iterable, Mapping
from typing import Any

import seqio
import tensorflow as tf
from tensorflow_datasets.core.constants import DATA_DIR

from primer_tf.errors import UserError


class PreparedTfds(seqio.TfdsDataSource):
    """A SeqIO `TfdsDataSource` that raises a clear error if the dataset is not prepared.

    The folder of the datasets is T5's `--t5_tfds_data_dir`, or else TFDS' own, which the
    environment variable TFDS_DATA_DIR names.

    Args:
      name: The dataset's name and version in TFDS.
      splits: The names of the splits, or a dictionary from names to TFDS splits or slices.
    """

    def __init__(self, name: str, splits: Iterable[str] | Mapping[str, str]) -> None:
        super().__init__(name, splits=splits, read_only=True)

    def get_dataset(self, *args: Any, **kwargs: Any) -> tf.data.Dataset:
        """Returns a split as a `tf.data.Dataset`; see `seqio.TfdsDataSource`.

        Raises:
          UserError: If the dataset is not prepared.
        """
        data = self.tfds_dataset
        try:
            prepared = data.builder.is_prepared()
        except (AssertionError, ValueError, OSError):  # TFDS does not know this version.
            prepared = False
        if not prepared:
            raise UserError(
                f"{data.name} is not prepared in {data.data_dir or DATA_DIR}; name the folder that "
                "holds it in TFDS_DATA_DIR or with T5's --t5_tfds_data_dir, or prepare it with "
                "TensorFlow Datasets."
            )
        return super().get_dataset(*args, **kwargs)
