"""New versions replace old ones; damaged ones never do."""

import shutil
import threading

import pytest

from primer_tf.errors import UserError
from primer_tf.serving.config import ModelConfig, models_of_folders, read_models_config
from primer_tf.serving.manager import ModelManager, State
from primer_tf.serving.status import Code, ServingError
from tests.serving.conftest import running


class Loaded:
    """What a loader returns that reads a version from a file."""

    def __init__(self, model, number, folder):
        self.text = (folder / "good").read_text()
        self.closed = False

    def close(self):
        assert not self.closed
        self.closed = True


def write(folder, number, name="good"):
    (folder / str(number)).mkdir(parents=True, exist_ok=True)
    (folder / str(number) / name).write_text(str(number))


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "m", 1)
    return tmp_path / "m"


def manage(folder, **settings):
    manager = ModelManager([ModelConfig("m", folder, **settings)], Loaded)
    manager.poll(at_start=True)
    return manager


def served(manager, **which):
    with manager.use("m", **which) as version:
        return version.loaded.text


def states(manager):
    return {version.number: version.state for version in manager.statuses("m")}


def test_a_new_version_replaces_the_old_one_once_its_folder_is_still(folder):
    manager = manage(folder)
    write(folder, 2)
    manager.poll()
    assert served(manager) == "1"  # seen once: it may still be growing
    write(folder, 2, "more")
    manager.poll()
    assert served(manager) == "1"
    manager.poll()
    assert served(manager) == "2"
    assert states(manager) == {1: State.END, 2: State.AVAILABLE}


def test_requests_in_work_finish_on_the_old_version(folder):
    manager = manage(folder)
    with manager.use("m") as version:
        write(folder, 2)
        manager.poll()
        manager.poll()
        assert served(manager) == "2"
        assert states(manager)[1] is State.UNLOADING and not version.loaded.closed
        loaded = version.loaded
    assert loaded.closed and states(manager)[1] is State.END


def test_statuses_are_those_of_one_moment(folder):
    manager = manage(folder)
    write(folder, 2)
    manager.poll()
    before = manager.statuses("m")
    manager.poll()
    assert [(version.number, version.state) for version in before] == [(1, State.AVAILABLE)]


def test_a_damaged_version_is_shown_and_tried_again_when_it_changes(folder):
    manager = manage(folder)
    write(folder, 2, "bad")
    manager.poll()
    manager.poll()
    assert served(manager) == "1" and states(manager)[1] is State.AVAILABLE
    (status,) = [version for version in manager.statuses("m") if version.number == 2]
    assert status.state is State.END and "good" in status.error.message
    manager.poll()
    assert manager.statuses("m")[0].error is status.error  # not tried again
    write(folder, 2)
    manager.poll()
    manager.poll()
    assert served(manager) == "2"


def test_a_version_that_changes_while_it_is_loaded_is_loaded_again(folder, monkeypatch):
    manager = manage(folder)
    write(folder, 2)
    manager.poll()

    class Interrupted(Loaded):
        def __init__(self, model, number, folder):
            super().__init__(model, number, folder)
            (folder / "good").write_text("two")

    monkeypatch.setattr(manager, "_load", Interrupted)
    manager.poll()
    assert served(manager) == "1" and states(manager)[2] is State.END
    monkeypatch.setattr(manager, "_load", Loaded)
    manager.poll()
    manager.poll()
    assert served(manager) == "two"


def test_an_older_version_is_served_if_the_newest_is_damaged_from_the_start(folder):
    write(folder, 2, "bad")
    write(folder, 3, "bad")
    assert served(manage(folder)) == "1"


def test_the_last_version_stays_when_its_folder_is_removed(folder):
    manager = manage(folder)
    shutil.rmtree(folder / "1")
    manager.poll()
    assert served(manager) == "1"


def test_labels_and_numbers(folder):
    for number in (2, 3):
        write(folder, number)
    manager = manage(folder, labels={"stable": 1, "gone": 9})
    assert set(states(manager)) == {1, 3}
    assert served(manager, label="stable") == "1" and served(manager) == "3"
    for which, code in (
        ({"label": "none"}, Code.INVALID_ARGUMENT),
        ({"label": "gone"}, Code.NOT_FOUND),
        ({"number": 2}, Code.NOT_FOUND),
    ):
        with pytest.raises(ServingError) as raised:
            served(manager, **which)
        assert raised.value.code is code


def test_models_config(folder, tmp_path):
    path = tmp_path / "models.config"
    path.write_text(
        'model_config_list { config { name: "n" base_path: "m" model_platform: "tensorflow" '
        "model_version_policy { latest { num_versions: 2 } } "
        'version_labels { key: "stable" value: 1 } } }'
    )
    assert read_models_config(path) == [ModelConfig("n", folder, 2, labels={"stable": 1})]
    path.write_text("model_config_list { none: 1 }")
    with pytest.raises(UserError, match="is not a models.config"):
        read_models_config(path)


def test_versions_are_swapped_under_load(toys, toy_folder):
    """Every request is answered, by a version that was the newest while it ran."""
    answers, stop = [], threading.Event()
    with running(models_of_folders([toy_folder]), poll_seconds=0.1) as server:

        def ask():
            while not stop.is_set():
                answer = server.http.post("/v1/models/toy:predict", json={"instances": [1]})
                answers.append((answer.status_code, answer.json()))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in (2, 3):
            shutil.copytree(toys / str(number), toy_folder / str(number))
            for _ in range(100):
                if ("AVAILABLE", str(number)) in available(server):
                    break
                stop.wait(0.1)
        stop.set()
        for thread in threads:
            thread.join()
    assert {status for status, _ in answers} == {200}
    factors = [answer["predictions"][0] for _, answer in answers]
    assert set(factors) == {1.0, 2.0, 3.0}


def available(server):
    found = server.http.get("/v1/models/toy").json()["model_version_status"]
    return {(version["state"], version["version"]) for version in found}
