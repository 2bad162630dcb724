"""The value of each argument of a configurable, looked up in bindings as gin itself would."""

import difflib
import logging
from collections.abc import Callable, Iterable
from typing import Any

from gin import selector_map

from primer_tf.errors import UserError
from primer_tf.gin_config.configurables import OVERRIDDEN, known_configurables
from primer_tf.gin_config.gin_reader import Binding, Macro, Reference, shown
from primer_tf.sublayers.gin_arguments import Only, default_of

_log = logging.getLogger("primer_tf").warning


class ResolvedBindings:
    """The values that gin files bind to the arguments of known configurables.

    Some bindings have no effect in Mesh TensorFlow when it builds a language model: those for a
    scope, such as `encoder/`, and those of arguments that its `build_model` sets itself, such as
    `Unitransformer.layer_stack`. They are left out here too, with a note.

    Args:
        bindings: Bindings, as `gin_reader` returns them.
        strict: Whether an unknown configurable or argument is an error. A file that T5 wrote itself
            names many that do not matter to the model. Defaults to `True`.
        note: Function called with a line about each binding without effect. Defaults to logging a
            warning.

    Raises:
        UserError: A binding names an unknown configurable or argument. The message names file and
            line.
    """

    def __init__(
        self,
        bindings: Iterable[Binding],
        strict: bool = True,
        note: Callable[[str], object] = _log,
    ) -> None:
        bindings = list(bindings)
        self._known = known_configurables()
        self._selectors = selector_map.SelectorMap()
        for name in self._known:
            self._selectors[name] = name
        self._note = note
        self._macros = {b.name: b for b in bindings if not b.argument}
        self._bound: dict[tuple[str, str], Binding] = {}
        for binding in bindings:
            if binding.argument:
                self._add(binding, strict)

    def _add(self, binding: Binding, strict: bool) -> None:
        name = self._full_name(binding.configurable)
        if name is None:
            if strict:
                short_names = [name.split(".")[-1] for name in self._known]
                raise UserError(
                    f"{binding.where}: unknown configurable {binding.configurable!r}"
                    f"{_suggestion(binding.configurable.split('.')[-1], short_names)}."
                )
            return
        if binding.argument in OVERRIDDEN.get(name, ()):
            self._note(
                f"{binding.where}: {binding.name} has no effect, as Mesh TensorFlow sets it "
                "itself when it builds a language model."
            )
            return
        if binding.argument not in self._known[name]:
            if strict:
                raise UserError(
                    f"{binding.where}: {binding.configurable} has no argument "
                    f"{binding.argument!r}{_suggestion(binding.argument, self._known[name])}."
                )
            return
        if binding.scope:
            self._note(
                f"{binding.where}: {binding.name} has no effect: it is for the scope "
                f"{binding.scope!r}, which a language model never enters."
            )
            return
        self._bound[name, binding.argument] = binding

    def value(self, name: str, argument: str) -> Any:
        """Returns the value of an argument, or its default when it is not bound.

        Args:
            name: Full name of a configurable.
            argument: Name of one of its arguments.

        Raises:
            UserError: The Keras model does not support the value, or a macro is undefined.
        """
        rule = self._known[name][argument]
        default = default_of(rule)
        binding = self._bound.get((name, argument))
        if binding is None:
            value = self._full(default)
        else:
            value = self._full(self._expand(binding.value, binding))
            if not isinstance(rule, Only) and not _is_like(value, default):
                raise UserError(
                    f"{binding.where}: {binding.name} = {shown(value)} is not of the kind of its "
                    f"default, {shown(default)}."
                )
        if isinstance(rule, Only) and value not in [self._full(v) for v in rule.values]:
            short, allowed = name.split(".")[-1], " or ".join(map(shown, rule.values))
            if binding is None:
                raise UserError(
                    f"{short}.{argument} is not bound, so it is {shown(value)}, which the Keras "
                    f"model does not support; bind it to {allowed}."
                )
            raise UserError(
                f"{binding.where}: the Keras model does not support {binding.name} = "
                f"{shown(value)}; it must be {allowed}."
            )
        return value

    def macro(self, name: str, default: Any = None) -> Any:
        """Returns the value of a macro, or the default when there is none."""
        binding = self._macros.get(name)
        return default if binding is None else self._expand(binding.value, binding)

    def is_bound(self, name: str, argument: str) -> bool:
        """Whether an argument is bound at all."""
        return (name, argument) in self._bound

    def where(self, name: str, argument: str) -> str:
        """Returns the place of a binding, for messages."""
        binding = self._bound.get((name, argument))
        short = f"{name.split('.')[-1]}.{argument}"
        return f"{short} (its default)" if binding is None else f"{binding.where}: {short}"

    def check(self, name: str) -> None:
        """Raises `UserError` if the Keras model does not support an argument of a configurable."""
        for argument in self._known[name]:
            self.value(name, argument)

    def _full_name(self, selector: str) -> str | None:
        """Returns the full name of a configurable, or `None` for one that is not known.

        Raises:
            UserError: The selector fits several.
        """
        matches = self._selectors.matching_selectors(selector)
        if len(matches) > 1:
            raise UserError(f"{selector!r} could be any of {', '.join(sorted(matches))}.")
        return matches[0] if matches else None

    def _full(self, value: Any) -> Any:
        """Returns a value with its references by their full names, where these are known."""
        if isinstance(value, Reference):
            return Reference(self._full_name(value.name) or value.name, value.evaluate)
        if isinstance(value, list | tuple):
            return type(value)(map(self._full, value))
        return value

    def _expand(self, value: Any, binding: Binding, seen: tuple[str, ...] = ()) -> Any:
        if isinstance(value, Macro):
            if value.name in seen:
                raise UserError(f"{binding.where}: the macro %{value.name} is defined by itself.")
            if value.name not in self._macros:
                raise UserError(f"{binding.where}: nothing defines the macro %{value.name}.")
            macro = self._macros[value.name]
            return self._expand(macro.value, macro, (*seen, value.name))
        if isinstance(value, list | tuple):
            return type(value)(self._expand(item, binding, seen) for item in value)
        if isinstance(value, dict):
            return {key: self._expand(item, binding, seen) for key, item in value.items()}
        return value


def _is_like(value: Any, default: Any) -> bool:
    """Whether a value is of the kind of a default, so that code can rely on it."""
    if value is None and not isinstance(default, Reference | list | tuple | dict):
        return True
    match default:
        case bool():
            return isinstance(value, bool)
        case int():
            return isinstance(value, int) and not isinstance(value, bool)
        case float():
            return isinstance(value, int | float) and not isinstance(value, bool)
        case str():  # an activation may also be a list of two, or one of ours
            return isinstance(value, str | Reference | list | tuple)
        case Reference():
            return isinstance(value, Reference)
        case dict():
            return isinstance(value, dict) and all(
                isinstance(value.get(key), type(default[key])) for key in default
            )
        case [Reference(), *_]:
            return isinstance(value, list | tuple) and all(
                isinstance(item, Reference) for item in value
            )
        case tuple():
            return (
                isinstance(value, list | tuple)
                and len(value) == len(default)
                and all(map(_is_like, value, default))
            )
    return True  # a default of `None` allows any value


def _suggestion(word: str, words: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
