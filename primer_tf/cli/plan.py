"""`primer plan`: what training on several devices takes, before anything is trained."""

import os
from argparse import ArgumentParser, Namespace
from importlib.util import find_spec

from primer_tf.cli import options
from primer_tf.cli.terminal import status
from primer_tf.distribution import parse_mesh
from primer_tf.distribution.accelerators import ACCELERATORS, GIB
from primer_tf.errors import UserError

HELP = "Compute the memory and the time that training a preset on several devices takes."

FIELDS = (
    "batch_size",
    "gradient_accumulation_steps",
    "sequence_length",
    "optimizer",
    "ema_momentum",
    "gradient_checkpointing",
    "dtype",
)
# What `auto` is on all of `ACCELERATORS`.
AUTO = "mixed_bfloat16"


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument("preset", help="name or directory of a preset")
    parser.add_argument(
        "--mesh",
        default="data:1",
        help="axes of a mesh of devices with their sizes, as primer train has them (default: "
        "data:1)",
    )
    parser.add_argument(
        "--device",
        choices=ACCELERATORS,
        default="h100",
        help="what each device is: " + ", ".join(ACCELERATORS) + " (default: h100)",
        metavar="NAME",
    )
    parser.add_argument(
        "--tokens", type=float, default=1e9, help="tokens to train on (default: 1e9)"
    )
    parser.add_argument(
        "--utilization",
        type=float,
        default=0.4,
        help="share of the device's peak arithmetic that training reaches (default: 0.4)",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="also compile the training step with JAX on virtual devices of the CPU, and print the "
        "memory that XLA gives it",
    )
    for name in FIELDS:
        options.add_field(parser, name)


def run(arguments: Namespace) -> None:
    """Prints the plan."""
    for name in FIELDS:
        options.check_field(arguments, name)
    if not 0 < arguments.utilization <= 1:
        raise UserError(
            f"utilization must be above 0 and at most 1; received {arguments.utilization}."
        )
    if not 1 <= arguments.tokens < 1e18:
        raise UserError(f"tokens must be at least 1 and below 1e18; received {arguments.tokens:g}.")
    mesh = parse_mesh(arguments.mesh)
    if find_spec("jax") is None:
        raise UserError("primer plan needs JAX; install it: pip install 'primer_tf[jax]'.")
    # Before Keras is imported, which reads them once. An accelerator is not needed.
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ["JAX_PLATFORMS"] = "cpu"
    devices = f"--xla_force_host_platform_device_count={mesh.devices}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {devices}".strip()
    with status("Loading Keras"):
        from primer_tf.distribution.abstract_training import abstract_training
        from primer_tf.distribution.training_plan import plan_training

        training = abstract_training(
            arguments.preset,
            mesh,
            arguments.optimizer,
            arguments.gradient_accumulation_steps,
            arguments.ema_momentum,
            arguments.gradient_checkpointing,
            AUTO if arguments.dtype == "auto" else arguments.dtype,
        )
    accelerator = ACCELERATORS[arguments.device]
    plan = plan_training(
        training,
        accelerator,
        int(arguments.tokens),
        arguments.batch_size,
        arguments.sequence_length,
        arguments.utilization,
    )
    print(
        f"{arguments.preset}: {plan.parameters:,} parameters on {mesh.devices} x "
        f"{arguments.device} ({mesh}), at {arguments.utilization:.0%} of the peak"
    )
    print(plan.describe(accelerator))
    if arguments.compile:
        from primer_tf.distribution.compiled_memory import compiled_memory

        with status("Compiling"):
            found = compiled_memory(training, arguments.batch_size, arguments.sequence_length)
        print(
            f"XLA, for a CPU: {found.peak / GIB:.3g} GiB on a device, of which "
            f"{found.arguments / GIB:.3g} are weights, optimizer and batch, and "
            f"{found.temporaries / GIB:.3g} gradients and activations"
        )
