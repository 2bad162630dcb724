"""The speed of the machine: matrix products and memory reads."""

import time

import numpy as np


def best(function, repeats=5):
    """Returns the shortest time of several runs."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(smoke=False):
    """Returns a function that measures both, on small arrays if `smoke` is true."""
    import tensorflow as tf

    rng = np.random.default_rng(0)

    @tf.function
    def product(a, b):
        return tf.matmul(a, b)

    def run():
        rates, half = {"numpy": [], "tensorflow": []}, []
        # The shapes in a training step of a small model: projections, feed-forward, softmax.
        shapes = ((4096, 512, 512), (4096, 512, 2048), (4096, 2048, 512), (512, 512, 32128))
        for shape in ((256, 256, 256),) if smoke else shapes:
            a = rng.standard_normal(shape[:2], dtype="float32")
            b = rng.standard_normal(shape[1:], dtype="float32")
            x, y = tf.constant(a), tf.constant(b)
            flop = 2 * np.prod(shape)
            rates["numpy"].append(flop / best(lambda a=a, b=b: a @ b))
            rates["tensorflow"].append(flop / best(lambda x=x, y=y: product(x, y)[0, 0].numpy()))
            x, y = tf.cast(x, tf.bfloat16), tf.cast(y, tf.bfloat16)
            half.append(flop / best(lambda x=x, y=y: product(x, y)[0, 0].numpy()))
        # A vector times a matrix of 512 MiB, as decoding one token reads the weights.
        rows = 2**6 if smoke else 2**13
        vector, matrix = np.ones((1, rows), "float32"), np.ones((rows, 2**14), "float32")
        x, y = tf.constant(vector), tf.constant(matrix)
        seconds = [best(lambda: matrix.T @ vector[0]), best(lambda: product(x, y)[0, 0].numpy())]
        reads = matrix.nbytes / min(seconds)
        return {
            "matmul_gflops": float(max(np.median(r) for r in rates.values()) / 1e9),
            "bfloat16_matmul_gflops": float(np.median(half) / 1e9),
            "matmul_gflops_by_shape": {k: [float(x / 1e9) for x in v] for k, v in rates.items()},
            "read_gb_per_second": float(reads / 1e9),
        }

    return run
