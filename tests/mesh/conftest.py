"""Runs tests in one other process, whose TensorFlow behaves as version 1.

Mesh TensorFlow needs that for the whole process, and Keras, tested in this one, the opposite. A
test marked `@in_tf1` is sent to the other process by name; its arguments must be picklable.
"""

import concurrent.futures
import functools
import importlib
import inspect
import multiprocessing
import os
import sys
import traceback

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
    """Returns None, or the traceback: gin's exceptions do not travel between processes."""
    try:
        getattr(importlib.import_module(module), name).__wrapped__(**kwargs)
    except BaseException:
        return traceback.format_exc()


def _start(path):
    sys.path[:] = path
    from primer_tf.mesh import runtime

    runtime.install()
    import tensorflow.compat.v1 as tf

    tf.disable_v2_behavior()
    tf.logging.set_verbosity(tf.logging.ERROR)


@pytest.fixture(scope="session")
def tf1_process():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with concurrent.futures.ProcessPoolExecutor(
        max_workers=1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(sys.path,),
    ) as executor:
        yield executor
