"""Export of trained models to TensorFlow SavedModels."""
