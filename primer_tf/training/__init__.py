"""Training as T5 does it: optimizer, schedule, loss, packed data, checkpoints, evaluation."""
