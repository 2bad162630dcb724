"""One search order in both engines: the user's files, then T5's, then this package's."""

import logging
from pathlib import Path

import gin
import pytest
from gin import config

from primer_tf import cli, gin_directory
from primer_tf.errors import UserError
from primer_tf.gin_config import gin_reader
from primer_tf.gin_config.gin_search import GinSearch, t5_gin_directory
from primer_tf.gin_config.presets import preset_arguments
from primer_tf.mesh.runtime import gin_files

OURS, T5 = str(gin_directory()), t5_gin_directory()


@pytest.fixture
def in_gin(monkeypatch):
    """Returns a function that reads with gin itself, as T5's command has it search."""
    monkeypatch.setattr(config, "_FILE_READERS", list(config._FILE_READERS))
    monkeypatch.setattr(config, "_LOCATION_PREFIXES", [""])
    monkeypatch.setattr(logging.getLogger(), "filters", [])
    gin_files.search()
    gin.add_config_file_search_path(T5)  # T5 does so before it reads the user's flags

    def macro(files, prefixes, name):
        for prefix in prefixes:
            gin.add_config_file_search_path(prefix)
        try:
            gin.parse_config_files_and_bindings(files, [], skip_unknown=True)
            return gin.query_parameter(f"{name}/gin.macro.value")
        finally:
            gin.clear_config()

    return macro


def in_reader(files, prefixes, name):
    bindings = gin_reader.read(files, location_prefixes=prefixes)
    return [b.value for b in bindings if b.name == name][-1]


