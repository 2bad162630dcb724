"""Makes commands of other packages know this one, just before they import what they need.

- T5's own commands: supplies the runtime that they need and current TensorFlow lacks.
- `lm_eval --model primer`: lm-eval knows models by a registry, and looks for no entry points.

A copy of this file is installed next to a `.pth` file that imports it whenever Python starts. It
must therefore stay small, import almost nothing and never fail. It acts once for each of the two,
when a trigger is first imported. The environment variable PRIMER_TF_NO_HOOK switches it off.
"""

import os
import sys


def _prepare_t5():
    from primer_tf.mesh import runtime

    runtime.install()


def _register_model():
    from lm_eval.api.registry import model_registry

    model_registry.register("primer", target="primer_tf.cli.harness:PrimerHarnessModel")


class _Hook:
    """A finder that finds nothing and only detects the first import of a trigger."""

    def __init__(self, triggers, act):
        self.triggers = triggers
        self.act = act

    def find_spec(self, name, path=None, target=None):
        if name in self.triggers:
            sys.meta_path.remove(self)
            try:
                self.act()
            except Exception as error:  # The import itself must continue and raise its own error.
                import logging

                logging.getLogger("primer_tf").error(
                    "primer_tf could not prepare for %s: %r", name, error
                )
        return None


if not os.environ.get("PRIMER_TF_NO_HOOK"):
    sys.meta_path[:0] = [
        _Hook(("t5", "mesh_tensorflow", "gin.tf"), _prepare_t5),
        _Hook(("lm_eval.models",), _register_model),
    ]
