"""Runs tests in a second process, in which TensorFlow behaves as version 1.

Mesh TensorFlow needs this for the whole process, but Keras, which the first process tests, does not
work with it. A test marked `@in_tf1` is sent to the second process by name, with its arguments
pickled.
"""

import functools
import importlib
import inspect
import multiprocessing
import traceback
from concurrent.futures import ProcessPoolExecutor

import pytest


def in_tf1(test):
    """Makes a test run in the TensorFlow 1 process."""

    @functools.wraps(test)
    def wrapper(*args, tf1_process, **kwargs):
        failure = tf1_process.submit(_run, test.__module__, test.__name__, kwargs).result()
        if failure:
            pytest.fail(failure, pytrace=False)

    wrapper.__signature__ = _with_fixture(test)
    return wrapper


def _with_fixture(test):
    signature = inspect.signature(test)
    fixture = inspect.Parameter("tf1_process", inspect.Parameter.KEYWORD_ONLY)
    return signature.replace(parameters=[*signature.parameters.values(), fixture])


def _run(module, name, kwargs):
    """Returns None, or the traceback as text, because gin's exceptions cannot be pickled."""
    try:
        getattr(importlib.import_module(module), name).__wrapped__(**kwargs)
    except BaseException:
        return traceback.format_exc()


def new_process():
    """Returns an executor with one process, in which TensorFlow behaves as version 1."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(max_workers=1, mp_context=context, initializer=_start)


def _start():
    from primer_tf.mesh import runtime

    runtime.install()
    import tensorflow.compat.v1 as tf

    tf.disable_v2_behavior()
    tf.logging.set_verbosity(tf.logging.ERROR)
