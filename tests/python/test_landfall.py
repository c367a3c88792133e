"""The job's own side: its arguments, the reader role's credentials, and reading the inputs."""

from __future__ import annotations

import datetime as dt
import io
import json
import logging
from dataclasses import asdict
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

import landfall

ROLE = "arn:aws:iam::111111111111:role/landfall/landfall-reader"
REGION = "eu-west-1"
AWKWARD_KEYS = [
    "in/a b.csv",
    "in/a+b%2Bc%20d%.csv",
    "dt=2026-01-01/x=y==.csv",
    "what?version=1#part&amp;",
    "//leading//and/./../dots",
    "Zürich/東京/🌧️/\u202e.csv",
    "quote\"back\\slash'tick`.csv",
    "line\nbreak\ttab\x7f",
    "--landfall-batch-id",
    "s3://bucket/key",
    "k" * 1024,
]


@pytest.fixture(autouse=True)
def _in_a_region_and_with_no_credentials_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    nowhere = tmp_path_factory.getbasetemp() / "nowhere"
    for name, value in {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "AKIAOFTHEJOB",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-job",
        "AWS_CONFIG_FILE": str(nowhere),
        "AWS_SHARED_CREDENTIALS_FILE": str(nowhere),
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


def entry(key: str = "in/a.csv", **more: Any) -> dict[str, Any]:
    return {"url": f"s3://acme-landing/{key}", "mandatory": True, **more}


def words(*entries: dict[str, Any], **changed: str | None) -> list[str]:
    """A command line as Glue makes it, with Landfall's arguments changed or (None) left out."""
    own = {
        "batch-id": "orders-1",
        "reader-role": ROLE,
        "inputs": json.dumps({"entries": list(entries) or [entry()]}),
    }
    own.update({name.replace("_", "-"): value for name, value in changed.items()})
    pairs = [(f"--landfall-{name}", value) for name, value in own.items() if value is not None]
    return ["script.py", *(word for pair in pairs for word in pair)]


def batch(batch_id: str = "orders-1") -> landfall.Batch:
    return landfall.Batch(batch_id, ROLE, REGION, (landfall.Input("b", "k"),), {})


def problems(argv: list[str]) -> list[str]:
    with pytest.raises(landfall.ArgumentError) as raised:
        landfall.arguments(argv)
    assert all(problem in str(raised.value) for problem in raised.value.problems)
    return raised.value.problems


# Arguments


def test_the_batch_is_what_landfall_passed() -> None:
    found = landfall.arguments(
        [
            *words(
                entry("in/a.csv", meta={"content_length": 7}, version_id="v1", etag="e1"),
                entry("in/b.csv"),
            ),
            "--dt",
            "2026-01-01",
        ]
    )
    assert found == landfall.Batch(
        batch_id="orders-1",
        reader_role=ROLE,
        region=REGION,
        inputs=(
            landfall.Input("acme-landing", "in/a.csv", 7, "v1", "e1"),
            landfall.Input("acme-landing", "in/b.csv", None, None, None),
        ),
        arguments={"dt": "2026-01-01"},
    )
    assert found.inputs[0].url == "s3://acme-landing/in/a.csv"


@pytest.mark.parametrize("key", AWKWARD_KEYS)
def test_awkward_keys_arrive_exactly(key: str) -> None:
    (found,) = landfall.arguments(words(entry(key))).inputs
    assert (found.bucket, found.key) == ("acme-landing", key)
    assert found.url == f"s3://acme-landing/{key}"


@given(st.text(min_size=1, max_size=256))
def test_any_key_arrives_exactly(key: str) -> None:
    (found,) = landfall.arguments(words(entry(key))).inputs
    assert found.key == key


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


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["url", "meta", "content_length", "version_id", "etag"]), inner
            )
        ),
    )
)
def test_no_manifest_does_anything_but_give_inputs_or_an_argument_error(value: Any) -> None:
    for manifest in (value, {"entries": value}, {"entries": [value]}):
        try:
            found = landfall.arguments(words(inputs=json.dumps(manifest)))
        except landfall.ArgumentError:
            continue
        assert found.inputs


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
    found = landfall.arguments([*words(), "--landfall-epoch", "3"])
    assert found.arguments == {}


def test_unknown_fields_of_a_manifest_are_left_alone() -> None:
    (found,) = landfall.arguments(words(entry(later=1, meta={"record_count": 1}))).inputs
    assert found == landfall.Input("acme-landing", "in/a.csv")


def test_a_quoted_etag_is_the_same_etag() -> None:
    (found,) = landfall.arguments(words(entry(etag='"abc"'))).inputs
    assert found.etag == "abc"


def test_every_problem_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    argv = words(
        entry(meta={"content_length": -1}),
        {"url": "https://acme-landing/in/a.csv"},
        {"url": "s3://acme-landing/"},
        entry("k" * 1025),
        entry(version_id=7, etag=""),
        batch_id=None,
        reader_role="landfall-reader",
    )
    assert problems(argv) == [
        "`--landfall-batch-id` is missing",
        "`--landfall-reader-role` is not the ARN of a role",
        "`--landfall-inputs` entry 0: `meta.content_length` is not a number of bytes",
        "`--landfall-inputs` entry 1: `url` is not `s3://bucket/key`",
        "`--landfall-inputs` entry 2: `url` is not `s3://bucket/key`",
        "`--landfall-inputs` entry 3: `url` has no valid object key",
        "`--landfall-inputs` entry 4: `version_id` is not a text",
        "`--landfall-inputs` entry 4: `etag` is not a text",
        "no region: `AWS_REGION` and `AWS_DEFAULT_REGION` are not set",
    ]


@pytest.mark.parametrize(
    ("manifest", "problem"),
    [
        ("", "`--landfall-inputs` is empty"),
        ("[" * 100_000, "`--landfall-inputs` is not JSON"),
        ("{'entries': []}", "`--landfall-inputs` is not JSON"),
        ("[]", "`--landfall-inputs` has no `entries`"),
        ('{"entries": []}', "`--landfall-inputs` has no `entries`"),
        ('{"entries": [null]}', "`--landfall-inputs` entry 0 is not an object"),
        (
            '{"entries": [{"url": "s3://b/\\ud800"}]}',
            "`--landfall-inputs` entry 0: `url` has no valid object key",
        ),
    ],
)
def test_an_ill_formed_manifest_is_one_clear_problem(manifest: str, problem: str) -> None:
    assert problems(words(inputs=manifest)) == [problem]


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
                "RoleArn": ROLE,
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
        f"failed to assume role `{ROLE}` as `landfall-orders-1`: AccessDenied"
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


def test_an_object_of_another_size_has_changed() -> None:
    with pytest.raises(landfall.InputChanged, match="it has 4 bytes, and had 5 when it arrived"):
        read(landfall.Input("b", "k", 5), {})


def test_a_batch_is_a_value() -> None:
    assert batch() == batch()
    assert asdict(batch().inputs[0])["key"] == "k"
    with pytest.raises(AttributeError):
        batch().batch_id = "other"  # type: ignore[misc]
