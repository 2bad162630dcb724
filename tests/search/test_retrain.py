"""The best of a search trained again with several seeds, and what they gain over the start."""

import json

import pytest

from primer_tf.errors import UserError
from primer_tf.search import retrain as retrain_module
from primer_tf.search.config import FILE as CONFIG_FILE
from primer_tf.search.config import SearchConfig
from primer_tf.search.individual import Individual, Outcome
from primer_tf.search.page import write_page
from primer_tf.search.record import SearchRecord
from primer_tf.search.retrain import retrain
from primer_tf.search.retrained import FILE, START, read_retrained, retrained

CONFIG = SearchConfig(data="demo", seed=5)


class FakeTrainer:
    """Losses of 3 plus the program's number and a tenth of the seed."""

    def __init__(self, config, tokens):
        self.config = config

    def train_whole(self, task):
        assert self.config.hurdles == 1 and self.config.steps == 70
        program = json.loads(task.program)
        loss = 3 + len(program["constants"]) + 0.1 * self.config.seed
        return Outcome("trained", loss, (loss,), steps=60, parameters=7), loss


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / CONFIG_FILE).write_text(CONFIG.to_json())
    start = CONFIG.start()
    record = SearchRecord(tmp_path)
    for number, algorithm in enumerate(["evolution", "random", "evolution"]):
        loss = 4.0 + number
        outcome = Outcome("trained", loss, (loss,), spent=1.0)
        record.add(Individual(number, algorithm, None, "e", start.to_json(), "f", outcome))
    record.close()
    monkeypatch.setattr(retrain_module, "Trainer", FakeTrainer)
    monkeypatch.setattr(retrain_module, "prepare_tokens", lambda config, directory: None)
    return tmp_path


def test_every_program_has_every_seed(folder, monkeypatch):
    saved, lines = [], []
    monkeypatch.setattr(retrain_module, "_save", lambda model, directory: saved.append(model))
    rows = retrain(folder, 2, 70, seeds=2, report=lines.append)
    names = [START, "Primer-EZ", "evolution 0", "random 1"]
    # The seed of the search is not among them.
    assert {(row["name"], row["seed"]) for row in rows} == {(n, s) for n in names for s in (6, 7)}
    assert len(lines) == 8 and "Primer-EZ, seed 6: validation loss" in "".join(lines)
    losses = [row["loss"] for row in rows]
    assert losses == sorted(losses) and saved[-1] == losses[0]
    assert read_retrained(folder) == rows
    # What is there is not trained again; a third seed is.
    assert len(retrain(folder, 2, 70, seeds=3, report=lines.append)) == 12 and len(lines) == 12
    # What another search left under the same name does not count.
    text = (folder / FILE).read_text().replace("random 1", "random 7")
    (folder / FILE).write_text(text.replace("evolution 0", "evolution 2"))
    assert len(retrain(folder, 2, 70, seeds=1, report=lines.append)) == 11 and len(lines) == 14


def row(name, seed, loss, steps=70):
    return {
        "name": name,
        "steps": steps,
        "seed": seed,
        "own_steps": 60,
        "loss": loss,
        "parameters": 9,
    }


def test_the_gain_and_its_interval():
    rows = [row(START, seed, loss) for seed, loss in enumerate([3.0, 3.1, 3.2])]
    rows += [row("a", seed, loss) for seed, loss in enumerate([2.5, 2.6, 2.7])]
    rows += [row("b", 0, 2.9), row("failed", 0, None), row("a", 0, 1.0, steps=10)]
    a, b, start = retrained(rows)
    assert (a.name, b.name, start.name) == ("a", "b", START)
    assert a.losses == (2.5, 2.6, 2.7) and a.mean == pytest.approx(2.6)
    # Both have the variance 0.01, so Student's t of 4 degrees of freedom: 2.776 is its quantile.
    half = 2.7764 * (0.01 / 3 + 0.01 / 3) ** 0.5
    assert a.gain == pytest.approx(0.5)
    assert a.interval == pytest.approx((0.5 - half, 0.5 + half), abs=1e-4)
    assert b.gain == pytest.approx(0.2) and b.interval is None
    assert start.gain == 0 and start.interval is None
    assert retrained([]) == [] and retrained(rows[3:]) == []


def test_the_page_has_it(folder):
    assert "Trained again" not in write_page(folder).read_text(encoding="utf-8")
    rows = [row(name, seed, loss) for name, seed, loss in [(START, 1, 3.0), (START, 2, 3.5)]]
    rows += [row("evolution 0", 1, 2.0), row("evolution 0", 2, 2.5)]
    (folder / FILE).write_text(json.dumps(rows))
    text = write_page(folder).read_text(encoding="utf-8")
    assert "Trained again" in text and "+1.0000" in text and " to +" in text
    (folder / FILE).write_text("[")
    with pytest.raises(UserError, match="retrained.json is damaged"):
        write_page(folder)


def test_nothing_to_train(tmp_path):
    (tmp_path / CONFIG_FILE).write_text(CONFIG.to_json())
    with pytest.raises(UserError, match="fully trained yet"):
        retrain(tmp_path, 1, 70)
