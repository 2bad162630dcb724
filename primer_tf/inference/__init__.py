"""What evaluation and studies ask of a trained model."""

from primer_tf.inference.log_likelihood import LogLikelihood
from primer_tf.inference.rolling_windows import rolling_windows

__all__ = ["LogLikelihood", "rolling_windows"]
