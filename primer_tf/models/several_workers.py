"""Training and evaluation with TensorFlow's `MultiWorkerMirroredStrategy`."""

from typing import Any

import keras
from keras import ops

from primer_tf.models.causal_lm_mixin import CausalLMMixin


class SeveralWorkers(CausalLMMixin):
    """A mixin for `fit` and `evaluate` in the scope of a `MultiWorkerMirroredStrategy`.

    Keras 3 fails there with several workers: it averages the first batch over them as if that were
    a tensor, and the metrics of a step along an axis that they do not have. Here a model is built
    from a worker's own part of the batch, and metrics have that axis.
    """

    def train_step(self, *state_and_data: Any) -> Any:
        """Trains on one batch; see `keras.Model`."""
        return self._with_axis(super().train_step(*state_and_data))

    def test_step(self, *state_and_data: Any) -> Any:
        """Evaluates one batch; see `keras.Model`."""
        return self._with_axis(super().test_step(*state_and_data))

    def _with_axis(self, metrics: Any) -> Any:
        if not self._has_workers():
            return metrics
        return {name: ops.reshape(value, (1,)) for name, value in metrics.items()}

    def _has_workers(self) -> bool:
        if keras.backend.backend() != "tensorflow":
            return False
        import tensorflow as tf

        strategy = self.distribute_strategy
        if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return False
        return len(strategy.cluster_resolver.cluster_spec().as_dict().get("worker", [])) > 1

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        if not self._has_workers():
            super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)
            return
        import tensorflow as tf

        strategy = self.distribute_strategy
        if iterator is not None:
            _, _, batches = next(iter(iterator))
            data_batch = tf.nest.map_structure(
                lambda x: strategy.experimental_local_results(x)[0], next(batches)
            )
        with strategy.scope():
            self._symbolic_build(data_batch=data_batch)
