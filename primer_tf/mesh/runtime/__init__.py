"""Lets T5 and Mesh TensorFlow run, unmodified, on a TensorFlow that has no Estimator.

`install()` supplies the modules that current TensorFlow has dropped (`modules`), repairs known
faults of T5 and Mesh TensorFlow as they are imported (`repairs`), and lets gin find the files of
the user, of T5 and of this package (`gin_files`). The Estimator itself is in `estimator`. Parts
that TensorFlow still has are left alone.
"""

_installed = False


def install() -> None:
    """Makes `import t5` and `import mesh_tensorflow` work. Further calls do nothing."""
    global _installed
    if _installed:
        return
    _installed = True
    from primer_tf.mesh.runtime import gin_files, modules, repairs

    if modules.supply():
        repairs.apply_on_import()
    gin_files.search()
    _warn_of_nightly_builds()


def _warn_of_nightly_builds() -> None:
    """Warns of nightly builds, which T5's requirements install over SeqIO and TFDS."""
    import contextlib
    import logging
    from importlib import metadata

    nightly = []
    for name in ("seqio-nightly", "tfds-nightly"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            nightly.append(metadata.distribution(name).name)
    if nightly:
        logging.getLogger("primer_tf").warning(
            "T5's own requirements installed %s, which may fail with this TensorFlow; fix it with "
            "`pip uninstall -y %s && pip install --force-reinstall --no-deps seqio==0.0.20 "
            "tensorflow-datasets==4.9.10`.",
            " and ".join(nightly),
            " ".join(nightly),
        )
