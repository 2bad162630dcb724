"""Export of trained models to TensorFlow SavedModels."""

from primer_tf.export.saved_model import export_saved_model

__all__ = ["export_saved_model"]
