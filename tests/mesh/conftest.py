import concurrent.futures
import multiprocessing
import os
import sys
from pathlib import Path

import pytest
from tf1 import start

# Left out of that process: gin takes a folder `models` on the path for the package of a file
# `models/x.gin`, and fails.
TESTS = str(Path(__file__).parents[1])


@pytest.fixture(scope="session")
def tf1_process():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with concurrent.futures.ProcessPoolExecutor(
        max_workers=1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=start,
        initargs=([path for path in sys.path if path != TESTS],),
    ) as executor:
        yield executor
