"""Keras callbacks of a training run, each usable in any `fit`.

Their order in the list of callbacks matters: `Validation` comes first, because it adds what it
measures to the logs that the others read.
"""
