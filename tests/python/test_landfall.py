"""The job's own side: its arguments, the reader role's credentials, and reading the inputs."""

from __future__ import annotations

import datetime as dt
import io
import logging
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.response import StreamingBody
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

import landfall
from job_side import AWKWARD_KEYS, MANIFEST, READER, REGION, TABLE, batch


def words(**changed: str | None) -> list[str]:
    """A command line as Glue makes it, with Landfall's arguments changed or (None) left out."""
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
        landfall.arguments(argv)
    assert all(problem in str(raised.value) for problem in raised.value.problems)
    return raised.value.problems


# Arguments


def test_the_batch_is_what_landfall_passed() -> None:
    assert landfall.arguments([*words(), "--dt", "2026-01-01"]) == landfall.Batch(
        batch_id="orders-1",
        epoch=2,
        manifest="s3://acme-landfall/manifests/orders-1.json",
        claims_table="arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims",
        reader_role="arn:aws:iam::111111111111:role/landfall/landfall-reader",
        region="eu-west-1",
        arguments={"dt": "2026-01-01"},
    )


@pytest.mark.parametrize("epoch", ["1", "9999999999"])
def test_an_epoch_is_a_whole_number_from_one(epoch: str) -> None:
    assert landfall.arguments(words(epoch=epoch)).epoch == int(epoch)


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
    assert landfall.arguments([script, *pairs, *own]).arguments == others
    assert landfall.arguments([script, *own, *pairs]).arguments == others


@given(st.lists(st.text(max_size=30)))
def test_no_command_line_does_anything_but_give_a_batch_or_an_argument_error(
    argv: list[str],
) -> None:
    with pytest.raises(landfall.ArgumentError):
        landfall.arguments(argv)


def test_what_glue_adds_does_not_get_in_the_way() -> None:
    script, *own = words()
    argv = [script, "true", "--job-bookmark-option", "job-bookmark-disable", "--flag", *own]
    argv += ["--TempDir", "s3://temporary/", "--enable-metrics"]
    assert landfall.arguments(argv).arguments == {
        "job-bookmark-option": "job-bookmark-disable",
        "flag": "",
        "TempDir": "s3://temporary/",
        "enable-metrics": "",
    }


def test_an_abbreviated_name_is_another_argument() -> None:
    found = landfall.arguments([*words(), "--land", "x", "--landfall", "y"])
    assert found.arguments == {"land": "x", "landfall": "y"}


def test_an_argument_of_a_later_landfall_is_not_the_routes() -> None:
    found = landfall.arguments([*words(), "--landfall-later", "3"])
    assert found.arguments == {}


def test_every_problem_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
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
        "no region: `AWS_REGION` and `AWS_DEFAULT_REGION` are not set",
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


# The reader role


