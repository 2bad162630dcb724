"""Makes T5's own commands work: supplies the missing runtime just before T5 is imported.

A copy of this file is installed next to a `.pth` file that imports it whenever Python starts. It
must therefore stay small, import almost nothing and never fail. It acts once, when `t5`,
`mesh_tensorflow` or `gin.tf` is first imported. The environment variable PRIMER_TF_NO_HOOK
switches it off.
"""

import os
import sys

_TRIGGERS = ("t5", "mesh_tensorflow", "gin.tf")


class _Hook:
    """A finder that finds nothing and only detects the first import of a trigger."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in _TRIGGERS:
            sys.meta_path.remove(cls)
            try:
                from primer_tf.mesh import runtime

                runtime.install()
            except Exception as error:  # The import itself must continue and raise its own error.
                import logging

                logging.getLogger("primer_tf").error(
                    "primer_tf could not prepare TensorFlow for %s: %r", name, error
                )
        return None


if not os.environ.get("PRIMER_TF_NO_HOOK"):
    sys.meta_path.insert(0, _Hook)
