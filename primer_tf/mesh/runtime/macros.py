"""Makes a misspelled macro an error of T5's command, which gin itself would accept."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import gin
from absl import flags
from gin import config

from primer_tf import gin_directory
from primer_tf.gin_config.unused_macros import check_names


@contextlib.contextmanager
def checked() -> Iterator[None]:
    """Checks the macros once gin has read all files and flags of the command that runs inside."""
    config.register_finalize_hook(_check)
    try:
        yield
    finally:
        config._FINALIZE_HOOKS.remove(_check)


def _check(bindings: dict[tuple[str, str], dict[str, Any]]) -> None:
    texts = flags.FLAGS.gin_param or []
    given = {text.partition("=")[0].strip(): f"the binding {text!r}" for text in texts}
    defined = [scope for scope, selector in bindings if selector == "gin.macro"]
    references = config.iterate_references(bindings, to=gin.get_configurable("gin.macro"))
    used = {"/".join(reference.scopes) for reference in references}
    where = {name: given.get(name, "the gin files") for name in defined}
    check_names(where, used | _of_our_files(), given.keys())


def _of_our_files() -> set[str]:
    """Returns the macros that our gin files define.

    One list of flags may serve training and evaluation, although only one of them uses all.
    """
    paths = gin_directory().rglob("*.gin")
    return {name for path in paths for name in re.findall(r"^(\w+) =", path.read_text(), re.M)}
