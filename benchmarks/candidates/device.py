"""An accelerator, on any Keras backend: its speed, and work whose device memory is measured."""

import itertools
import math

import keras
from keras import ops

from benchmarks.candidates import keras_model, primer
from benchmarks.candidates.machine import best
from primer_tf.data.repeatable_batches import repeatable_batches
from primer_tf.layers import T5RelativePositionBias
from primer_tf.layers.causal_attention import MASKED, causal_attention, visible
from primer_tf.layers.t5_relative_position_bias import skew_distances
from primer_tf.models.jit import jit_compile_by_default

BACKEND = keras.backend.backend()


def train_step(model, architecture, batch_size, length, steps, **kwargs):
    """Trains with the defaults on random batches.

    As `primer train` does: without padding masks, and by `fit`, which starts a step before the last
    one has ended, unlike `train_on_batch`.
    """
    causal_lm = primer.build(model, architecture, max_sequence_length=max(512, length), **kwargs)
    causal_lm.compile()
    batch = keras_model.random_batches(model["vocabulary_size"], batch_size, length)
    batches = [({"token_ids": x["token_ids"]}, y) for x, y in (batch() for _ in range(4))]

    def run():
        # KerasHub's `fit` takes no generators.
        endless = repeatable_batches(lambda: (each for each in itertools.cycle(batches)))
        keras.Model.fit(causal_lm, endless, steps_per_epoch=steps, verbose=0)

    return finished(run)


def generate(**settings):
    """Decodes greedily."""
    return finished(primer.generate(**settings))


def attention(shape, dtype, kind, flash=None, repeats=1):
    """Attends with T5's position bias, and computes the gradients of Q, K, V and the bias.

    Args:
        shape: Batch, heads, positions and channels of a head.
        dtype: Dtype of the inputs.
        kind: `"ours"`, `"keras"`, which needs the bias of each query and key, or `"unbiased"`,
            which is Keras' without a bias.
        flash: Whether Keras uses flash attention. By default it does if it can.
        repeats: Number of times that a run does it.
    """
    batch, heads, length, channels = shape
    ours = kind == "ours"
    keras.utils.set_random_seed(0)
    table = T5RelativePositionBias(heads, dtype=dtype)
    table.build()
    # Each function gets the layout that it asks for.
    layout = shape if ours else (batch, length, heads, channels)
    # T5 does not scale the scores, and makes the queries small instead.
    query, key, value, upstream = (keras.random.normal(layout, dtype=dtype) for _ in range(4))
    inputs = [query / math.sqrt(channels), key, value, table.by_distance()]

    def attend(query, key, value, bias):
        if ours:
            return causal_attention(query, key, value, bias)
        options = {"scale": 1.0, "flash_attention": flash}
        if kind == "unbiased":
            return ops.dot_product_attention(query, key, value, is_causal=True, **options)
        bias = skew_distances(bias, length, length)[None]
        if BACKEND == "torch":  # It takes a bias or `is_causal`, but not both.
            bias = ops.where(visible(length, length), bias, ops.cast(MASKED, bias.dtype))
        else:
            options["is_causal"] = True
        return ops.dot_product_attention(query, key, value, bias=bias, **options)

    return finished(with_gradients(attend, inputs, upstream), repeats)


def with_gradients(function, inputs, upstream):
    """Returns a function that computes gradients, compiled as a training step is by default.

    Args:
        function: Function of the inputs, which returns a tensor.
        inputs: List of the tensors to differentiate in.
        upstream: The gradient of the function's result.
    """

    def total(*inputs_and_upstream):
        *inputs, upstream = inputs_and_upstream
        return ops.sum(ops.cast(function(*inputs) * upstream, "float32"))

    if BACKEND == "jax":
        import jax

        compiled = jax.jit(jax.grad(total, argnums=tuple(range(len(inputs)))))
        return lambda: compiled(*inputs, upstream)
    if BACKEND == "torch":
        import torch

        leaves = [x.detach().requires_grad_() for x in inputs]
        # `allow_unused`: attention may be without the bias.
        return lambda: torch.autograd.grad(total(*leaves, upstream), leaves, allow_unused=True)
    import tensorflow as tf

    @tf.function(jit_compile=jit_compile_by_default())
    def gradients(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = total(*inputs, upstream)
        return tape.gradient(loss, inputs)

    return lambda: gradients(*inputs)


def measure(smoke=False):
    """Returns a function that measures the device with large arrays, or small ones if `smoke`."""

    def run():
        size, repeats = (256, 1) if smoke else (8192, 20)
        peaks = {}
        for dtype in ("float32", "bfloat16"):
            a, b = (keras.random.normal((size, size), dtype=dtype) for _ in range(2))
            product = finished(lambda a=a, b=b: ops.matmul(a, b), repeats)
            peaks[dtype] = repeats * 2 * size**3 / best(product) / 1e12
        # A sum reads an array and writes next to nothing, as a step of decoding does.
        count = 2**16 if smoke else 2**29
        array = ops.ones((count,), dtype="float32")
        seconds = best(finished(lambda: ops.sum(array), repeats))
        return {
            "device": name(),
            "matmul_tflops": peaks,
            "read_gb_per_second": repeats * 4 * count / seconds / 1e9,
        }

    return run


def finished(function, repeats=1):
    """Returns a function that does the work and waits for it, as backends themselves do not.

    Args:
        function: Does the work once, and returns its result.
        repeats: Number of times to do the work before waiting.

    Returns:
        A function that returns a dict with the most device memory that has been in use.
    """

    def run():
        for _ in range(repeats):
            result = function()
        wait(result)
        return {"device_peak_gb": peak_gb()}

    return run


def wait(result):
    """Waits until the device has finished all work, of which `result` is the last."""
    if BACKEND == "jax":
        import jax

        jax.block_until_ready(result)
    elif BACKEND == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
    else:
        import tensorflow as tf

        tf.test.experimental.sync_devices()


def name():
    """Returns the device's name."""
    if BACKEND == "jax":
        import jax

        return jax.devices()[0].device_kind
    if BACKEND == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        return "cpu"
    return tf.config.experimental.get_device_details(devices[0]).get("device_name", "gpu")


def peak_gb():
    """Returns the most device memory that was in use, or `None` if the backend does not tell."""
    if BACKEND == "jax":
        import jax

        peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    elif BACKEND == "torch":
        import torch

        peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    else:
        import tensorflow as tf

        has_gpu = tf.config.list_physical_devices("GPU")
        peak = tf.config.experimental.get_memory_info("GPU:0")["peak"] if has_gpu else None
    return None if peak is None else peak / 1e9
