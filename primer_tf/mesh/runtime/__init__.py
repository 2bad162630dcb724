"""Lets T5 and Mesh TensorFlow run, unmodified, on a TensorFlow that has no Estimator.

`install()` supplies what they import and current TensorFlow has dropped (`modules`), repairs known
faults of theirs as they are imported (`repairs`), and has gin find the files of the user, of T5
and of this package (`gin_files`). The Estimator itself is in `estimator`. Nothing is done where
TensorFlow still has its own.
"""

_installed = False


def install():
    """Makes `import t5` and `import mesh_tensorflow` work. Calling it again does nothing."""
    global _installed
    if _installed:
        return
    _installed = True
    from primer_tf.mesh.runtime import gin_files, modules, repairs

    if modules.supply():
        repairs.apply_on_import()
    gin_files.search()
    _warn_of_nightly_builds()


def _warn_of_nightly_builds():
    """Says how to mend what T5's own requirements overwrite SeqIO and TFDS with."""
    import contextlib
    import logging
    from importlib import metadata

    nightly = []
    for name in ("seqio-nightly", "tfds-nightly"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            nightly.append(metadata.distribution(name).name)
    if nightly:
        logging.getLogger("primer_tf").warning(
            "%s came with T5's own requirements and may fail beside this TensorFlow; mend it with "
            "`pip uninstall -y %s && pip install --force-reinstall --no-deps seqio==0.0.20 "
            "tensorflow-datasets==4.9.10`.",
            " and ".join(nightly),
            " ".join(nightly),
        )
