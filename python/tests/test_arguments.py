"""The library reads the job's arguments, whatever they look like."""

from __future__ import annotations

import argparse
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

import landfall
from job_side import MANIFEST, READER, TABLE
from landfall import _arguments


def words(**changed: str | None) -> list[str]:
    """Returns Glue's command line, with Landfall's arguments changed or (if None) left out."""
    own = {
        "batch-id": "orders-1",
        "epoch": "2",
        "manifest": MANIFEST,
        "reader-role": READER,
        "claims-table": TABLE,
    }
    own.update({name.replace("_", "-"): value for name, value in changed.items()})
    pairs = [(f"--landfall-{name}", value) for name, value in own.items() if value is not None]
    return ["script.py", *(word for pair in pairs for word in pair)]


def problems(argv: list[str]) -> list[str]:
    with pytest.raises(landfall.ArgumentError) as raised:
        _arguments.read(argv)
    assert all(problem in str(raised.value) for problem in raised.value.problems)
    return raised.value.problems


def test_the_batch_is_what_landfall_passed() -> None:
    assert _arguments.read([*words(), "--dt", "2026-01-01"]) == _arguments.Arguments(
        batch_id="orders-1",
        epoch=2,
        manifest="s3://acme-landfall/manifests/orders-1.json",
        claims_table="arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims",
        reader_role="arn:aws:iam::111111111111:role/landfall/landfall-reader",
        region="eu-west-1",
        scope=None,
        arguments={"dt": "2026-01-01"},
    )


@pytest.mark.parametrize("epoch", ["1", "9999999999"])
def test_an_epoch_is_a_whole_number_from_one(epoch: str) -> None:
    assert _arguments.read(words(epoch=epoch)).epoch == int(epoch)


@pytest.mark.parametrize(
    "epoch", ["0", "-1", "+1", "01", "1.0", "1e3", " 1", "1\n", "\u0661", "9" * 20]
)
def test_what_is_not_quite_an_epoch_is_refused(epoch: str) -> None:
    assert problems(words(epoch=epoch)) == ["`--landfall-epoch` is not a whole number from 1"]


@pytest.mark.parametrize(
    "table",
    [
        "landfall-claims",
        f"{TABLE}/index/by-run",
        f"{TABLE}\n",
        TABLE.replace("111111111111", ""),
        TABLE.replace("dynamodb", "s3"),
        TABLE.replace("eu-west-1", "eu/west"),
    ],
)
def test_what_is_not_quite_a_tables_arn_is_refused(table: str) -> None:
    assert problems(words(claims_table=table)) == [
        "`--landfall-claims-table` is not the ARN of a table"
    ]


def test_a_claims_table_of_another_account_than_the_readers_is_refused() -> None:
    assert problems(words(claims_table=TABLE.replace("111111111111", "222222222222"))) == [
        "`--landfall-claims-table` is not in the account of the reader role"
    ]


@pytest.mark.parametrize("manifest", ["s3://", "s3://b", "s3://b/", "s3:///k", "b/k", "http://b/k"])
def test_what_is_not_quite_a_manifests_place_is_refused(manifest: str) -> None:
    assert problems(words(manifest=manifest)) == ["`--landfall-manifest` is not `s3://bucket/key`"]


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,20}", fullmatch=True).filter(
            lambda name: not name.startswith("landfall-")
        ),
        st.text(max_size=40).filter(lambda value: not value.startswith("--landfall-")),
    ),
    st.booleans(),
)
def test_any_value_of_another_argument_arrives_exactly(
    others: dict[str, str], joined: bool
) -> None:
    pairs = [
        word
        for name, value in others.items()
        for word in ([f"--{name}={value}"] if joined else [f"--{name}", value])
    ]
    script, *own = words()
    assert _arguments.read([script, *pairs, *own]).arguments == others
    assert _arguments.read([script, *own, *pairs]).arguments == others


@given(st.lists(st.text(max_size=30)))
def test_no_command_line_does_anything_but_give_a_batch_or_an_argument_error(
    argv: list[str],
) -> None:
    with pytest.raises(landfall.ArgumentError):
        _arguments.read(argv)


def test_what_glue_adds_does_not_get_in_the_way() -> None:
    script, *own = words()
    argv = [script, "true", "--job-bookmark-option", "job-bookmark-disable", "--flag", *own]
    argv += ["--TempDir", "s3://temporary/", "--enable-metrics"]
    assert _arguments.read(argv).arguments == {
        "job-bookmark-option": "job-bookmark-disable",
        "flag": "",
        "TempDir": "s3://temporary/",
        "enable-metrics": "",
    }


def test_an_abbreviated_name_is_another_argument() -> None:
    found = _arguments.read([*words(), "--land", "x", "--landfall", "y"])
    assert found.arguments == {"land": "x", "landfall": "y"}


def test_an_argument_of_a_later_landfall_is_not_the_routes() -> None:
    found = _arguments.read([*words(), "--landfall-later", "3"])
    assert found.arguments == {}


def test_a_scope_is_batch_or_not_there() -> None:
    assert _arguments.read(words()).scope is None
    assert _arguments.read(words(scope="batch")).scope == "batch"
    assert problems(words(scope="object")) == ["`--landfall-scope` is not `batch`"]
    assert problems(words(scope="")) == ["`--landfall-scope` is not `batch`"]


def test_without_a_region_of_the_job_the_tables_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    argv = words(claims_table=TABLE.replace("eu-west-1", "us-west-2"))
    assert _arguments.read(argv).region == "eu-west-1"
    monkeypatch.delenv("AWS_REGION")
    assert _arguments.read(argv).region == "eu-west-1"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert _arguments.read(argv).region == "us-west-2"


