"""How the T5 command reports errors: one line, and a non-zero exit."""

import functools
import os
import sys

from primer_tf.errors import UserError
from primer_tf.literal_paths import as_named, literal
from primer_tf.mesh.runtime import checkpoints


def one_line_errors(main):
    """Wraps T5's `main` so that what the user can mend ends in one line, not in a traceback.

    The environment variable PRIMER_TF_TRACEBACK, if set, brings the traceback back.
    """

    @functools.wraps(main)
    def wrapped(argv):
        try:
            check_flags()
            prepare()
            return main(argv)
        except Exception as error:
            line = explain(error)
            if line is None or os.environ.get("PRIMER_TF_TRACEBACK"):
                raise
            print(f"error: {line}", file=sys.stderr, flush=True)
            sys.exit(1)

    return wrapped


def check_flags():
    """Checks flags that T5 would act on before anything of ours is asked.

    Raises:
      UserError: for a TPU, or a data folder that is not there.
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


def prepare():
    """Lets commands written for a TPU host run as they are, but for the TPU."""
    import gin
    from absl import flags

    for name in ("model_dir", "pretrained_model_dir"):
        if folder := getattr(flags.FLAGS, name):
            setattr(flags.FLAGS, name, literal(folder))
    if flags.FLAGS.module_import and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # A console script does not find the modules beside it.
    # Names the vocabulary also for tasks that are not ours.
    import primer_tf.tasks.vocabulary  # noqa: F401

    # One core stands for the TPU; gin files that say which TPU it is override this.
    with gin.unlock_config():
        gin.bind_parameter("utils.tpu_mesh_shape.tpu_topology", "v2-1")


def explain(error):
    """Returns one line that tells the user what to mend, or None for a fault of the program."""
    import tensorflow as tf

    mendable = (
        ValueError,  # gin, mesh_tensorflow, seqio and our own
        OSError,
        ImportError,
        LookupError,
        RuntimeError,
        tf.errors.OpError,
    )
    if not isinstance(error, mendable):
        return None
    # gin appends where a binding stands and what it was calling; TensorFlow, the graph.
    where = [line.strip() for line in str(error).splitlines()[1:]]
    where = [line for line in where if line.startswith(("In file", "In bindings"))]
    return as_named(" ".join([checkpoints.first_line(error), *where]))
