"""The library's sessions of the reader role."""

from __future__ import annotations

import datetime as dt
import logging
import traceback
from collections.abc import Callable
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

import landfall
from job_side import READER, REGION
from landfall import _reader


def session(
    external_id: str | None = None, policy: Callable[[int], str] | None = None
) -> boto3.session.Session:
    return _reader.session(READER, "orders-1", REGION, external_id, policy)


class Sts:
    """Stubs each new STS client to grant sessions that last `lifetime`, and collects them."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, lifetime: dt.timedelta, **more: str
    ) -> None:
        self.calls = 0
        self.endpoints: set[str] = set()
        create = botocore.session.Session.create_client

        def create_client(session: Any, service: str, *args: Any, **kwargs: Any) -> Any:
            client = create(session, service, *args, **kwargs)
            if service == "sts":
                self.endpoints.add(client.meta.endpoint_url)
                monkeypatch.setattr(client, "assume_role", self.counted(client, lifetime, more))
            return client

        monkeypatch.setattr(botocore.session.Session, "create_client", create_client)

    def counted(self, client: Any, lifetime: dt.timedelta, more: dict[str, str]) -> Any:
        assume_role = client.assume_role

        def call(**request: Any) -> Any:
            self.calls += 1
            expected = {
                "RoleArn": READER,
                "RoleSessionName": "landfall-orders-1",
                "DurationSeconds": 3600,
                **more,
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
    made = session()
    assert sts.calls == 0
    for _ in range(3):
        frozen = made.get_credentials().get_frozen_credentials()
        assert frozen.access_key == "ASIAOFTHEREADER1"
    assert made.region_name == REGION
    assert sts.calls == 1


def test_the_reader_role_is_assumed_again_before_its_session_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sts = Sts(monkeypatch, dt.timedelta(minutes=5))
    credentials = session().get_credentials()
    keys = [credentials.get_frozen_credentials().access_key for _ in range(3)]
    assert keys == ["ASIAOFTHEREADER1", "ASIAOFTHEREADER2", "ASIAOFTHEREADER3"]
    assert sts.calls == 3


def test_clients_of_the_reader_sign_with_the_reader_roles_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sts = Sts(monkeypatch, dt.timedelta(hours=1))
    s3 = session().client("s3")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    assert "ASIAOFTHEREADER1" in url
    assert sts.calls == 1


class Sent(Exception):
    """Raised in the place of sending a request."""


def owner_that_is_expected(call: Callable[[Any], Any]) -> str | None:
    """Returns the bucket owner that a request of the reader's session expects."""
    s3 = session().client("s3")
    seen: list[str | None] = []

    def stop(request: Any, **_: Any) -> None:
        value = request.headers.get("x-amz-expected-bucket-owner")
        seen.append(value.decode() if isinstance(value, bytes) else value)
        raise Sent

    s3.meta.events.register("before-send.s3", stop)
    with pytest.raises(Sent):
        call(s3)
    return seen[0]


@pytest.mark.parametrize(
    "call",
    [
        lambda s3: s3.get_object(Bucket="b", Key="k"),
        lambda s3: s3.head_object(Bucket="b", Key="k"),
        lambda s3: s3.list_objects_v2(Bucket="b"),
        lambda s3: list(s3.get_paginator("list_object_versions").paginate(Bucket="b")),
        lambda s3: s3.put_object(Bucket="b", Key="k", Body=b""),
        lambda s3: s3.get_object(**landfall.Object("b", "k").request),
    ],
)
def test_every_request_for_a_bucket_expects_it_to_be_of_the_readers_account(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[Any], Any]
) -> None:
    Sts(monkeypatch, dt.timedelta(hours=1))
    assert owner_that_is_expected(call) == READER.split(":")[4]


def test_who_expects_another_owner_is_not_contradicted(monkeypatch: pytest.MonkeyPatch) -> None:
    Sts(monkeypatch, dt.timedelta(hours=1))
    other = "999999999999"
    assert other == owner_that_is_expected(
        lambda s3: s3.get_object(Bucket="b", Key="k", ExpectedBucketOwner=other)
    )
    # No header, because whoever opens the URL would have to send it.
    url = session().client("s3").generate_presigned_url("get_object", {"Bucket": "b", "Key": "k"})
    assert "expected-bucket-owner" not in url


def test_a_call_that_names_no_bucket_is_sent_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    Sts(monkeypatch, dt.timedelta(hours=1))
    assert owner_that_is_expected(lambda s3: s3.list_buckets()) is None


def test_the_role_is_assumed_at_the_regions_own_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    sts = Sts(monkeypatch, dt.timedelta(hours=1))
    session().get_credentials().get_frozen_credentials()
    assert sts.endpoints == {"https://sts.eu-west-1.amazonaws.com"}


def test_the_external_id_is_passed_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sts = Sts(monkeypatch, dt.timedelta(hours=1), ExternalId="shared-secret")
    session("shared-secret").get_credentials().get_frozen_credentials()
    assert sts.calls == 1


