"""An export answers a C program that knows nothing but TensorFlow's C API."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.export.conftest import PROMPTS
from tests.export.test_saved_model import GREEDY

pytestmark = pytest.mark.slow  # `make serve-check`, which CI runs, asks the same.

SOURCE = Path(__file__).with_name("c_client.c")
TF_FOLDER = Path(tf.sysconfig.get_lib())


def build_program(path):
    """Compiles the client against the libraries and headers of TensorFlow's wheel."""
    libraries = ["-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"]
    command = ["gcc", "-Wall", "-Werror", f"-I{tf.sysconfig.get_include()}", str(SOURCE), "-o"]
    command += [str(path), f"-L{TF_FOLDER}", *libraries, f"-Wl,-rpath,{TF_FOLDER}"]
    subprocess.run(command, check=True)
    return path


def text_ops_library():
    import tensorflow_text

    folder = Path(tensorflow_text.__file__).parent
    return folder / "python" / "ops" / "_sentencepiece_tokenizer.so"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc")
    return build_program(tmp_path_factory.mktemp("c") / "c_client")


@pytest.fixture(scope="module")
def text_ops():
    return text_ops_library()


def call(program, client, library, name, values, output, check=True):
    """Runs a signature and returns the finished process; names of tensors are the signature's."""
    signature, arguments = client.signature(name), []
    for key, info in signature.inputs.items():
        value = np.asarray(values[key])
        kind = {"string": "s", "float32": "f", "int32": "i"}[tf.as_dtype(info.dtype).name]
        shape = ",".join(map(str, value.shape))
        arguments += [info.name, f"{kind}{shape}", *map(str, value.ravel().tolist())]
    command = [program, client.folder, library, *arguments, "--", signature.outputs[output].name]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=check)


def test_strings(program, text_ops, model, client):
    expected = model.generate(PROMPTS)
    done = call(program, client, text_ops, "serving_default", {"prompts": PROMPTS}, "texts")
    assert done.stdout == "".join(f"{text}\n" for text in expected)
    values = {"prompts": PROMPTS, "stop": [[""]], **GREEDY}
    done = call(program, client, text_ops, "generate", values, "texts")
    assert done.stdout == "".join(f"{text}\n" for text in expected)


def test_ids_without_custom_operations(program, model, id_client, prompt_ids):
    ids, lengths = prompt_ids
    values = {"token_ids": ids, "lengths": lengths, **GREEDY}
    done = call(program, id_client, "-", "generate_ids", values, "token_ids")
    expected = id_client("generate_ids", token_ids=ids, lengths=lengths)["token_ids"]
    assert list(map(int, done.stdout.split())) == expected.ravel().tolist()


def test_an_error_has_the_code_of_an_invalid_argument(program, text_ops, client):
    done = call(program, client, text_ops, "serving_default", {"prompts": [""]}, "texts", False)
    assert done.returncode == 1
    assert "run: code 3" in done.stderr and "prompts[0] is empty; give some text" in done.stderr
