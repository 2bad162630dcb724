"""The start of a run on several hosts, from options or from a cluster's environment."""

import os
import re

import keras

from primer_tf._compat import coordination_client
from primer_tf.distribution.hosts import Hosts
from primer_tf.errors import UserError, first_line

AUTO = "auto"
# Seconds to wait for the other hosts, and after which a silent one has ended.
START = 300
HEARTBEAT = 60

ADDRESSES = ("JAX_COORDINATOR_ADDRESS", "KERAS_DISTRIBUTION_JOB_ADDRESSES")
COUNTS = ("JAX_NUM_PROCESSES", "KERAS_DISTRIBUTION_NUM_PROCESSES")
INDICES = ("JAX_PROCESS_ID", "KERAS_DISTRIBUTION_PROCESS_ID")


def start_hosts(coordinator: str, num_hosts: int | None = None, host: int | None = None) -> Hosts:
    """Connects this process with those of the other hosts.

    It must come before any computation.

    Args:
        coordinator: Address and port of the first host, or `"auto"` to take everything from the
            environment: the variables of JAX or Keras, or what JAX finds of SLURM, Open MPI, a TPU
            pod or Kubernetes.
        num_hosts: Number of hosts. By default from the environment.
        host: Number of this host, from 0. By default from the environment.

    Returns:
        The `Hosts`.

    Raises:
        UserError: Keras' backend is not JAX, the numbers make no sense, or the others cannot be
            reached.
    """
    if keras.backend.backend() != "jax":
        raise UserError(
            "Several hosts need Keras on JAX; set KERAS_BACKEND=jax. On TensorFlow only `fit` "
            "trains on them, in the scope of a MultiWorkerMirroredStrategy."
        )
    import jax

    address = _of_environment(ADDRESSES) if coordinator == AUTO else coordinator
    address = None if address is None else address.split(",")[0]
    if address is not None and not re.fullmatch(r".+:\d+", address):
        raise UserError(f"coordinator must be an address with a port; received {address!r}.")
    num_hosts = _number(num_hosts, COUNTS)
    host = _number(host, INDICES)
    if num_hosts is not None and host is not None and not 0 <= host < num_hosts:
        raise UserError(f"host must be at least 0 and below num_hosts {num_hosts}; it is {host}.")
    # It would take SIGTERM, which a run obeys itself.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            address,
            num_hosts,
            host,
            initialization_timeout=START,
            heartbeat_timeout_seconds=HEARTBEAT,
        )
    except Exception as error:
        raise UserError(
            f"Cannot start the run on several hosts: {first_line(error)}; give --coordinator, "
            "--num_hosts and --host, and start all hosts within five minutes."
        ) from error
    return Hosts(jax.process_index(), jax.process_count(), coordination_client())


def _of_environment(names: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _number(given: int | None, names: tuple[str, ...]) -> int | None:
    text = _of_environment(names)
    if given is not None or text is None:
        return given
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise UserError(f"{' or '.join(names)} must be a number; received {text!r}.")
    return int(text)
