"""Commands on several hosts: their start, and their end when one of them fails."""

import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from primer_tf.cli.errors import explain
from primer_tf.cli.terminal import status
from primer_tf.distribution.hosts import ALONE, Hosts
from primer_tf.distribution.lost_host import LOST, is_of_lost_host, watch_standard_error
from primer_tf.errors import UserError


@contextmanager
def hosts_of(arguments: Namespace) -> Iterator[Hosts]:
    """Connects this process with those of the other hosts, if the arguments name a coordinator.

    An error in the block then ends the process at once: JAX would wait for the others, which wait
    for this one.

    Args:
        arguments: `coordinator`, `num_hosts`, `host`, `mesh` and `verbose`.

    Yields:
        The `Hosts`.

    Raises:
        UserError: The arguments do not go together, or the others cannot be reached.
    """
    if arguments.coordinator is None:
        if arguments.num_hosts is not None or arguments.host is not None:
            raise UserError("--num_hosts and --host need --coordinator.")
        yield ALONE
        return
    if arguments.mesh is None:
        raise UserError("Several hosts need --mesh, which says what their devices divide.")
    if not arguments.verbose:
        watch_standard_error()
    with status("Waiting for the other hosts"):
        from primer_tf.distribution.start_hosts import start_hosts

        hosts = start_hosts(arguments.coordinator, arguments.num_hosts, arguments.host)
    try:
        yield hosts
    except Exception as error:
        hosts.report_failure(error)
        _end_at_once(UserError(LOST) if is_of_lost_host(error) else error)


def _end_at_once(error: Exception) -> None:
    if os.environ.get("PRIMER_TF_TRACEBACK"):
        traceback.print_exc()
    print(f"primer: {' '.join(explain(error).splitlines())}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(1)
