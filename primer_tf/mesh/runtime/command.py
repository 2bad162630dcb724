"""The error reports of T5's command: one line and a non-zero exit status."""

import functools
import os
import sys
from collections.abc import Callable

from primer_tf.errors import UserError
from primer_tf.literal_paths import as_named, literal
from primer_tf.mesh.runtime import checkpoints, macros


def one_line_errors(main: Callable) -> Callable:
    """Wraps T5's `main` so that errors that the user can fix end in one line, not in a traceback.

    The environment variable PRIMER_TF_TRACEBACK brings the traceback back.
    """

    @functools.wraps(main)
    def wrapped(argv):
        try:
            check_flags()
            prepare()
            with macros.checked():
                return main(argv)
        except Exception as error:
            line = explain(error)
            if line is None or os.environ.get("PRIMER_TF_TRACEBACK"):
                raise
            print(f"error: {line}", file=sys.stderr, flush=True)
            sys.exit(1)

    return wrapped


def check_flags() -> None:
    """Checks the flags that T5 acts on before it calls any of our code.

    Raises:
      UserError: If a flag names a TPU or a missing data folder.
    """
    import tensorflow as tf
    from absl import flags

    values = flags.FLAGS
    if values.tpu:
        raise UserError(
            f"--tpu={values.tpu}: TensorFlow {tf.__version__} has no TPU Estimator; leave out "
            "--tpu and use hardware/cpu.gin, hardware/cpu_mesh.gin or hardware/gpu.gin."
        )
    folder = values.t5_tfds_data_dir
    if folder and not tf.io.gfile.isdir(folder):
        raise UserError(f"--t5_tfds_data_dir={folder}: there is no such folder.")


def prepare() -> None:
    """Lets commands written for a TPU host run unchanged, except for the TPU flags."""
    import gin
    from absl import flags

    for name in ("model_dir", "pretrained_model_dir"):
        if folder := getattr(flags.FLAGS, name):
            setattr(flags.FLAGS, name, literal(folder))
    if flags.FLAGS.module_import and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # Console scripts do not search the current folder.
    # Lets gin configure the vocabulary of other people's tasks, too.
    import primer_tf.tasks.vocabulary  # noqa: F401

    # Treat the host as one TPU core; gin files that name a TPU topology override this.
    with gin.unlock_config():
        gin.bind_parameter("utils.tpu_mesh_shape.tpu_topology", "v2-1")


def explain(error: Exception) -> str | None:
    """Returns one line that tells the user what to fix, or None for a bug."""
    import tensorflow as tf

    fixable = (
        ValueError,  # gin, mesh_tensorflow, seqio and our own
        OSError,
        ImportError,
        LookupError,
        RuntimeError,
        tf.errors.OpError,
    )
    if not isinstance(error, fixable):
        return None
    # gin appends the location of the binding and the call; TensorFlow appends the graph.
    where = [line.strip() for line in str(error).splitlines()[1:]]
    where = [line for line in where if line.startswith(("In file", "In bindings"))]
    return as_named(" ".join([checkpoints.first_line(error), *where]))
