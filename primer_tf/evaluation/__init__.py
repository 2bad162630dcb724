"""How well a model predicts a text."""

from primer_tf.evaluation.evaluator import Evaluation, Evaluator

__all__ = ["Evaluation", "Evaluator"]
