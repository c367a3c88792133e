"""The library claims the batch, in the emulator's DynamoDB with IAM on."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from botocore.httpsession import URLLib3Session
from botocore.stub import Stubber
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import landfall
from emulator import ANALYTICS, DATA, GLUE, REGION, Emulator, allow, role, trust
from job_side import arguments
from landfall import _claim, _reader
from landfall._arguments import Arguments

NAME = "claims-of-jobs"
TABLE = f"arn:aws:dynamodb:{REGION}:{DATA}:table/{NAME}"


def process() -> ModuleType:
    """Loads the claims module again, with another nonce, as another process would."""
    spec = importlib.util.spec_from_file_location("landfall._claim", _claim.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def session_of(one: Arguments) -> boto3.session.Session:
    return _reader.session(one.reader_role, one.batch_id, one.region)


class Claims:
    """The claims table, and a reader role that may claim in it."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.root = emulator.client("dynamodb", DATA)
        create_table(self.root)
        assume = allow("sts:AssumeRole", f"arn:aws:iam::{DATA}:role/*")
        self.job = role(emulator, ANALYTICS, "claiming-job", GLUE, assume)
        self.reader = self.role("claiming-reader", allow("dynamodb:UpdateItem", TABLE))

    def role(self, name: str, policy: str) -> str:
        trusted = trust(
            Principal={"AWS": f"arn:aws:iam::{ANALYTICS}:root"},
            Condition={"ArnEquals": {"aws:PrincipalArn": self.job}},
        )
        return role(self.emulator, DATA, name, trusted, policy)

    def batch(self, batch_id: str, epoch: int = 1, **changed: Any) -> Arguments:
        named = {"claims_table": TABLE, "reader_role": self.reader, **changed}
        return arguments(batch_id, epoch, **named)

    def claim(
        self, batch_id: str, epoch: int = 1, side: ModuleType = _claim, **changed: Any
    ) -> bool:
        """Claims the batch as a process of that epoch's run, and returns the answer."""
        one = self.batch(batch_id, epoch, **changed)
        return side.claim(one, session_of(one))

    def fence(self, batch_id: str, epoch: int = 1, side: ModuleType = _claim) -> bool:
        one = self.batch(batch_id, epoch)
        return side.fence(one, session_of(one))

    def end(self, batch_id: str, epoch: int) -> None:
        """Records that all runs up to that epoch have ended, as the monitor does."""
        with contextlib.suppress(self.root.exceptions.ConditionalCheckFailedException):
            self.root.update_item(
                TableName=NAME,
                Key={"batch_id": {"S": batch_id}},
                UpdateExpression="SET ended = :epoch",
                ConditionExpression="attribute_not_exists(ended) OR ended < :epoch",
                ExpressionAttributeValues={":epoch": {"N": str(epoch)}},
            )

    def item(self, batch_id: str) -> dict[str, Any]:
        key = {"batch_id": {"S": batch_id}}
        return self.root.get_item(TableName=NAME, Key=key, ConsistentRead=True)["Item"]


