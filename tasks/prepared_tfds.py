"""TensorFlow Datasets that lie prepared in a folder, and are never downloaded."""

import seqio
from tensorflow_datasets.core.constants import DATA_DIR

from primer_tf.errors import UserError


class PreparedTfds(seqio.TfdsDataSource):
    """A data set as SeqIO's `TfdsDataSource` gives it, if it is there; else one clear error.

    It is looked for in the folder of T5's `--t5_tfds_data_dir`, else in TFDS' own, which the
    environment variable TFDS_DATA_DIR names.

    Args:
      name: the data set's name in TFDS, with its version.
      splits: the names of its splits, or a dictionary from names to TFDS splits or slices.
    """

    def __init__(self, name, splits):
        super().__init__(name, splits=splits, read_only=True)

    def get_dataset(self, *args, **kwargs):
        """Returns a split as a `tf.data.Dataset`; see `seqio.TfdsDataSource`.

        Raises:
          UserError: if the data set is not there.
        """
        data = self.tfds_dataset
        try:
            there = data.builder.is_prepared()
        except (AssertionError, ValueError, OSError):  # TFDS does not know this version.
            there = False
        if not there:
            raise UserError(
                f"{data.name} is not prepared in {data.data_dir or DATA_DIR}; name the folder that "
                "holds it in TFDS_DATA_DIR or with T5's --t5_tfds_data_dir, or prepare it with "
                "TensorFlow Datasets."
            )
        return super().get_dataset(*args, **kwargs)
