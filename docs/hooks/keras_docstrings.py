"""Griffe extension for the sections of Keras' docstrings that Google's style lacks."""

import re

import griffe

SECTIONS = {
    "Call arguments:": "Other Args: Call arguments",
    "Example:": "Examples:",
}
# Arguments of a base class in another library, whose signature is not available here.
INHERITED = {"Args:": "Other Args: Arguments"}


def rename(obj, sections):
    """Renames sections of a docstring before it is parsed."""
    heading = re.compile(rf"^({'|'.join(sections)})$", re.MULTILINE)
    obj.docstring.value = heading.sub(lambda match: sections[match[0]], obj.docstring.value)


class KerasDocstrings(griffe.Extension):
    """Translates the headings of every docstring."""

    def on_instance(self, *, obj, **kwargs):
        """Called for every object once it and its docstring are read."""
        if obj.docstring:
            rename(obj, SECTIONS)

    def on_class_members(self, *, cls, **kwargs):
        """Called for every class once its methods are read."""
        if cls.docstring and "__init__" not in cls.members:
            rename(cls, INHERITED)
