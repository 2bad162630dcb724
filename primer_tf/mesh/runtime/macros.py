"""Makes a misspelled macro an error of T5's command, which gin itself would accept."""

from typing import Any

import gin
from absl import flags
from gin import config

from primer_tf.gin_config.unused_macros import check_names


def check_when_read() -> None:
    """Checks the macros once gin has read all files and flags."""
    config.register_finalize_hook(_check)


def _check(bindings: dict[tuple[str, str], dict[str, Any]]) -> None:
    texts = flags.FLAGS.gin_param if flags.FLAGS.is_parsed() else []
    given = {text.partition("=")[0].strip(): f"the binding {text!r}" for text in texts or []}
    defined = [scope for scope, selector in bindings if selector == "gin.macro"]
    references = config.iterate_references(bindings, to=gin.get_configurable("gin.macro"))
    used = {"/".join(reference.scopes) for reference in references}
    check_names({name: given.get(name, "the gin files") for name in defined}, used, given.keys())
