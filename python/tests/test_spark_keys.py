"""Which keys Spark can read: the library, and what fills in a route's arguments, decide alike."""

import json
from pathlib import Path

import pytest

import landfall
from landfall import _spark

KEYS = json.loads((Path(__file__).parents[2] / "tests/fixtures/spark-keys.json").read_text("utf-8"))


def _paths(key: str) -> list[str]:
    return _spark.paths([landfall.Object("landing", key)])


@pytest.mark.parametrize("key", KEYS["readable"])
def test_a_key_that_spark_can_read_has_a_path(key: str) -> None:
    assert len(_paths(key)) == 1


@pytest.mark.parametrize("key", KEYS["unreadable"])
def test_a_key_that_spark_cannot_read_has_no_path(key: str) -> None:
    with pytest.raises(landfall.PathError):
        _paths(key)