@pytest.fixture
def write(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


# Files in a folder with the current folder `here` in it; what is read, in which search folders;
# and who wrote the file that is found.
CASES = {
    "a prefix comes before ours": (
        {"exp/gin/models/tiny_primer.gin": "who = 'exp'"},
        ["models/tiny_primer.gin"],
        ["../exp/gin"],
        "exp",
    ),
    "a prefix comes before T5's": (
        {"exp/gin/dataset.gin": "who = 'exp'"},
        ["dataset.gin"],
        ["../exp/gin/"],
        "exp",
    ),
    "the first prefix comes first": (
        {"a/x.gin": "who = 'a'", "b/x.gin": "who = 'b'"},
        ["x.gin"],
        ["../b", "../a"],
        "b",
    ),
    "the current folder comes before a prefix": (
        {"here/run/train.gin": "who = 'here'", "exp/run/train.gin": "who = 'exp'"},
        ["run/train.gin"],
        ["../exp"],
        "here",
    ),
    "an include of a user's file is its own folder's": (
        {
            "exp/gin/models/tiny_primer.gin": 'include "defaults.gin"',
            "exp/gin/defaults.gin": "who = 'exp'",
            "here/defaults.gin": "who = 'here'",
        },
        ["models/tiny_primer.gin"],
        ["../exp/gin"],
        "exp",
    ),
    "also where the file is named by its path": (
        {
            "here/mine/models/tiny_primer.gin": 'include "defaults.gin"',
            "here/mine/defaults.gin": "who = 'mine'",
        },
        ["mine/models/tiny_primer.gin"],
        [],
        "mine",
    ),
    "beside the file comes before above it": (
        {
            "here/a/b/x.gin": 'include "y.gin"',
            "here/a/b/y.gin": "who = 'beside'",
            "here/a/y.gin": "who = 'above'",
        },
        ["a/b/x.gin"],
        [],
        "beside",
    ),
    "in the folders above, up to the search folder": (
        {"exp/a/b/c/x.gin": 'include "y.gin"', "exp/y.gin": "who = 'exp'", "y.gin": "who = 'no'"},
        ["a/b/c/x.gin"],
        ["../exp"],
        "exp",
    ),
    "else as if the user had named it": (
        {"here/mine.gin": 'include "y.gin"', "exp/y.gin": "who = 'exp'"},
        ["mine.gin"],
        ["../exp"],
        "exp",
    ),
    "a package": (
        {"here/package_of_gin/models/x.gin": "who = 'package'"},
        ["package_of_gin/models/x.gin"],
        [],
        "package",
    ),
}


@pytest.mark.parametrize("engine", ["reader", "gin"])
@pytest.mark.parametrize("case", CASES)
def test_who_wrote_the_file_that_is_read(case, engine, write, in_gin, monkeypatch, tmp_path):
    files, names, prefixes, expected = CASES[case]
    for name, text in files.items():
        write(name, text + "\n")
    if case == "a package":
        monkeypatch.syspath_prepend(tmp_path / "here")
        monkeypatch.chdir(tmp_path)
    read = {"reader": in_reader, "gin": in_gin}[engine]
    assert read(names, prefixes, "who") == expected


@pytest.mark.parametrize("engine", ["reader", "gin"])
def test_a_user_shadows_no_include_of_ours_or_t5s(engine, write, in_gin):
    for folder in ("here", "exp"):
        for name in ("defaults", "sizes/tiny", "architectures/primer", "models/bi_v1"):
            write(f"{folder}/{name}.gin", "d_model = 1\nd_ff = 1\nMIXTURE_NAME = 'no'\n")
    read = {"reader": in_reader, "gin": in_gin}[engine]
    assert read(["models/tiny_primer.gin"], ["../exp"], "d_model") == 128
    assert read([f"{OURS}/models/tiny_primer.gin"], ["../exp"], "d_model") == 128
    assert read(["models/t5.1.0.base.gin"], ["../exp"], "d_ff") == 3072
    write("here/mine.gin", 'include "models/tiny_primer.gin"\nd_ff = 3\n')
    assert read(["mine.gin"], ["../exp"], "d_model") == 128
    assert read(["dataset.gin"], ["../exp"], "MIXTURE_NAME") == "glue_v002_proportional"


def test_every_file_of_t5_and_of_ours_is_found_by_its_name():
    search = GinSearch()
    t5 = {p.relative_to(T5).as_posix() for p in Path(T5).rglob("*.gin")}
    assert len(t5) > 50 and "dataset.gin" in t5
    ours = {p.relative_to(OURS).as_posix() for p in gin_directory().rglob("*.gin")}
    for name in t5:
        assert search.find(name) == f"{T5}/{name}"
    for name in ours - t5:
        assert search.find(name) == f"{OURS}/{name}"


def test_t5s_file_comes_before_ours(write, monkeypatch, tmp_path):
    write("ours/dataset.gin", "MIXTURE_NAME = 'ours'\n")
    monkeypatch.setattr("primer_tf.gin_config.gin_search.gin_directory", lambda: tmp_path / "ours")
    assert GinSearch().find("dataset.gin") == f"{T5}/dataset.gin"


@pytest.mark.parametrize("engine", ["reader", "gin"])
def test_a_file_that_includes_itself(engine, write, in_gin):
    write("here/models/tiny_primer.gin", 'include "models/tiny_primer.gin"\n')
    read = {"reader": in_reader, "gin": in_gin}[engine]
    with pytest.raises(ValueError, match="Circular include: tiny_primer.gin includes tiny_primer"):
        read(["models/tiny_primer.gin"], [], "who")


def test_a_preset_is_never_the_users_file(write):
    expected = preset_arguments("tiny_primer")
    write("here/models/tiny_primer.gin", 'include "defaults.gin"\nd_model = 8\n')
    write("here/defaults.gin", "d_model = 8\n")
    preset_arguments.__globals__["_arguments"].cache_clear()
    assert preset_arguments("tiny_primer") == expected


def test_a_missing_file_is_named(write):
    write("here/mine.gin", 'include "nowhere.gin"\n')
    with pytest.raises(UserError, match="no gin file nowhere.gin, included in .*mine.gin, line 1"):
        gin_reader.read(["mine.gin"])


def test_primer_takes_t5s_flag(write, capsys):
    file = write("exp/gin/models/tiny_primer.gin", "d_modle.x = 1\n")
    flags = ["--gin_file=models/tiny_primer.gin", "--gin_location_prefix=../no,../exp/gin"]
    assert cli.main(["train", "--output=run", *flags]) == 1
    assert f"{file}, line 1: unknown configurable 'd_modle'" in capsys.readouterr().err
