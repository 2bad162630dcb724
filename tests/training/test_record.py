"""What a resumed run may change, also of one that an older version has started."""

import json

import pytest

from primer_tf.errors import UserError
from primer_tf.training.record import read_record, write_record

DEFAULTS = {"steps": 100, "optimizer": "adafactor", "max_restarts": 0, "vocabulary": None}


def write(folder, resume=False, **changes):
    write_record({**DEFAULTS, **changes}, DEFAULTS, folder, b"vocabulary", "digest", resume)


def test_what_may_change(tmp_path):
    write(tmp_path)
    write(tmp_path, resume=True, steps=200, max_restarts=3)
    assert read_record(tmp_path)["steps"] == 200
    with pytest.raises(UserError, match="optimizer was 'adafactor', not 'adamw'"):
        write(tmp_path, resume=True, optimizer="adamw")
    assert read_record(tmp_path)["optimizer"] == "adafactor"


def test_a_record_without_a_setting_has_its_default(tmp_path):
    write(tmp_path)
    record = read_record(tmp_path)
    del record["optimizer"]
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="optimizer was 'adafactor', not 'adamw'"):
        write(tmp_path, resume=True, optimizer="adamw")
    write(tmp_path, resume=True)
    assert read_record(tmp_path)["optimizer"] == "adafactor"
