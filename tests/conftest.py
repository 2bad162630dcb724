"""Fixtures that several tests share."""

import gc
import os
import signal
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# One thread: results are reproducible to the last bit, and test processes do not compete.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tiny shapes: XLA's optimizations take longer than what they save.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# JAX compiles every operation for every shape: test processes, and the next run, share the results.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / "build" / "jax_cache")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# The command would set it for the rest of the process.
os.environ["PRIMER_TF_CACHE"] = ""

# A shell starts background jobs with SIGINT ignored, and processes inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402

from tests.browser import browser  # noqa: F401  a fixture
from tests.sample_text import SENTENCES  # noqa: E402

LONG = (
    "models/test_generate.py",
    "models/test_compiled_functions.py",
    "models/test_causal_lm.py",
    "mesh/test_command.py",
    "training/test_resume.py",
    "cli/test_readme.py",
)


def pytest_collection_modifyitems(items):
    """Long files come first, or one process would still run one when the others have ended."""

    def place(item):
        name = "/".join(item.path.parts[-2:])
        return LONG.index(name) if name in LONG else len(LONG)

    items.sort(key=place)


@pytest.fixture(scope="session", autouse=True)
def float32_on_every_processor():
    """`--dtype auto`, the default, is float32 in these processes."""
    from primer_tf.training import choose_dtype

    choose_dtype.PROCESSOR = Path("no-such-file")


def collect_garbage():
    """Collects garbage, and lets later collections skip what is left.

    Keras collects with every `clear_session` and every layer that it quantizes. That takes more
    than a second in a process that has imported TensorFlow and traced a hundred functions.
    """
    gc.collect()
    gc.freeze()


def pytest_collection_finish():
    collect_garbage()


@pytest.fixture(autouse=True, scope="module")
def random_numbers_are_seeded():
    """Gives a file of tests the same weights in each run: a rare draw must fail again."""
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="module")
def compiled_functions_are_dropped():
    """Keeps a process of tests small.

    Models are in reference cycles with the functions that were compiled for them, and JAX keeps
    everything that it has compiled.
    """
    yield
    if os.environ.get("KERAS_BACKEND") == "jax":
        import jax

        jax.clear_caches()
    collect_garbage()


@pytest.fixture(scope="session")
def vocabulary():
    """A small SentencePiece model, as bytes."""
    from primer_tf.data.vocabulary import train_vocabulary

    return train_vocabulary(SENTENCES * 4, size=300)


@pytest.fixture(scope="session")
def vocabulary_file(vocabulary, tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.model"
    path.write_bytes(vocabulary)
    return path


@pytest.fixture(scope="session")
def text_file(tmp_path_factory):
    """A text of 6,700 tokens in the small vocabulary."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(SENTENCES * 40), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def small_preset(vocabulary, tmp_path_factory):
    """The directory of a preset that compiles in seconds: one block, 3,144 parameters."""
    import keras

    from primer_tf.models import (
        PrimerBackbone,
        PrimerCausalLM,
        PrimerCausalLMPreprocessor,
        PrimerTokenizer,
    )

    keras.utils.set_random_seed(0)
    backbone = PrimerBackbone(
        vocabulary_size=320,
        num_layers=1,
        hidden_dim=8,
        intermediate_dim=8,
        num_heads=2,
        head_dim=4,
        max_sequence_length=64,
    )
    preprocessor = PrimerCausalLMPreprocessor(PrimerTokenizer(vocabulary), sequence_length=16)
    path = tmp_path_factory.mktemp("preset") / "small"
    PrimerCausalLM(backbone, preprocessor).save_to_preset(str(path))
    return path


@pytest.fixture(scope="session")
def tfds_folder(tmp_path_factory):
    """A folder with tiny TFDS datasets that have the names of the published tasks' data."""
    from tests.mesh import tiny_tfds

    folder = tmp_path_factory.mktemp("tfds")
    tiny_tfds.write(str(folder))
    return str(folder)


@pytest.fixture(scope="session")
def tf1_process():
    """The process in which TensorFlow behaves as version 1; see `tf1`."""
    from tests.mesh import tf1

    with tf1.new_process() as executor:
        yield executor
