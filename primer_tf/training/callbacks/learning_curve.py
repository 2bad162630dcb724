"""The learning curve of a run, as a picture."""

import io
from typing import Any

import keras

from primer_tf.files import atomic_write
from primer_tf.training.callbacks.csv_history import CSVHistory
from primer_tf.types import StrPath


class LearningCurve(keras.callbacks.Callback):
    """Draws the learning curve after each epoch.

    Args:
        history: The `CSVHistory` of the run, earlier in the list of callbacks.
        path: The PNG file to write.
    """

    def __init__(self, history: CSVHistory, path: StrPath) -> None:
        super().__init__()
        self.history = history
        self.path = path

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Replaces the picture in one piece."""
        self.draw()

    def draw(self) -> None:
        """Draws what the history has, if anything."""
        if self.history.rows:
            draw_learning_curve(self.history.rows, self.path)


def draw_learning_curve(
    rows: list[dict[str, Any]], path: StrPath, reference: tuple[str, float] | None = None
) -> None:
    """Draws losses and bits per byte over steps.

    Args:
        rows: The rows of a `CSVHistory`.
        path: The PNG file to write.
        reference: A label and the bits per byte of a horizontal line to compare with. Optional.
    """
    # Not `pyplot`, whose choice of a backend is the user's.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4))
    losses, bits = figure.subplots(1, 2)
    # Half the time of matplotlib's own layouts.
    figure.subplots_adjust(left=0.06, right=0.985, bottom=0.12, top=0.92, wspace=0.16)
    steps = [row["step"] for row in rows]
    # A row's training loss is the mean since the row before: it belongs to the middle.
    middles = [(a + b) / 2 for a, b in zip([0, *steps], steps, strict=False)]
    losses.plot(middles, [row["loss"] for row in rows], ".-", label="training")
    losses.plot(steps, [row["validation_loss"] for row in rows], ".-", label="validation")
    losses.set(xlabel="step", ylabel="nats per token", title="Loss")
    values = [row["bits_per_byte"] for row in rows]
    bits.plot(steps, values, ".-", color="C1", label=f"model: {values[-1]:.3f} at the end")
    if reference is not None:
        label, value = reference
        bits.axhline(value, color="gray", linestyle="--", label=f"{label}: {value:.3f}")
    bits.set(xlabel="step", ylabel="bits per byte", title="Compression of the validation text")
    for axes in (losses, bits):
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
    losses.legend()
    bits.legend(loc="center right")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    atomic_write(path, image.getvalue())
