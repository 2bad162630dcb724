"""`primer serve`: answers requests for exported models."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from primer_tf.cli.libraries import need
from primer_tf.errors import UserError

HELP = "Serve SavedModels over REST and gRPC as TensorFlow Serving does."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments, which have TensorFlow Serving's names."""
    parser.add_argument("model_dir", nargs="*", help="folder of versions; its name is the model's")
    parser.add_argument("--model_config_file", help="TensorFlow Serving's models.config, instead")
    parser.add_argument(
        "--num_versions", type=int, default=1, help="newest versions to serve (default: 1)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument(
        "--rest_api_port", type=int, default=8501, help="of HTTP; 0: any (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=int, default=8500, help="of gRPC; 0: any (default: %(default)s)"
    )
    parser.add_argument("--token_file", help="file with the bearer token that clients must send")
    parser.add_argument(
        "--max_batch_size",
        type=int,
        default=8,
        help="completions that are decoded together (default: %(default)s)",
    )
    parser.add_argument(
        "--poll_seconds", type=float, default=1.0, help="between looks for versions (default: 1)"
    )


def run(arguments: Namespace) -> None:
    """Serves until the process is told to stop."""
    if bool(arguments.model_dir) == bool(arguments.model_config_file):
        raise UserError("Give folders of versions or --model_config_file, and not both.")
    for name in ("port", "rest_api_port"):
        if not 0 <= getattr(arguments, name) <= 65535:
            raise UserError(f"--{name} {getattr(arguments, name)} is not between 0 and 65535.")
    if not arguments.poll_seconds > 0:
        raise UserError(f"--poll_seconds is {arguments.poll_seconds}; it must be above 0.")
    if arguments.max_batch_size < 1:
        raise UserError(f"--max_batch_size is {arguments.max_batch_size}; it must be at least 1.")
    token = _read_token(arguments.token_file)

    with need("serve"):
        from primer_tf.serving.config import ServerConfig, models_of_folders, read_models_config
        from primer_tf.serving.server import Server

    if arguments.model_config_file:
        models = read_models_config(arguments.model_config_file)
    else:
        models = models_of_folders(arguments.model_dir, arguments.num_versions)
    config = ServerConfig(
        host=arguments.host,
        rest_api_port=arguments.rest_api_port,
        port=arguments.port,
        poll_seconds=arguments.poll_seconds,
        max_batch_size=arguments.max_batch_size,
        token=token,
    )

    server = Server(models, config)
    server.load()
    if token is None and arguments.host not in ("127.0.0.1", "localhost", "::1"):
        print("primer: warning: anyone who reaches this address may use it", file=sys.stderr)
    print(f"REST: http://{arguments.host}:{server.rest_api_port}/")
    print(f"gRPC: {arguments.host}:{server.port}", flush=True)
    server.run()


def _read_token(path: str | None) -> str | None:
    if path is None:
        return None
    token = Path(path).read_text(encoding="utf-8").strip()
    if not token:
        raise UserError(f"{path} is empty; it must hold the token.")
    return token
