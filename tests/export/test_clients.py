"""The configuration and the clients of `export/serving` against `primer serve`."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from primer_tf.serving.config import read_models_config
from tests.export.conftest import PROMPTS
from tests.serving.conftest import running

SERVING = Path(__file__).parents[2] / "export" / "serving"
PROMPT = 'And "God" said: \\ é'


@pytest.fixture(scope="module")
def server(texts_folder, tmp_path_factory):
    """A server with the models.config, in which only the folder is another one."""
    text = (SERVING / "models.config").read_text()
    assert text.count("/models/primer") == 2  # the folder, and the address in a comment
    path = tmp_path_factory.mktemp("config") / "models.config"
    path.write_text(text.replace('"/models/primer"', f'"{texts_folder.parent}"'))
    with running(read_models_config(path)) as server:
        yield server


def client(command, address):
    done = subprocess.run(
        [*command, PROMPT, f"127.0.0.1:{address}"], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.slow
def test_curl(server, model):
    for tool in ("curl", "python3"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool}")
    answer = client(["sh", SERVING / "clients" / "complete.sh"], server.rest_api_port)
    assert json.loads(answer) == {"predictions": [model.generate(PROMPT)]}


@pytest.mark.slow
def test_python(server, model):
    answer = client([sys.executable, SERVING / "clients" / "complete.py"], server.port)
    assert answer == model.generate(PROMPT) + "\n"


@pytest.mark.slow
def test_javascript(server, model):
    if shutil.which("node") is None:
        pytest.skip("there is no node")
    answer = client(["node", SERVING / "clients" / "complete.mjs"], server.rest_api_port)
    assert answer == model.generate(PROMPT) + "\n"


@pytest.mark.slow
def test_label(server, model):
    body = {"instances": PROMPTS}
    answer = server.http.post("/v1/models/primer/labels/stable:predict", json=body)
    assert answer.json() == {"predictions": model.generate(PROMPTS)}


def test_compose_names_files_that_are_there():
    text = (SERVING / "compose.yaml").read_text()
    for name in re.findall(r"\./([\w.]+):/config", text):
        assert (SERVING / name).is_file()
