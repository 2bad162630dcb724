"""Tiny prepared versions of the TFDS datasets that the published tasks read."""

# Name, configuration, version, the key of the text, and the number of documents in each split.
DATA_SETS = {
    "c4": ("en", "3.0.1", "text", {"train": 60, "validation": 9}),
    "lm1b": (None, "1.1.0", "text", {"train": 200, "test": 7}),
    "pg19": (None, "0.1.1", "book_text", {"train": 60, "validation": 8, "test": 7}),
}
WORDS = ["light", "and", "the", "earth", "was", "void", "of", "deep", "waters", "upon", "said"]


def write(folder):
    """Writes the datasets to a TFDS data folder."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    for name, (config, version, key, splits) in DATA_SETS.items():
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            config=config,
            version=version,
            data_dir=folder,
            features=tfds.features.FeaturesDict({key: tfds.features.Text()}),
            split_datasets={
                split: tf.data.Dataset.from_tensor_slices({key: documents(split, count)})
                for split, count in splits.items()
            },
        )


def documents(split, count):
    """Returns texts that all differ, also from those of other splits."""
    return [f"{split} {' '.join(WORDS[i % 11 :])} {i} {WORDS[i % 7]}" for i in range(count)]
