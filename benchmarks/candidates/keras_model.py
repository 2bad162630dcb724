"""The work of a Keras language model, ours or KerasHub's."""

import keras
import numpy as np

from benchmarks.candidates import scoring_requests


def random_batches(vocabulary_size, batch_size, length):
    """Returns a function that makes a batch of random tokens."""
    rng = np.random.default_rng(0)
    mask = np.ones((batch_size, length), "int32")

    def batch():
        tokens = rng.integers(3, vocabulary_size, (batch_size, length + 1), "int32")
        return {"token_ids": tokens[:, :-1], "padding_mask": mask}, tokens[:, 1:]

    return batch


def train(causal_lm, vocabulary_size, batch_size, length, steps):
    """Returns a function that trains a compiled model on random batches."""
    batch = random_batches(vocabulary_size, batch_size, length)

    def run():  # not `fit`, which ends by waiting seconds for its input pipeline
        losses = [causal_lm.train_on_batch(*batch(), return_dict=True) for _ in range(steps)]
        return float(losses[-1]["loss"])

    return run


def generate(causal_lm, vocabulary_size, batch_size, prompt, new):
    """Returns a function that generates after random prompts."""
    ids = np.random.default_rng(0).integers(3, vocabulary_size, (batch_size, prompt + new))
    mask = np.broadcast_to(np.arange(prompt + new)[None] < prompt, ids.shape)
    return generate_from(causal_lm, ids, mask)


def generate_from(causal_lm, ids, mask):
    """Returns a function that generates with a compiled model after the prompts of a mask."""
    inputs = {"token_ids": (ids * mask).astype("int32"), "padding_mask": mask.astype("int32")}
    inputs = {key: keras.ops.convert_to_tensor(value) for key, value in inputs.items()}

    def run():
        outputs = causal_lm.generate(inputs, stop_token_ids=None)
        return float(keras.ops.convert_to_numpy(outputs["token_ids"]).sum())

    return run


def score(causal_lm, vocabulary_size, batch_size, length):
    """Returns a function that computes the loss of fixed texts."""
    ids = np.random.default_rng(0).integers(3, vocabulary_size, (batch_size, length), "int32")
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    return lambda: float(causal_lm.test_on_batch(inputs, ids, return_dict=True)["loss"])


def evaluate(causal_lm, vocabulary_size, batch_size, contexts, requests):
    """Returns a function that computes the log likelihoods of continuations."""
    from primer_tf.inference import LogLikelihood

    pairs = scoring_requests.make(vocabulary_size, contexts, **requests)
    score = LogLikelihood(causal_lm, batch_size)
    return lambda: scoring_requests.total(score(pairs))


def mean_loss(causal_lm, batches):
    """Returns the nats per token of batches."""
    total = count = 0.0
    for inputs, targets, weights in batches:
        causal_lm.reset_metrics()
        loss = causal_lm.test_on_batch(inputs, targets, weights, return_dict=True)["loss"]
        total += float(loss) * weights.size  # Keras divides by the number of all positions
        count += float(weights.sum())
    return total / count
