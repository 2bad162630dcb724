"""Weights that are split over hosts, as the first host reads them to write a file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from primer_tf._compat import present_value, set_present_value
from primer_tf.distribution.hosts import Hosts

END = "end"


class HostWeights:
    """Gathers variables on the first host, one at a time, when they are converted to NumPy.

    So no host ever has room for more than one whole variable. A gather needs all hosts: the first
    one tells the others which variable it reads next, in whatever order.

    Args:
        hosts: The `Hosts`.
    """

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts
        self._reads = 0

    @contextmanager
    def reading(self, variables: Sequence[keras.Variable]) -> Iterator[bool]:
        """Lets the first host read variables in the block.

        Args:
            variables: The variables, in the same order on all hosts.

        Yields:
            Whether this is the first host. The others have by then helped it to the end of its
            block.
        """
        if self.hosts.count == 1:
            yield True
        elif self.hosts.is_first:
            values = [present_value(variable) for variable in variables]
            for index, (variable, value) in enumerate(zip(variables, values, strict=True)):
                if not value.is_fully_replicated:
                    set_present_value(variable, _Gathered(self, index, value))
            try:
                yield True
            finally:
                for variable, value in zip(variables, values, strict=True):
                    set_present_value(variable, value)
                self._tell(END)
        else:
            while (number := self._hear()) != END:
                _gather(present_value(variables[int(number)]))
            yield False

    def read(self, number: int, value: Any) -> np.ndarray:
        """Returns a variable's value, on the first host."""
        self._tell(str(number))
        return _gather(value)

    def _tell(self, what: str) -> None:
        self.hosts.write(f"read/{self._reads}", what)
        self._reads += 1

    def _hear(self) -> str:
        what = self.hosts.read(f"read/{self._reads}")
        self._reads += 1
        return what


class _Gathered:
    """A value that is gathered when NumPy asks for it."""

    def __init__(self, weights: HostWeights, number: int, value: Any) -> None:
        self.shape, self.dtype = value.shape, value.dtype
        self._read = lambda: weights.read(number, value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._read(), dtype)


def _gather(value: Any) -> np.ndarray:
    from jax.experimental.multihost_utils import process_allgather

    return process_allgather(value, tiled=True)
