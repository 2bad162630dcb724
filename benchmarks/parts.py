"""How long does each part of a training step take, with its gradient?

The parts run outside XLA, as training does on CPUs. `least` is the time that the matrix products
take at the measured peak, without those that causality makes unnecessary.
"""

import statistics
import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks.harness import SMALL, SMOKE, machine, options, report
from primer_tf.layers import (
    CausalDepthwiseConv1D,
    CausalSelfAttention,
    FeedForward,
    T5RelativePositionBias,
)
from primer_tf.layers.normalization import make_normalization
from primer_tf.losses.linear_cross_entropy import linear_cross_entropy
from primer_tf.optimizers import T5Adafactor

arguments = options(__doc__.splitlines()[0])
model, batch_size, length = (SMOKE, 1, 32) if arguments.smoke else (SMALL, 8, 512)
layers, width, inner = model["num_layers"], model["hidden_dim"], model["intermediate_dim"]
tokens, vocabulary = batch_size * length, model["vocabulary_size"]
rng = np.random.default_rng(0)
facts = machine(arguments.smoke)


def normal(*shape):
    """Returns a random tensor."""
    return tf.constant(rng.standard_normal(shape, dtype="float32"))


x = normal(batch_size, length, width)
states, table = normal(tokens, width) * 0.04, normal(vocabulary, width)
targets = tf.constant(rng.integers(0, vocabulary, tokens, "int32"))
position_bias = T5RelativePositionBias(model["num_heads"])
position_bias.build()


def layer_gradients(layer, **kwargs):
    """Returns a function that computes all gradients of a layer."""
    layer.build(x.shape)
    variables = [variable.value for variable in layer.trainable_variables]

    def gradients():
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, **kwargs) * x)
        return tape.gradient(loss, [x, *variables])

    return gradients


def attention():
    """Returns a function that computes all gradients of an attention layer."""
    layer = CausalSelfAttention(model["num_heads"])
    return layer_gradients(layer, position_bias=position_bias.by_distance())


def softmax():
    """Computes the gradients of the loss for hidden states and embeddings."""
    with tf.GradientTape() as tape:
        tape.watch([states, table])
        loss = linear_cross_entropy(states, table, targets, tf.ones(tokens), 1e-4)[0]
    return tape.gradient(loss, [states, table])


def optimizer():
    """Returns a function that updates all weights."""
    shapes = [(vocabulary, width)] + layers * [(width, inner), (inner, width)]
    shapes += 4 * layers * [(width, width)]
    variables = [keras.Variable(normal(*shape)) for shape in shapes]
    gradients = [normal(*shape) for shape in shapes]
    adafactor = T5Adafactor(0.01)
    adafactor.build(variables)

    def update():
        adafactor.apply(gradients, variables)
        return [variables[0].value]

    return update


seen = 0.625 if length == 512 else 1.0  # share of query-key pairs that query blocks of 128 compute
scores = 2 * batch_size * length**2 * width * seen
PARTS = {  # name: (function, number of calls in a step, operations)
    "softmax and loss": (softmax, 1, 6 * tokens * width * vocabulary),
    "feed-forward": (
        layer_gradients(FeedForward(inner, "relu")),
        layers,
        12 * tokens * width * inner,
    ),
    "attention, projections": (attention(), layers, 24 * tokens * width**2 + 7 * scores),
    "normalization": (layer_gradients(make_normalization("layer")), 2 * layers + 1, 0),
    "Adafactor": (optimizer(), 1, 0),
    "3 convolutions of width 3 (Primer)": (
        layer_gradients(CausalDepthwiseConv1D(3)),
        3 * layers,
        0,
    ),
}
rows = []
for name, (function, count, flop) in PARTS.items():
    compiled = tf.function(function)
    times, cpu_times = [], []
    for _ in range(1 + arguments.rounds):  # the first round traces
        start, cpu = time.perf_counter(), time.process_time()
        float(tf.reshape(compiled()[0], [-1])[0])  # waits for the result
        times.append(count * (time.perf_counter() - start))
        cpu_times.append(count * (time.process_time() - cpu))
    times, cpu_times = times[1:], cpu_times[1:]
    least = count * flop / facts["matmul_gflops"] / 1e9
    rows.append(
        {
            "candidate": f"{name} (least {least:.2f} s)",
            "seconds": statistics.median(times),
            "fastest": min(times),
            "slowest": max(times),
            "cpu_seconds": statistics.median(cpu_times),
            "least_seconds": least,
        }
    )
report("parts", facts, {"one step": rows}, arguments.output)
