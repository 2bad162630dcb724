"""The learning curve of a run, as a picture."""

import io
from typing import Any

import keras

from primer_tf.files import atomic_write
from primer_tf.training.callbacks.csv_history import CSVHistory
from primer_tf.types import StrPath


class LearningCurve(keras.callbacks.Callback):
    """Draws the learning curve when a run has reached its last step.

    Args:
        history: The `CSVHistory` of the run, earlier in the list of callbacks.
        path: The PNG file to write.
        last_step: The last step of the run; a `fit` that ends before it draws nothing.
    """

    def __init__(self, history: CSVHistory, path: StrPath, last_step: int) -> None:
        super().__init__()
        self.history = history
        self.path = path
        self.last_step = last_step

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Draws the learning curve if this was the end of the run."""
        rows = self.history.rows
        if rows and rows[-1]["step"] >= self.last_step:
            draw_learning_curve(rows, self.path)


def draw_learning_curve(
    rows: list[dict[str, Any]], path: StrPath, reference: tuple[str, float] | None = None
) -> None:
    """Draws losses and bits per byte over steps.

    Args:
        rows: The rows of a `CSVHistory`.
        path: The PNG file to write.
        reference: A label and the bits per byte of a horizontal line to compare with. Optional.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (losses, bits) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
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
    plt.close(figure)
    atomic_write(path, image.getvalue())
