"""What evaluation and studies ask of a trained model."""

from primer_tf.inference.log_likelihood import Likelihood, LogLikelihood
from primer_tf.inference.rolling_windows import rolling_windows

__all__ = ["Likelihood", "LogLikelihood", "rolling_windows"]