def create_table(dynamodb: Any) -> None:
    dynamodb.create_table(
        TableName=NAME,
        KeySchema=[{"AttributeName": "batch_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "batch_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.fixture(scope="module")
def table(launched: Emulator) -> Claims:
    return Claims(launched)


@pytest.fixture
def claims(table: Claims, monkeypatch: pytest.MonkeyPatch) -> Claims:
    """Makes the table, and gives this process the job role's credentials."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", table.emulator.url)
    for name, value in table.emulator.session_of(ANALYTICS, "claiming-job").items():
        monkeypatch.setenv(name.upper(), value)
    return table


def test_the_first_to_claim_a_batch_holds_it(claims: Claims) -> None:
    assert claims.claim("first", 3)
    item = claims.item("first")
    assert set(item) == {"batch_id", "holder", "epoch", "claimed_at", "expires"}
    assert re.fullmatch(r"3#[0-9a-f]{32}", item["holder"]["S"])
    assert item["epoch"] == {"N": "3"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", item["claimed_at"]["S"])


def test_a_claim_is_kept_as_long_as_the_ledger_remembers_arrivals_and_not_for_ever(
    claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = int(time.time())
    assert claims.claim("kept")
    expires = int(claims.item("kept")["expires"]["N"])
    assert before <= expires - 400 * 86_400 <= time.time()
    # The next claim makes it last longer.
    claims.end("kept", 1)
    later = time.time() + 1_000
    monkeypatch.setattr(_claim, "time", SimpleNamespace(time=lambda: later))
    assert claims.claim("kept", 2)
    assert claims.item("kept")["expires"] == {"N": str(int(later) + 400 * 86_400)}


def test_a_second_process_of_the_same_epoch_loses_and_changes_nothing(claims: Claims) -> None:
    assert claims.claim("twice")
    held = claims.item("twice")
    assert not claims.claim("twice", side=process())
    assert claims.item("twice") == held


def test_the_fence_lets_the_holder_through_until_its_epoch_has_ended(claims: Claims) -> None:
    assert claims.claim("fenced", 2)
    claims.end("fenced", 1)
    assert [claims.fence("fenced", 2) for _ in range(2)] == [True] * 2
    held = claims.item("fenced")
    claimed = {"batch_id", "holder", "epoch", "claimed_at", "expires"}
    assert set(held) == {*claimed, "ended", "fenced_at"}
    # Another process, another epoch, and a batch that nobody has claimed.
    assert not claims.fence("fenced", 2, side=process())
    assert not claims.fence("fenced", 3)
    assert not claims.fence("unclaimed")
    assert claims.item("fenced") == held
    # No other run has claimed it yet, but any could.
    claims.end("fenced", 2)
    assert not claims.fence("fenced", 2)


def test_the_fence_stops_a_holder_whose_batch_the_next_epoch_has(claims: Claims) -> None:
    late = process()
    assert claims.claim("fenced-off", side=late)
    assert claims.fence("fenced-off", side=late)
    claims.end("fenced-off", 1)
    assert claims.claim("fenced-off", 2)
    assert "fenced_at" not in claims.item("fenced-off")
    assert not claims.fence("fenced-off", side=late)
    assert claims.fence("fenced-off", 2)


def test_a_fence_without_an_answer_lets_nobody_through(claims: Claims) -> None:
    assert claims.claim("unanswered")
    no = claims.role("fenceless-reader", allow("dynamodb:GetItem", TABLE))
    one = claims.batch("unanswered", reader_role=no)
    with pytest.raises(landfall.ClaimError, match="to check the claim of batch `unanswered`"):
        _claim.fence(one, session_of(one))


def test_a_process_that_claims_again_still_holds_the_batch(claims: Claims) -> None:
    assert [claims.claim("again") for _ in range(3)] == [True] * 3
    assert not claims.claim("again", side=process())


@pytest.mark.parametrize("epochs", [(1, 2), (2, 1), (9, 10), (10, 9)])
def test_no_other_epoch_gets_a_batch_that_is_held(claims: Claims, epochs: tuple[int, int]) -> None:
    holder, other = epochs
    assert claims.claim(f"held-{holder}", holder)
    assert not claims.claim(f"held-{holder}", other)
    assert not claims.claim(f"held-{holder}", other, process())


@pytest.mark.parametrize("ended", [1, 2, 9])
def test_the_next_epoch_gets_the_batch_once_the_holders_has_ended(
    claims: Claims, ended: int
) -> None:
    batch_id = f"taken-over-{ended}"
    assert claims.claim(batch_id)
    claims.end(batch_id, ended)
    assert claims.claim(batch_id, 10, process())
    item = claims.item(batch_id)
    assert item["holder"]["S"].startswith("10#")
    assert (item["epoch"], item["ended"]) == ({"N": "10"}, {"N": str(ended)})
    # A run holds the batch again, so the epoch that ended before doesn't open it to others.
    assert not claims.claim(batch_id, 10)
    assert not claims.claim(batch_id, 11)


def test_the_end_of_an_earlier_epoch_does_not_free_a_batch(claims: Claims) -> None:
    assert claims.claim("earlier", 2)
    claims.end("earlier", 1)
    assert not claims.claim("earlier", 3, process())
    assert claims.claim("earlier", 2)


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_run_of_an_ended_epoch_never_gets_the_batch(claims: Claims, epoch: int) -> None:
    batch_id = f"ended-{epoch}"
    claims.end(batch_id, 2)
    assert not claims.claim(batch_id, epoch)
    assert claims.claim(batch_id, 3)


def test_the_holder_itself_is_told_when_its_epoch_has_ended(claims: Claims) -> None:
    assert claims.claim("outlived")
    claims.end("outlived", 1)
    assert not claims.claim("outlived")


def test_batches_are_claimed_independently(claims: Claims) -> None:
    assert claims.claim("one")
    assert claims.claim("other", side=process())


class Ready:
    """A reader's session with a ready client, so that many threads can claim at the same moment."""

    def __init__(self, session: boto3.session.Session) -> None:
        self.dynamodb = session.client("dynamodb")

    def client(self, service: str, region_name: str) -> Any:
        assert (service, region_name) == ("dynamodb", REGION)
        return self.dynamodb


@pytest.fixture
def ready(claims: Claims) -> Ready:
    return Ready(session_of(claims.batch("ready")))


OTHER = process()
STEP = st.tuples(st.sampled_from(["claim", "end"]), st.integers(1, 4), st.integers(0, 1))


@given(st.lists(STEP, max_size=15))
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_happens_one_live_run_at_most_holds_a_batch_and_a_free_one_is_given(
    claims: Claims, ready: Ready, steps: list[tuple[str, int, int]]
) -> None:
    name = secrets.token_hex(8)
    sides = _claim, OTHER
    holders: set[tuple[int, int]] = set()
    ended = 0
    for step, epoch, side in steps:
        if step == "end":
            claims.end(name, epoch)
            ended = max(ended, epoch)
            continue
        others = {one for one in holders - {(epoch, side)} if one[0] > ended}
        got = sides[side].claim(claims.batch(name, epoch), ready)
        assert got == (epoch > ended and not others)
        if got:
            holders.add((epoch, side))


def test_of_sixteen_that_claim_at_once_exactly_one_gets_the_batch(claims: Claims) -> None:
    count = 16
    session = session_of(claims.batch("crowd"))
    sides = [(process(), Ready(session)) for _ in range(count)]
    barrier = threading.Barrier(count)

    def claim(one: tuple[ModuleType, Ready], batch_id: str) -> bool:
        barrier.wait(timeout=60)
        return one[0].claim(claims.batch(batch_id), one[1])

    with ThreadPoolExecutor(count) as pool:
        for i in range(10):
            answers = list(pool.map(claim, sides, [f"crowd-{i}"] * count))
            assert sorted(answers) == [False] * (count - 1) + [True]


class Losing:
    """A connection that carries requests to DynamoDB and loses the first `count` answers."""

    def __init__(self, session: boto3.session.Session, count: int) -> None:
        self.left, self.sent = count, 0
        self.http = URLLib3Session()
        session.events.register("before-send.dynamodb.UpdateItem", self)

    def __call__(self, request: Any, **_: Any) -> None:
        self.sent += 1
        if self.left:
            self.left -= 1
            self.http.send(request)
            raise ConnectionClosedError(endpoint_url=request.url)


@pytest.fixture
def losing(claims: Claims) -> Iterator[Any]:
    made: list[Losing] = []

    def session(one: Arguments, count: int) -> tuple[boto3.session.Session, Losing]:
        found = session_of(one)
        made.append(Losing(found, count))
        return found, made[-1]

    yield session
    for one in made:
        one.http.close()


def test_a_lost_answer_is_asked_for_again_and_the_holder_is_told_so(
    claims: Claims, losing: Any
) -> None:
    one = claims.batch("lost-answer")
    session, wire = losing(one, 1)
    assert _claim.claim(one, session)
    assert wire.sent == 2
    assert not claims.claim("lost-answer", side=process())


def test_a_loser_whose_answer_is_lost_stays_one(claims: Claims, losing: Any) -> None:
    assert claims.claim("lost-refusal", side=process())
    one = claims.batch("lost-refusal")
    session, wire = losing(one, 1)
    assert not _claim.claim(one, session)
    assert wire.sent == 2


def test_without_any_answer_the_claim_is_unknown_and_later_found_held(
    claims: Claims, losing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    one = claims.batch("silence")
    session, wire = losing(one, 2)
    with pytest.raises(landfall.ClaimError, match=r": ConnectionClosedError$"):
        _claim.claim(one, session)
    assert wire.sent == 2
    assert not claims.claim("silence", side=process())
    assert _claim.claim(one, session)


def refused(claims: Claims, **changed: Any) -> landfall.ClaimError:
    with pytest.raises(landfall.ClaimError) as raised:
        claims.claim("refused", **changed)
    assert str(raised.value).startswith("failed to claim batch `refused` in table `arn:aws:")
    return raised.value


def test_a_reader_that_may_not_claim_is_an_error_and_no_loser(
    claims: Claims, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    reader = claims.role("blind-reader", allow("dynamodb:GetItem", TABLE))
    error = refused(claims, reader_role=reader)
    assert str(error) == (
        f"failed to claim batch `refused` in table `{TABLE}`: AccessDeniedException: the role's "
        f"own policy does not allow `dynamodb:UpdateItem` for role `{reader}`"
    )
    assert isinstance(error.__cause__, ClientError)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert os.environ[name] not in str(error) + caplog.text


def test_a_key_of_the_table_that_the_reader_may_not_use_is_named(
    claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"arn:aws:kms:{REGION}:{DATA}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    one = claims.batch("sealed")
    session = session_of(one)
    dynamodb = session.client("dynamodb", region_name=REGION)
    message = (
        f"User: {one.reader_role} is not authorized to perform: kms:Decrypt on resource: {key} "
        "because no resource-based policy allows the kms:Decrypt action"
    )
    with Stubber(dynamodb) as stub:
        stub.add_client_error("update_item", "AccessDeniedException", message, 400)
        monkeypatch.setattr(session, "client", lambda *_, **__: dynamodb)
        with pytest.raises(landfall.ClaimError) as raised:
            _claim.claim(one, session)
    assert str(raised.value).endswith(
        f": AccessDeniedException: the key's policy does not allow `kms:Decrypt` with key `{key}` "
        f"for role `{one.reader_role}`"
    )


def test_a_table_that_is_not_there_is_an_error_and_no_loser(claims: Claims) -> None:
    missing = TABLE.replace(NAME, "no-such-table")
    reader = claims.role("any-table-reader", allow("dynamodb:UpdateItem"))
    error = refused(claims, reader_role=reader, claims_table=missing)
    assert str(error).endswith(f"`{missing}`: ResourceNotFoundException")


def test_a_reader_role_that_cannot_be_assumed_is_told_as_the_reason(claims: Claims) -> None:
    absent = f"arn:aws:iam::{DATA}:role/absent-reader"
    error = refused(claims, reader_role=absent)
    assert str(error).endswith(
        f": failed to assume role `{absent}` as `landfall-refused`: AccessDenied"
    )
    assert isinstance(error.__cause__, landfall.ReaderRoleError)


def test_a_table_may_lie_in_another_region_than_the_job(claims: Claims) -> None:
    far = boto3.client(
        "dynamodb",
        region_name="us-west-2",
        endpoint_url=claims.emulator.url,
        aws_access_key_id=DATA,
        aws_secret_access_key="any",
    )
    create_table(far)
    table = TABLE.replace(REGION, "us-west-2")
    reader = claims.role("far-reader", allow("dynamodb:UpdateItem", table))
    assert claims.claim("far", reader_role=reader, claims_table=table)
    assert "Item" in far.get_item(TableName=NAME, Key={"batch_id": {"S": "far"}})
    here = claims.root.get_item(TableName=NAME, Key={"batch_id": {"S": "far"}})
    assert "Item" not in here
