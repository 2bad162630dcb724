"""Progress of a training run, on the terminal and in files."""

import csv
import io
import time
from pathlib import Path

import keras

from primer_tf.errors import UserError
from primer_tf.files import atomic_write, tensorflow_writes

# Of `history.csv`.
COLUMNS = (
    *("step", "loss", "validation_loss", "perplexity", "accuracy", "bits_per_byte"),
    "tokens_per_second",
)


class Progress(keras.callbacks.Callback):
    """Prints step, loss, tokens a second and the time left, at most every few seconds.

    Args:
        total_steps: Steps of the whole run.
        tokens_per_step: Tokens of a batch.
        step: Steps already done.
        seconds: Pause between two lines.
        report: Called with each line.
    """

    def __init__(self, total_steps, tokens_per_step, step=0, seconds=5.0, report=print):
        super().__init__()
        self.total_steps = total_steps
        self.tokens_per_step = tokens_per_step
        self.step = step
        self.seconds = seconds
        self.report = report
        self._rate = None
        self._last_step = None

    def on_train_begin(self, logs=None):
        """Leaves what happens between two stretches of training out of the rate."""
        self._last_time = time.monotonic()
        self._last_step = self.step

    def on_train_batch_end(self, batch, logs=None):
        """Counts a step and prints a line when one is due."""
        self.step += 1
        now = time.monotonic()
        if self._rate is None and self._last_step == self.step - 1:
            # The first step includes the compilation: measure from here.
            self._last_time, self._last_step = now, self.step
            self._rate = 0.0
            self.report(f"step {self.step}/{self.total_steps}  loss {logs['loss']:.4f}  (compiled)")
        elif now - self._last_time >= self.seconds:
            rate = (self.step - self._last_step) / (now - self._last_time)
            self._rate = rate if not self._rate else 0.7 * self._rate + 0.3 * rate
            self._last_time, self._last_step = now, self.step
            left = int((self.total_steps - self.step) / self._rate)
            self.report(
                f"step {self.step}/{self.total_steps}  loss {logs['loss']:.4f}  "
                f"{rate * self.tokens_per_step:,.0f} tokens/s  ETA {left // 60}:{left % 60:02d}"
            )


class History:
    """What was measured at each interval: `history.csv`, TensorBoard logs and a picture.

    Args:
        directory: Folder of the run.
        start_step: Later rows of an existing file are dropped: a resumed run writes them again.

    Raises:
        UserError: The existing file is damaged.
    """

    def __init__(self, directory, start_step=0):
        import tensorflow as tf

        self.path = Path(directory) / "history.csv"
        rows = _read_rows(self.path) if self.path.exists() else []
        self.rows = [row for row in rows if row["step"] <= start_step]
        self._logs = Path(directory) / "tensorboard"
        with tensorflow_writes(self._logs):
            self._writer = tf.summary.create_file_writer(str(self._logs))

    def append(self, **row):
        """Adds a row of numbers, `step` among them, and rewrites the file."""
        import tensorflow as tf

        self.rows.append(row)
        with tensorflow_writes(self._logs), self._writer.as_default(step=row["step"]):
            for name, value in row.items():
                if name != "step":
                    tf.summary.scalar(name, value)
            self._writer.flush()
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(self.rows[0]))
        writer.writeheader()
        writer.writerows(self.rows)
        atomic_write(self.path, text.getvalue())

    def draw(self, path, reference=None):
        """Draws the learning curve.

        Args:
            path: PNG file to write.
            reference: `(label, bits per byte)` of a horizontal line to compare with. Optional.
        """
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot as plt

        figure, (losses, bits) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
        steps = [row["step"] for row in self.rows]
        # A row's training loss is the mean since the row before: it belongs to the middle.
        middles = [(a + b) / 2 for a, b in zip([0, *steps], steps, strict=False)]
        losses.plot(middles, [row["loss"] for row in self.rows], ".-", label="training")
        losses.plot(steps, [row["validation_loss"] for row in self.rows], ".-", label="validation")
        losses.set(xlabel="step", ylabel="nats per token", title="Loss")
        values = [row["bits_per_byte"] for row in self.rows]
        bits.plot(steps, values, ".-", color="C1", label=f"model: {values[-1]:.3f} at the end")
        if reference:
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


def _read_rows(path):
    """Returns the rows of a `history.csv`: dicts of numbers."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [{key: float(row[key]) for key in COLUMNS} for row in csv.DictReader(file)]
        return [{**row, "step": int(row["step"])} for row in rows]
    # Not UTF-8, not CSV, no such column, a row cut short, no number, no finite step.
    except (ValueError, csv.Error, KeyError, TypeError, OverflowError) as error:
        raise UserError(f"{path} is damaged; delete it to go on without its rows.") from error
