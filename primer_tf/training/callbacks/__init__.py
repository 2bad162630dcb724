"""Keras callbacks of a training run, each usable in any `fit`.

Their order in the list of callbacks matters: `CountSteps` and `Validation` come first, because they
add the step and what they measure to the logs that the others read.
"""
