"""Over how many devices Keras' distribution splits a batch."""

import keras

from primer_tf._compat import variable_layout
from primer_tf.errors import UserError
from primer_tf.types import Tensor


def num_replicas() -> int:
    """Returns the size of the mesh axis that splits batches, 1 without a distribution."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return 1
    mesh = distribution.device_mesh
    return int(mesh.shape[list(mesh.axis_names).index(distribution.batch_dim_name)])


def part_of_batch() -> tuple[int, int]:
    """Returns which part of each batch this host computes, and how many parts there are.

    Hosts that share the weights of a replica compute the same part.
    """
    distribution = keras.distribution.distribution()
    if distribution is None:
        return 0, 1
    return distribution.data_shard_id, min(distribution.num_processes, num_replicas())


def on_all_hosts(x: Tensor) -> Tensor:
    """Gives every device all rows of a batch's result, so that every host can read them."""
    distribution = keras.distribution.distribution()
    if distribution is None or distribution.num_processes == 1:
        return x
    whole = keras.distribution.TensorLayout([None] * len(x.shape), distribution.device_mesh)
    return keras.distribution.distribute_tensor(x, whole)


def check_batch_size(batch_size: int, replicas: int) -> None:
    """Raises `UserError` unless a batch can be split evenly over a number of devices."""
    if batch_size % replicas:
        raise UserError(
            f"batch_size {batch_size} cannot be split evenly over {replicas} devices; choose a "
            f"multiple of {replicas}."
        )


def split_rows(x: Tensor, kernel: keras.Variable) -> Tensor:
    """Splits the inputs of experts over the devices that have different parts of the batch.

    They are copied from tokens in any order, so that a compiler would give all of them to each of
    these devices.

    Args:
        x: `[E, N, C]`.
        kernel: `[E, C, F]`, the weight whose devices also share `E`.

    Returns:
        `[E, N, C]`, as it was if there is one device or the devices do not divide `N`.
    """
    distribution, layout = keras.distribution.distribution(), variable_layout(kernel)
    if distribution is None or layout is None or x.shape[1] % num_replicas():
        return x
    axes = (layout.axes[0], distribution.batch_dim_name, None)
    split = keras.distribution.TensorLayout(axes, distribution.device_mesh)
    return keras.distribution.distribute_tensor(x, split)
