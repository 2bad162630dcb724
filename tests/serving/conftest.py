"""Servers in this process, on free ports."""

import contextlib
import shutil
import threading

import grpc
import httpx
import pytest

from primer_tf.serving import Server, ServerConfig
from primer_tf.serving.config import models_of_folders
from tests.serving.toy_models import save_toy


@contextlib.contextmanager
def running(models, **config):
    """Runs a server in a thread; yields it with an HTTP client as `server.http`."""
    server = Server(models, ServerConfig(rest_api_port=0, port=0, **config))
    server.load()
    thread = threading.Thread(target=server.run)
    thread.start()
    server.channel = grpc.insecure_channel(f"127.0.0.1:{server.port}")
    server.http = httpx.Client(base_url=f"http://127.0.0.1:{server.rest_api_port}", timeout=30)
    try:
        yield server
    finally:
        server.http.close()
        server.channel.close()
        server.stop_soon()
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def toys(tmp_path_factory):
    """A folder with the versions 1, 2 and 3 of a toy; version N multiplies by N."""
    folder = tmp_path_factory.mktemp("toys") / "toy"
    for number in (1, 2, 3):
        save_toy(folder / str(number), number)
    return folder


@pytest.fixture
def toy_folder(toys, tmp_path):
    """A model's folder with version 1 alone."""
    shutil.copytree(toys / "1", tmp_path / "toy" / "1")
    return tmp_path / "toy"


@pytest.fixture(scope="module")
def server(toys):
    with running(models_of_folders([toys], num_versions=2)) as server:
        yield server
