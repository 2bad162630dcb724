"""Messages repeat install lines that work, for every way to install the package."""

import json
import shlex
from importlib import metadata

import pytest
from packaging.requirements import Requirement

import primer_tf
from primer_tf import installation
from primer_tf.cli import main

T5 = " && pip install --no-deps t5==0.9.4"


def command(monkeypatch, direct_url):
    class Distribution:
        def read_text(self, name):
            assert name == "direct_url.json"
            return direct_url and json.dumps(direct_url)

    monkeypatch.setattr(installation.metadata, "distribution", lambda name: Distribution())
    return installation.install_command("t5").removesuffix(T5)


@pytest.mark.parametrize(
    "direct_url, argument",
    [
        (None, "primer_tf[t5]"),
        ({"url": "file:///a%20b/p.whl", "archive_info": {}}, "/a b/p.whl[t5]"),
        ({"url": "file:///c/d", "dir_info": {}}, "/c/d[t5]"),
        (
            {"url": "https://x.org/p.git", "vcs_info": {"vcs": "git", "commit_id": "1a2b"}},
            "primer_tf[t5] @ git+https://x.org/p.git@1a2b",
        ),
    ],
)
def test_by_how_it_was_installed(monkeypatch, direct_url, argument):
    assert shlex.split(command(monkeypatch, direct_url)) == ["pip", "install", argument]
    if not argument.startswith("/"):
        assert Requirement(argument).extras == {"t5"}


def test_a_checkout(monkeypatch):
    editable = {"url": "file:///c/d", "dir_info": {"editable": True}}
    assert command(monkeypatch, editable) == "pip install -e '/c/d[t5]'"

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(installation.metadata, "distribution", absent)
    *_, option, target = shlex.split(installation.install_command("demo"))
    assert (option, target.endswith("[demo]")) == ("-e", True)


def test_the_command_prints_its_versions(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert not end.value.code
    expected = f"primer_tf {primer_tf.__version__} (tensorflow {metadata.version('tensorflow')}, "
    assert capsys.readouterr().out.startswith(expected)
