"""What to serve and how, from the command line and from TensorFlow Serving's models.config."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from primer_tf.errors import UserError
from primer_tf.types import StrPath


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A model, whose versions are the numbered folders in its folder.

    Args:
        name: The model's name in requests.
        folder: The folder of the versions.
        num_versions: How many of the newest versions to serve. Defaults to 1.
        versions: The versions to serve in place of the newest ones. Defaults to none.
        labels: Versions by label, such as `stable`; they are served, too. Defaults to none.
    """

    name: str
    folder: Path
    num_versions: int = 1
    versions: tuple[int, ...] = ()
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.num_versions < 1:
            raise UserError(f"num_versions is {self.num_versions}; it must be at least 1.")


@dataclasses.dataclass(frozen=True)
class ServerConfig:
    """Addresses and limits of a server.

    Args:
        host: The address to listen on. Defaults to this machine only.
        rest_api_port: The port of REST. Zero takes a free port.
        port: The port of gRPC. Zero takes a free port.
        poll_seconds: Seconds between two looks for new versions. Defaults to 1.
        timeout_seconds: Seconds within which a request arrives, and is answered. Defaults to 30.
        max_request_bytes: Size of a request. Defaults to 16 MiB.
        max_concurrent_requests: Requests that are in work or wait. Defaults to 64.
        max_batch_size: Completions that are decoded together. Defaults to 8.
        token: What clients send as bearer token, or `None` to ask for none. Defaults to `None`.
    """

    host: str = "127.0.0.1"
    rest_api_port: int = 8501
    port: int = 8500
    poll_seconds: float = 1.0
    timeout_seconds: float = 30.0
    max_request_bytes: int = 16 << 20
    max_concurrent_requests: int = 64
    max_batch_size: int = 8
    token: str | None = None


def models_of_folders(folders: Sequence[StrPath], num_versions: int = 1) -> list[ModelConfig]:
    """Returns a model for each folder, under the folder's name.

    Args:
        folders: Folders of versions.
        num_versions: How many of the newest versions of each to serve. Defaults to 1.

    Raises:
        UserError: Two folders have the same name, or one does not exist.
    """
    paths = [Path(folder).resolve() for folder in folders]
    return _checked([ModelConfig(path.name, path, num_versions) for path in paths])


def read_models_config(path: StrPath) -> list[ModelConfig]:
    """Returns the models of a file in the format of TensorFlow Serving's `--model_config_file`.

    Args:
        path: The file, a `ModelServerConfig` in protobuf's text format. Paths in it that are not
            absolute start at its folder.

    Raises:
        UserError: The file is not such a file, or has no model that can be served.
    """
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    try:
        text = Path(path).read_text(encoding="utf-8")
        server = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a models.config: {error}.") from None
    models = []
    for entry in server.model_config_list.config:
        policy = entry.model_version_policy
        if policy.HasField("all"):
            raise UserError(f"{path}: the version policy `all` is not supported; use `latest`.")
        models.append(
            ModelConfig(
                name=entry.name,
                folder=Path(path).resolve().parent / entry.base_path,
                num_versions=policy.latest.num_versions or 1,
                versions=tuple(policy.specific.versions),
                labels=dict(entry.version_labels),
            )
        )
    return _checked(models)


def _checked(models: list[ModelConfig]) -> list[ModelConfig]:
    if not models:
        raise UserError("There is no model to serve; give a folder of versions.")
    names = [model.name for model in models]
    for model in models:
        if not model.name or set(model.name) & set("/:"):
            raise UserError(f"{model.name!r} cannot be the name of a model.")
        if names.count(model.name) > 1:
            raise UserError(f"Two models have the name {model.name!r}; rename a folder.")
        if not model.folder.is_dir():
            raise UserError(f"There is no folder {model.folder}; `primer export` writes it.")
    return models