def test_a_refused_role_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sts = Sts(monkeypatch, dt.timedelta(hours=1))

    def refuse(**request: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole")

    monkeypatch.setattr(sts, "counted", lambda *_: refuse)
    made = session("shared-secret")
    with pytest.raises(landfall.ReaderRoleError) as raised:
        made.client("s3").list_buckets()
    assert str(raised.value) == (
        f"failed to assume role `{READER}` as `landfall-orders-1`: AccessDenied"
    )
    assert isinstance(raised.value.__cause__, ClientError)
    assert "shared-secret" not in caplog.text


def test_nothing_shows_a_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    Sts(monkeypatch, dt.timedelta(hours=1), ExternalId="shared-secret")
    made = session("shared-secret")
    credentials = made.get_credentials()
    credentials.get_frozen_credentials()
    shown = repr([made, credentials, made.client("s3")]) + caplog.text
    for secret in ("shared-secret", "secret-of-the-reader", "token-of-the-reader"):
        assert secret not in shown


@given(st.text(min_size=1, max_size=200))
def test_a_session_name_is_always_valid(batch_id: str) -> None:
    name = _reader.session_name(batch_id)
    assert name.startswith("landfall-")
    assert 2 <= len(name) <= 64
    assert all(c.isascii() and (c.isalnum() or c in "_+=,.@-") for c in name)


def test_session_names_tell_batches_apart() -> None:
    ids = ["a/b", "a-b", "a b", "x" * 60, "x" * 61, "x" * 62]
    assert _reader.session_name("a-b") == "landfall-a-b"
    # CloudTrail shows the whole batch ID, in the current form and in that of the version before.
    former = "899bfd94d19c4ed05147d6815125b225"
    for batch_id in f"222222222222-{former}", former:
        assert _reader.session_name(batch_id) == f"landfall-{batch_id}"
    assert len({_reader.session_name(batch_id) for batch_id in ids}) == len(ids)


# Narrowed by a session policy


def test_a_session_that_is_narrowed_passes_its_policy_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sts = Sts(monkeypatch, dt.timedelta(minutes=5), Policy="narrow 2048")
    credentials = session(policy="narrow {}".format).get_credentials()
    for _ in range(2):
        credentials.get_frozen_credentials()
    assert sts.calls == 2


def test_a_policy_that_sts_cannot_pack_is_written_again_in_half(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policies = refusing(monkeypatch, "PackedPolicyTooLarge", until="narrow 1024")
    session(policy="narrow {}".format).get_credentials().get_frozen_credentials()
    assert policies == ["narrow 2048", "narrow 1024"]


def test_a_policy_that_sts_cannot_pack_in_half_either_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policies = refusing(monkeypatch, "PackedPolicyTooLarge", until="never")
    with pytest.raises(landfall.ReaderRoleError, match=r": PackedPolicyTooLarge$"):
        session(policy="narrow {}".format).get_credentials().get_frozen_credentials()
    assert policies == ["narrow 2048", "narrow 1024"]


def refusing(monkeypatch: pytest.MonkeyPatch, code: str, until: str) -> list[str]:
    """Makes STS reject every policy except `until`, and returns the policies that it gets."""
    sts = Sts(monkeypatch, dt.timedelta(hours=1))
    policies: list[str] = []

    def call(Policy: str, **_: Any) -> dict[str, Any]:
        policies.append(Policy)
        if Policy != until:
            raise ClientError({"Error": {"Code": code, "Message": Policy}}, "AssumeRole")
        granted = {
            "AccessKeyId": "ASIA",
            "SecretAccessKey": "secret",
            "SessionToken": "token",
            "Expiration": dt.datetime.now(dt.UTC) + dt.timedelta(hours=1),
        }
        return {"Credentials": granted}

    monkeypatch.setattr(sts, "counted", lambda *_: call)
    return policies


# What leaves this machine


def test_a_message_of_sts_that_repeats_the_external_id_is_not_even_the_cause(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sts = Sts(monkeypatch, dt.timedelta(hours=1))

    def refuse(**request: Any) -> None:
        message = f"Value '{request['ExternalId']}' at 'externalId' failed"
        raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "AssumeRole")

    monkeypatch.setattr(sts, "counted", lambda *_: refuse)
    secret = "shared-" + "secret"  # The traceback quotes these lines.
    with pytest.raises(landfall.ReaderRoleError) as raised:
        session(secret).client("s3").list_buckets()
    shown = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert "ValidationError" in shown
    assert secret not in shown


@pytest.mark.parametrize(
    "url", ["http://s3.example.com", "http://10.0.0.1:9000", "http://127.0.0.1.example.com"]
)
def test_no_request_leaves_this_machine_without_tls(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    sts = Sts(monkeypatch, dt.timedelta(hours=1))
    s3 = session().client("s3", endpoint_url=url)
    with pytest.raises(landfall.EndpointError, match="it is not HTTPS"):
        s3.get_object(Bucket="acme-landing", Key="k")
    assert sts.calls == 0


def test_the_role_itself_is_asked_for_with_tls_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://sts.example.com")
    with pytest.raises(landfall.ReaderRoleError, match="it is not HTTPS") as raised:
        session("shared-secret").get_credentials().get_frozen_credentials()
    assert isinstance(raised.value.__cause__, landfall.EndpointError)