def test_every_problem_is_reported_at_once() -> None:
    argv = words(
        batch_id=None,
        epoch="first",
        manifest="manifests/orders-1.json",
        reader_role="landfall-reader",
        claims_table="",
    )
    assert problems(argv) == [
        "`--landfall-batch-id` is missing",
        "`--landfall-epoch` is not a whole number from 1",
        "`--landfall-manifest` is not `s3://bucket/key`",
        "`--landfall-reader-role` is not the ARN of a role",
        "`--landfall-claims-table` is empty",
    ]


def test_a_command_line_without_a_batch_says_all_that_is_missing() -> None:
    names = ("batch-id", "epoch", "manifest", "reader-role", "claims-table")
    assert problems(["script.py"]) == [f"`--landfall-{name}` is missing" for name in names]


def test_an_argument_given_twice_is_refused() -> None:
    assert problems([*words(), "--landfall-batch-id=other"]) == [
        "`--landfall-batch-id` is given twice"
    ]


def test_a_name_without_its_value_does_not_swallow_the_next_name() -> None:
    script, *own = words(batch_id=None)
    assert problems([script, "--landfall-batch-id", *own]) == ["`--landfall-batch-id` is empty"]


# Command lines as Glue makes them, with what `awsglue`'s `getResolvedOptions` and the library read
# from each. Wherever the former returns what was passed, the library returns the same.
TRAPS = {
    "a value": (["--dt", "2026-01-01"], {"dt": "2026-01-01"}, True),
    "a joined value": (["--dt=2026-01-01"], {"dt": "2026-01-01"}, True),
    "unicode": (["--stadt", "Zürich 東京"], {"stadt": "Zürich 東京"}, True),
    "an equals sign in a value": (["--conf", "a=b=c"], {"conf": "a=b=c"}, True),
    "JSON": (["--map", '{"a": ["b", 1]}'], {"map": '{"a": ["b", 1]}'}, True),
    "an empty value": (["--dt", ""], {"dt": ""}, True),
    "a negative number": (["--days", "-3"], {"days": "-3"}, True),
    # argparse takes these for names, and then ends the process or loses the value.
    "a value that begins with a dash": (["--glob", "-a*"], {"glob": "-a*"}, False),
    "a value that looks like a name": (["--note", "--force"], {"note": "--force"}, False),
    "a value that is another's name": (
        ["--one", "--two", "--two", "2"],
        {"one": "--two", "two": "2"},
        False,
    ),
    "two dashes as a value": (["--separator", "--"], {"separator": "--"}, False),
    # argparse takes the beginning of a name for the name, if no other name begins with it.
    "an abbreviation": (["--outp", "a", "--output", "b"], {"outp": "a", "output": "b"}, False),
    # Glue's own switches may have no value.
    "a switch of Glue without a value": (
        ["--enable-metrics", "--output", "s3://o/p"],
        {"enable-metrics": "", "output": "s3://o/p"},
        False,
    ),
    "a switch of Glue with an empty value": (
        ["--enable-metrics", "", "--output", "s3://o/p"],
        {"enable-metrics": "", "output": "s3://o/p"},
        False,
    ),
    "a switch of Glue with a value": (
        ["--enable-continuous-cloudwatch-log", "true", "--output", "s3://o/p"],
        {"enable-continuous-cloudwatch-log": "true", "output": "s3://o/p"},
        False,
    ),
    "two switches of Glue": (
        ["--enable-glue-datacatalog", "--enable-spark-ui", "--note", "--force"],
        {"enable-glue-datacatalog": "", "enable-spark-ui": "", "note": "--force"},
        False,
    ),
    # getResolvedOptions finds only names that you pass to it, and turns their dashes.
    "a dash in a name": (["--partition-by", "dt"], {"partition-by": "dt"}, False),
    "a name that nobody expects": (["--new", "1"], {"new": "1"}, False),
    "the last of two": (["--dt", "1", "--dt", "2"], {"dt": "2"}, True),
}


class Exits(Exception):
    """The error that `GlueArgumentParser.error` raises."""


def resolved(argv: list[str], names: list[str]) -> dict[str, str] | None:
    """Parses a command line with argparse, set up as in `getResolvedOptions`."""

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise Exits(message)

    parser = Parser()
    for name in names:
        parser.add_argument(f"--{name}", required=True)
    try:
        found, rest = parser.parse_known_args(argv[1:])
    except Exits:
        return None
    return vars(found) if not rest else None


@pytest.mark.parametrize(("given", "expected", "same"), TRAPS.values(), ids=TRAPS)
def test_what_awsglue_reads_is_read_the_same_and_its_traps_are_none(
    given: list[str], expected: dict[str, str], same: bool
) -> None:
    script, *own = words()
    assert _arguments.read([script, *given, *own]).arguments == expected
    expects = [name for name in expected if name not in ("outp", "new")]
    assert (resolved([script, *given], expects) == expected) is same


def test_an_abbreviation_binds_in_awsglue_and_hides_what_is_missing() -> None:
    assert resolved(["script.py", "--landfall-b", "x"], ["landfall-batch-id"]) == {
        "landfall_batch_id": "x"
    }
    own = words(batch_id=None)
    assert problems([*own, "--landfall-b", "x"]) == ["`--landfall-batch-id` is missing"]


def test_an_external_id_that_is_none_is_refused_and_not_shown() -> None:
    with pytest.raises(landfall.ArgumentError, match="the external ID is not valid") as raised:
        landfall.batch(words(), external_id="no secret")
    assert "no secret" not in str(raised.value)
