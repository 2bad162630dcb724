"""Training runs: configuration, progress, checkpoints."""