class Sts:
    """The STS clients that are made, each stubbed to grant sessions that last `lifetime`."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, lifetime: dt.timedelta, **asked: str
    ) -> None:
        self.calls = 0
        self.endpoints: set[str] = set()
        create = botocore.session.Session.create_client

        def create_client(session: Any, service: str, *args: Any, **kwargs: Any) -> Any:
            client = create(session, service, *args, **kwargs)
            if service == "sts":
                self.endpoints.add(client.meta.endpoint_url)
                monkeypatch.setattr(client, "assume_role", self.counted(client, lifetime, asked))
            return client

        monkeypatch.setattr(botocore.session.Session, "create_client", create_client)

    def counted(self, client: Any, lifetime: dt.timedelta, asked: dict[str, str]) -> Any:
        assume_role = client.assume_role

        def call(**request: Any) -> Any:
            self.calls += 1
            expected = {
                "RoleArn": READER,
                "RoleSessionName": "landfall-orders-1",
                "DurationSeconds": 3600,
                **asked,
            }
            granted = {
                "AccessKeyId": f"ASIAOFTHEREADER{self.calls}",
                "SecretAccessKey": "secret-of-the-reader",
                "SessionToken": "token-of-the-reader",
                "Expiration": dt.datetime.now(dt.UTC) + lifetime,
            }
            with Stubber(client) as stub:
                stub.add_response("assume_role", {"Credentials": granted}, expected)
                return assume_role(**request)

        return call


def test_the_reader_role_is_assumed_once_while_its_session_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sts = Sts(monkeypatch, dt.timedelta(hours=1))
    session = landfall.reader_session(batch())
    assert sts.calls == 0
    for _ in range(3):
        frozen = session.get_credentials().get_frozen_credentials()
        assert frozen.access_key == "ASIAOFTHEREADER1"
    assert session.region_name == REGION
    assert sts.calls == 1


def test_the_reader_role_is_assumed_again_before_its_session_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sts = Sts(monkeypatch, dt.timedelta(minutes=5))
    credentials = landfall.reader_session(batch()).get_credentials()
    keys = [credentials.get_frozen_credentials().access_key for _ in range(3)]
    assert keys == ["ASIAOFTHEREADER1", "ASIAOFTHEREADER2", "ASIAOFTHEREADER3"]
    assert sts.calls == 3


def test_clients_of_the_reader_sign_with_the_reader_roles_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sts = Sts(monkeypatch, dt.timedelta(hours=1))
    s3 = landfall.reader_session(batch()).client("s3")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    assert "ASIAOFTHEREADER1" in url
    assert sts.calls == 1


def test_the_role_is_assumed_at_the_regions_own_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    sts = Sts(monkeypatch, dt.timedelta(hours=1))
    landfall.reader_session(batch()).get_credentials().get_frozen_credentials()
    assert sts.endpoints == {"https://sts.eu-west-1.amazonaws.com"}


def test_the_external_id_is_passed_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sts = Sts(monkeypatch, dt.timedelta(hours=1), ExternalId="shared-secret")
    landfall.reader_session(batch(), "shared-secret").get_credentials().get_frozen_credentials()
    assert sts.calls == 1


def test_a_refused_role_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sts = Sts(monkeypatch, dt.timedelta(hours=1))

    def refuse(**request: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole")

    monkeypatch.setattr(sts, "counted", lambda *_: refuse)
    session = landfall.reader_session(batch(), "shared-secret")
    with pytest.raises(landfall.ReaderRoleError) as raised:
        session.client("s3").list_buckets()
    assert str(raised.value) == (
        f"failed to assume role `{READER}` as `landfall-orders-1`: AccessDenied"
    )
    assert isinstance(raised.value.__cause__, ClientError)
    assert "shared-secret" not in caplog.text


def test_an_external_id_that_is_none_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="the external ID is not one") as raised:
        landfall.reader_session(batch(), "no secret")
    assert "no secret" not in str(raised.value)


def test_nothing_shows_a_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    Sts(monkeypatch, dt.timedelta(hours=1), ExternalId="shared-secret")
    session = landfall.reader_session(batch(), "shared-secret")
    credentials = session.get_credentials()
    credentials.get_frozen_credentials()
    shown = repr([session, credentials, session.client("s3"), batch()]) + caplog.text
    for secret in ("shared-secret", "secret-of-the-reader", "token-of-the-reader"):
        assert secret not in shown


@given(st.text(min_size=1, max_size=200))
def test_a_session_name_is_always_valid(batch_id: str) -> None:
    name = landfall.session_name(batch_id)
    assert name.startswith("landfall-")
    assert 2 <= len(name) <= 64
    assert all(c.isascii() and (c.isalnum() or c in "_+=,.@-") for c in name)


def test_session_names_tell_batches_apart() -> None:
    ids = ["a/b", "a-b", "a b", "x" * 60, "x" * 61, "x" * 62]
    assert landfall.session_name("a-b") == "landfall-a-b"
    assert len({landfall.session_name(batch_id) for batch_id in ids}) == len(ids)


# Reading


def read(item: landfall.Input, expected: dict[str, Any], content: bytes = b"rows") -> bytes:
    """What `open_input` gives for an object that S3 has, if it asks S3 for just `expected`."""
    s3 = boto3.client("s3", region_name=REGION)
    with Stubber(s3) as stub:
        answer = {
            "Body": StreamingBody(io.BytesIO(content), len(content)),
            "ContentLength": len(content),
        }
        stub.add_response(
            "get_object", answer, {"Bucket": item.bucket, "Key": item.key, **expected}
        )
        with landfall.open_input(s3, item) as body:
            return body.read()


def refused(item: landfall.Input, code: str, status: int) -> landfall.InputError:
    s3 = boto3.client("s3", region_name=REGION)
    with Stubber(s3) as stub:
        stub.add_client_error("get_object", code, "words of S3", status)
        with pytest.raises(landfall.InputError) as raised:
            landfall.open_input(s3, item)
    assert isinstance(raised.value.__cause__, ClientError)
    return raised.value


def test_a_versioned_object_is_read_by_its_version() -> None:
    item = landfall.Input("b", "k", 4, "v1", "e1")
    assert read(item, {"VersionId": "v1"}) == b"rows"


def test_an_unversioned_object_is_read_only_if_it_is_the_one_that_arrived() -> None:
    item = landfall.Input("b", "k", 4, None, "e1")
    assert read(item, {"IfMatch": '"e1"'}) == b"rows"


def test_a_null_version_is_overwritten_in_place_and_so_compared() -> None:
    item = landfall.Input("b", "k", 4, "null", "e1")
    assert read(item, {"VersionId": "null", "IfMatch": '"e1"'}) == b"rows"


def test_an_object_of_which_nothing_is_known_is_read_as_it_is() -> None:
    assert read(landfall.Input("b", "k"), {}) == b"rows"


@pytest.mark.parametrize("key", AWKWARD_KEYS)
def test_awkward_keys_are_asked_for_exactly(key: str) -> None:
    assert read(landfall.Input("b", key), {}) == b"rows"


@pytest.mark.parametrize(
    ("code", "status", "why"),
    [
        ("PreconditionFailed", 412, "overwritten"),
        ("NoSuchKey", 404, "deleted"),
        ("NoSuchVersion", 404, "deleted"),
    ],
)
def test_an_object_that_changed_is_an_error_of_its_own(code: str, status: int, why: str) -> None:
    error = refused(landfall.Input("b", "in/a.csv", 4, None, "e1"), code, status)
    assert isinstance(error, landfall.InputChanged)
    assert str(error) == f"failed to read `s3://b/in/a.csv`: it was {why} since it arrived"


def test_a_refused_read_names_the_object_and_the_code() -> None:
    error = refused(landfall.Input("b", "in/a\n.csv"), "AccessDenied", 403)
    assert not isinstance(error, landfall.InputChanged)
    assert str(error) == "failed to read `s3://b/in/a\\n.csv`: AccessDenied"


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ReadTimeoutError(endpoint_url="https://s3"), "ReadTimeoutError"),
        (landfall.ReaderRoleError("failed to assume role `r`"), "failed to assume role `r`"),
    ],
)
def test_a_read_without_an_answer_names_the_object_and_the_reason(
    monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    s3 = boto3.client("s3", region_name=REGION)

    def fail(**request: Any) -> None:
        raise error

    monkeypatch.setattr(s3, "get_object", fail)
    with pytest.raises(landfall.InputError) as raised:
        landfall.open_input(s3, landfall.Input("b", "k"))
    assert str(raised.value) == f"failed to read `s3://b/k`: {why}"


def test_an_object_of_another_size_has_changed() -> None:
    with pytest.raises(landfall.InputChanged, match="it has 4 bytes, and had 5 when it arrived"):
        read(landfall.Input("b", "k", 5), {})


def test_a_batch_is_a_value() -> None:
    assert batch() == batch()
    with pytest.raises(AttributeError):
        batch().batch_id = "other"  # type: ignore[misc]
