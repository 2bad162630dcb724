"""`primer train`: trains a preset, or the model of gin files."""

import dataclasses
from argparse import ArgumentParser, Namespace
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from primer_tf.cli import options
from primer_tf.cli.compilation_cache import use_compilation_cache
from primer_tf.cli.hosts import hosts_of
from primer_tf.cli.load import resolve
from primer_tf.cli.terminal import status
from primer_tf.distribution import parse_mesh
from primer_tf.errors import UserError, errors_of
from primer_tf.training.config import RunConfig
from primer_tf.training.record import read_config

HELP = "Train a model; its preset lands in OUTPUT/preset."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument("--output", required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="continue the run in OUTPUT")
    parser.add_argument(
        "--mesh",
        help="axes of a mesh of devices with their sizes, as in data:4,model:2; there are data, "
        "fsdp (data that also splits the weights) and model; "
        "TensorFlow has data only",
    )
    parser.add_argument(
        "--coordinator",
        help="for several hosts, the first one's ADDRESS:PORT; or auto, to take it and the next "
        "two from the environment (JAX_COORDINATOR_ADDRESS, SLURM, Open MPI, a TPU pod)",
    )
    parser.add_argument("--num_hosts", type=int, help="number of hosts, each with one process")
    parser.add_argument("--host", type=int, help="number of this host, from 0")
    options.add_gin(parser, "instead of --preset and most of the options below")
    options.add_fields(parser, dataclasses.fields(RunConfig))


def run(arguments: Namespace) -> None:
    """Starts or resumes a run."""
    config = _config(arguments)
    use_compilation_cache()
    scope: AbstractContextManager = nullcontext()
    mesh = None if arguments.mesh is None else parse_mesh(arguments.mesh)
    with hosts_of(arguments) as hosts:
        hosts.check_equal(mesh=str(mesh))
        with status("Loading TensorFlow"):
            from primer_tf.training.run import train

            if mesh is not None:
                from primer_tf.distribution.make_distribution import make_distribution

                scope = make_distribution(mesh).scope()
        with scope:
            train(config, arguments.output, resume=arguments.resume, hosts=hosts)


def _config(arguments: Namespace) -> RunConfig:
    names = {field.name for field in dataclasses.fields(RunConfig)}
    given = {name: value for name, value in vars(arguments).items() if name in names}
    if arguments.resume:
        if arguments.gin_file or arguments.gin_param or arguments.gin_location_prefix:
            raise UserError("A resumed run keeps its own gin files; leave --gin_file out.")
        return dataclasses.replace(read_config(arguments.output), **given)
    given = {**_described_run(arguments), **given}
    missing = [f"--{name}" for name in ("preset", "data") if name not in given]
    if missing:
        raise UserError(f"primer train needs {' and '.join(missing)}, or --gin_file, or --resume.")
    return RunConfig(**{**given, "preset": resolve(given["preset"])})


def _described_run(arguments: Namespace) -> dict[str, Any]:
    """Returns the fields of a `RunConfig` that gin files describe."""
    files, bindings = arguments.gin_file, arguments.gin_param
    if not files:
        if bindings:
            raise UserError("--gin_param needs --gin_file.")
        return {}
    from primer_tf.gin_config import gin_reader
    from primer_tf.gin_config.model_arguments import backbone_arguments
    from primer_tf.gin_config.resolved_bindings import ResolvedBindings
    from primer_tf.gin_config.run_arguments import run_arguments
    from primer_tf.gin_config.unused_macros import check_macros

    with errors_of(f"train what {', '.join(files)} describes"):
        read = gin_reader.read(files, bindings, arguments.gin_location_prefix)
        check_macros(read)
        resolved = ResolvedBindings(read)
        architecture = backbone_arguments(resolved)
        return {
            "preset": files[0],
            "architecture": architecture,
            "dropout": architecture["dropout"],
            "gradient_checkpointing": architecture["gradient_checkpointing"],
            **run_arguments(resolved),
        }
