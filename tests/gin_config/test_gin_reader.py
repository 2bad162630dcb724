"""Reading gin files: what gin itself makes of them, and errors that name file and line."""

import gin
import pytest

from primer_tf.errors import UserError
from primer_tf.gin_config import gin_reader
from primer_tf.gin_config.gin_reader import Macro, Reference


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_bindings_macros_references_and_includes_in_gins_order(write):
    inner = write("inner.gin", "size = 3\nlayer.size = %size\n")
    outer = write(
        "outer.gin",
        f'import some.module\ninclude "{inner}"\n\nscope/layer.kind = [\n  @a.b,\n  @c(),\n]\n',
    )
    found = gin_reader.read([outer], ["size = 4"])
    assert [(b.name, b.value) for b in found] == [
        ("size", 3),
        ("layer.size", Macro("size")),
        ("scope/layer.kind", [Reference("a.b"), Reference("c", evaluate=True)]),
        ("size", 4),
    ]
    assert [b.where.rsplit("/", 1)[-1] for b in found] == [
        "inner.gin, line 1",
        "inner.gin, line 2",
        "outer.gin, line 4",
        "the binding 'size = 4'",
    ]


def test_values_are_those_that_gin_gives_a_function(write):
    @gin.configurable(module="test_gin_reader")
    def probe(a, b, c):
        return a, b, c

    text = "m = {'x': [1, 2.5, None, True]}\nprobe.a = %m\nprobe.b = ('t', -1)\nprobe.c = 'it''s'\n"
    path = write("probe.gin", text)
    gin.parse_config_file(path)
    bindings = {b.name: b.value for b in gin_reader.read([path])}
    expected = probe()
    gin.clear_config()
    assert (bindings["m"], bindings["probe.b"], bindings["probe.c"]) == expected


@pytest.mark.parametrize(
    "text, message",
    [
        ("a.b = 1\n\nc.d = [1,\n", "Not gin syntax in .*bad.gin"),
        ("a.b =\n", "Not gin syntax in .*bad.gin, line 1"),
        ("just words\n", "Not gin syntax in .*bad.gin, line 1"),
        ('include "nowhere.gin"\n', "no gin file nowhere.gin, included in .*bad.gin, line 1"),
    ],
)
def test_what_is_not_gin(write, text, message):
    with pytest.raises(UserError, match=message) as error:
        gin_reader.read([write("bad.gin", text)])
    assert "\n" not in str(error.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(UserError, match="no gin file models/nothing.gin"):
        gin_reader.read(["models/nothing.gin"])
    (tmp_path / "x.gin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        gin_reader.read([tmp_path / "x.gin"])


def test_circular_include(write, tmp_path):
    write("a.gin", f'include "{tmp_path}/b.gin"\n')
    write("b.gin", f'\ninclude "{tmp_path}/a.gin"\n')
    with pytest.raises(UserError, match="Circular include: a.gin includes b.gin includes a.gin"):
        gin_reader.read([tmp_path / "a.gin"])
