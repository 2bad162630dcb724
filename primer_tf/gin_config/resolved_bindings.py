"""The bindings of gin files, looked up by configurable and argument as gin itself would."""

import difflib
import logging

from gin import selector_map

from primer_tf.errors import UserError
from primer_tf.gin_config.configurables import MODEL, OVERRIDDEN, RUNS, Only
from primer_tf.gin_config.gin_reader import Binding, Macro, Reference, shown

_KNOWN = {**RUNS, **MODEL}
_SELECTORS = selector_map.SelectorMap()
for _name in _KNOWN:
    _SELECTORS[_name] = _name

_log = logging.getLogger("primer_tf").warning


class ResolvedBindings:
    """What each argument of each known configurable is bound to.

    Bindings that Mesh TensorFlow never looks at when it builds a language model are left out here
    too, with a note: those for a scope, such as `encoder/`, and those of arguments that its
    `build_model` gives itself, such as `Unitransformer.layer_stack`.

    Args:
        bindings: List of `gin_reader.Binding`.
        strict: Whether a configurable that is not known is an error. It cannot matter to a model
            that names it nowhere, and a file that T5 wrote itself names many.
        note: Called with a line about each binding without effect; default: logs a warning.

    Raises:
        UserError: A binding names a configurable or an argument that is not known; with the file
            and line.
    """

    def __init__(self, bindings, strict=True, note=_log):
        self._note = note
        self._macros = {b.name: b for b in bindings if not b.argument}
        self._bound = {}
        for binding in bindings:
            if binding.argument:
                self._add(binding, strict)

    def _add(self, binding, strict):
        name = full_name(binding.configurable)
        if name is None:
            if strict:
                raise UserError(
                    f"{binding.where}: unknown configurable {binding.configurable!r}"
                    f"{_suggestion(binding.configurable.split('.')[-1], _short_names())}."
                )
            return
        if binding.argument in OVERRIDDEN.get(name, ()):
            self._note(
                f"{binding.where}: {binding.name} has no effect, as Mesh TensorFlow sets it "
                "itself when it builds a language model."
            )
            return
        if binding.argument not in _KNOWN[name]:
            if strict:
                raise UserError(
                    f"{binding.where}: {binding.configurable} has no argument "
                    f"{binding.argument!r}{_suggestion(binding.argument, _KNOWN[name])}."
                )
            return
        if binding.scope:
            self._note(
                f"{binding.where}: {binding.name} has no effect: it is for the scope "
                f"{binding.scope!r}, which a language model never enters."
            )
            return
        self._bound[name, binding.argument] = binding

    def value(self, name, argument):
        """Returns the value of an argument, or its default when it is not bound.

        Args:
            name: Full name of a configurable.
            argument: One of its arguments.

        Raises:
            UserError: It is one that the Keras model cannot honour, or names an undefined macro.
        """
        rule = _KNOWN[name][argument]
        binding = self._bound.get((name, argument))
        if binding is None:
            value = rule.default if isinstance(rule, Only) else rule
        else:
            value = self._expand(binding.value, binding)
        value = _full(value)
        if not isinstance(rule, Only) and not _is_like(value, rule):
            raise UserError(
                f"{binding.where}: {binding.name} = {shown(value)} is not of the kind of its "
                f"default, {shown(rule)}."
            )
        if isinstance(rule, Only) and value not in [_full(v) for v in rule.values]:
            short, allowed = name.split(".")[-1], " or ".join(map(shown, rule.values))
            if binding is None:
                raise UserError(
                    f"{short}.{argument} is not bound, so it is {shown(value)}, which the Keras "
                    f"model cannot honour; bind it to {allowed}."
                )
            raise UserError(
                f"{binding.where}: the Keras model cannot honour {binding.name} = {shown(value)}; "
                f"it must be {allowed}."
            )
        return value

    def macro(self, name, default=None):
        """Returns the value of a macro, or the default when there is none."""
        binding = self._macros.get(name)
        return default if binding is None else self._expand(binding.value, binding)

    def is_bound(self, name, argument):
        """Whether an argument is bound at all."""
        return (name, argument) in self._bound

    def where(self, name, argument):
        """Returns the place of a binding, for messages."""
        binding = self._bound.get((name, argument))
        short = f"{name.split('.')[-1]}.{argument}"
        return f"{short} (its default)" if binding is None else f"{binding.where}: {short}"

    def check(self, name, leave_out=()):
        """Raises `UserError` if any argument of a configurable cannot be honoured."""
        for argument in _KNOWN[name].keys() - set(leave_out):
            self.value(name, argument)

    def _expand(self, value, binding: Binding, seen=()):
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


def _is_like(value, default):
    """Whether a value is of the kind of a default: code that reads it need not check again."""
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
    return True  # `None` says nothing


def full_name(selector):
    """Returns the full name of a configurable, or `None` for one that is not known.

    Raises:
        UserError: The selector fits several.
    """
    matches = _SELECTORS.matching_selectors(selector)
    if len(matches) > 1:
        raise UserError(f"{selector!r} could be any of {', '.join(sorted(matches))}.")
    return matches[0] if matches else None


def _full(value):
    """Returns a value with its references by their full names, where these are known."""
    if isinstance(value, Reference):
        return Reference(full_name(value.name) or value.name, value.evaluate)
    if isinstance(value, list | tuple):
        return type(value)(map(_full, value))
    return value


def _short_names():
    return [name.split(".")[-1] for name in _KNOWN]


def _suggestion(word, words):
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
