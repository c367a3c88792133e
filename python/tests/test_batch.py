"""`with landfall.batch()` claims the batch and records its outcome, across two accounts."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

import landfall
from emulator import DATA, Emulator
from job_side import AWKWARD_KEYS, command_line
from landfall import _claim
from staging import Stage

PACKAGES = Path(landfall.__file__).parents[1]
TRACES = {"batch_id", "holder", "epoch", "claimed_at", "expires"}


@pytest.fixture(scope="module")
def staged(launched: Emulator) -> Stage:
    return Stage(launched, "batches")


@pytest.fixture
def stage(staged: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    staged.permit()
    staged.act_as_job(monkeypatch)
    return staged


def test_the_body_has_what_landfall_passed_and_reads_every_object(stage: Stage) -> None:
    keys = [f"in/{key}"[:1024] for key in AWKWARD_KEYS]
    entries = [stage.put(key, key.encode()) for key in keys]
    with stage.batch("awkward", entries, epoch=3, arguments={"dt": "2026-01-01"}) as batch:
        assert (batch.batch_id, batch.epoch, batch.scope) == ("awkward", 3, None)
        assert batch.arguments == {"dt": "2026-01-01"}
        assert [one.key for one in batch.objects] == keys
        for one in batch.objects:
            with batch.open(one) as body:
                assert body.read() == one.key.encode()


def test_the_session_acts_as_the_reader(stage: Stage) -> None:
    with stage.batch("session", [stage.put("in/a")]) as batch:
        who = batch.session.client("sts").get_caller_identity()["Arn"]
    assert who.endswith("assumed-role/batches-reader/landfall-session")


def test_nothing_can_be_read_before_the_batch_is_claimed(stage: Stage) -> None:
    for exit in True, False:
        batch = stage.batch("eager", [stage.put("in/a")], exit=exit)
        assert not batch.claimed
        for attempt in readings(stage, batch):
            with pytest.raises(landfall.LandfallError, match=r"use `with landfall\.batch"):
                attempt()


def readings(stage: Stage, batch: landfall.Batch) -> list[Callable[[], Any]]:
    """Returns every way to read a batch."""
    return [
        lambda: batch.objects,
        lambda: batch.session,
        lambda: batch.paths,
        batch.filesystem,
        lambda: batch.spark(None),
        lambda: batch.open(landfall.Object(stage.landing, "in/a")),
    ]


# The outcome


def test_that_the_body_succeeded_is_recorded(stage: Stage) -> None:
    with stage.batch("succeeds", [stage.put("in/a")]):
        assert set(stage.item("succeeds")) == TRACES
    item = stage.item("succeeds")
    assert set(item) == {*TRACES, "outcome", "outcome_at"}
    assert item["outcome"] == "succeeded"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", item["outcome_at"])


def test_of_a_failure_the_errors_name_is_recorded_and_not_its_message(stage: Stage) -> None:
    with pytest.raises(ZeroDivisionError), stage.batch("fails"):
        raise ZeroDivisionError("row 3 holds a secret")
    item = stage.item("fails")
    assert set(item) == {*TRACES, "outcome", "outcome_at", "error"}
    assert (item["outcome"], item["error"]) == ("failed", "ZeroDivisionError")


@pytest.mark.parametrize(
    "error",
    [SystemExit(), SystemExit(0), SystemExit(3), SystemExit("no disk"), KeyboardInterrupt()],
)
def test_leaving_the_body_by_an_exit_is_never_a_success(stage: Stage, error: BaseException) -> None:
    batch_id = f"exits-{error!r}".replace(" ", "")
    with pytest.raises(type(error)), stage.batch(batch_id):
        raise error
    item = stage.item(batch_id)
    assert (item["outcome"], item["error"]) == ("failed", type(error).__name__)


def test_returning_from_the_body_is_a_success(stage: Stage) -> None:
    def job() -> None:
        with stage.batch("returns"):
            return

    job()
    assert stage.item("returns")["outcome"] == "succeeded"


def test_the_next_claim_takes_the_outcome_of_the_last_away(stage: Stage) -> None:
    with pytest.raises(ValueError, match="x"), stage.batch("again"):
        raise ValueError("x")
    stage.end("again", 1)
    with stage.batch("again", epoch=2):
        assert set(stage.item("again")) == {*TRACES, "ended"}
    assert stage.item("again")["outcome"] == "succeeded"


def taken_over(stage: Stage, batch_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets another process claim the batch, after recording that its epoch has ended."""
    stage.end(batch_id, 1)
    with monkeypatch.context() as other:
        other.setattr(_claim, "_NONCE", "another process")
        with stage.batch(batch_id, epoch=2):
            pass


def test_who_does_not_hold_the_batch_any_more_records_nothing_and_is_warned(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.warns(UserWarning, match="`lost` in table .*: another run has claimed it in the"):
        before = lose(stage, "lost", monkeypatch)
    assert stage.item("lost") == before


def test_a_run_that_is_over_ends_at_the_fence_without_effect_and_says_nothing_of_the_outcome(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    effects: list[str] = []

    def outlive(batch_id: str, end: Callable[[], None]) -> None:
        with stage.batch(batch_id) as batch:
            batch.fence()
            effects.append(batch_id)
            end()
            before.update(stage.item(batch_id))
            batch.fence()
            effects.append("too late")

    for batch_id, end in (
        ("over", lambda: stage.end("over", 1)),
        ("taken-over", lambda: taken_over(stage, "taken-over", monkeypatch)),
    ):
        before: dict[str, Any] = {}
        with pytest.raises(landfall.ClaimedElsewhere) as ended:
            outlive(batch_id, end)
        assert ended.value.code == 0
        assert stage.item(batch_id) == before
    assert effects == ["over", "taken-over"]


def test_there_is_no_fence_before_the_batch_is_claimed(stage: Stage) -> None:
    with pytest.raises(landfall.LandfallError, match="not claimed"):
        stage.batch("unfenced").fence()


def lose(stage: Stage, batch_id: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Enters the batch and loses it in the body. Returns what its claim says then."""
    with stage.batch(batch_id):
        taken_over(stage, batch_id, monkeypatch)
        return stage.item(batch_id)


def test_a_warning_never_takes_the_place_of_the_bodys_own_error(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        with stage.batch("lost-too"):
            taken_over(stage, "lost-too", monkeypatch)
            raise ZeroDivisionError

    # These tests turn warnings into errors.
    with pytest.raises(ZeroDivisionError):
        fail()


def test_an_outcome_that_cannot_be_recorded_does_not_fail_the_run(stage: Stage) -> None:
    with (
        pytest.warns(UserWarning, match="failed to record the outcome of batch `mute`"),
        stage.batch("mute"),
    ):
        stage.emulator.client("iam", DATA).delete_role_policy(
            RoleName="batches-reader", PolicyName="all"
        )
    assert set(stage.item("mute")) == TRACES


# Claimed elsewhere

SCRIPT = """
import landfall

print("before", flush=True)
with landfall.batch() as batch:
    print("body", flush=True)
    for item in batch.objects:
        print(batch.open(item).read().decode())
print("after")
"""


def run(stage: Stage, script: str, argv: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs the script in a process of its own, as Glue does."""
    return subprocess.run(
        [sys.executable, "-c", script, *argv[1:]],
        env={**stage.environment(), "PYTHONPATH": str(PACKAGES)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def race(stage: Stage, script: str, batch_id: str) -> list[subprocess.CompletedProcess[str]]:
    """Runs the script for two epochs of a batch, the first of which nobody has ended."""
    entries = [stage.put(f"in/{batch_id}", b"content")]
    runs = (stage.arguments(batch_id, entries, epoch) for epoch in (1, 2))
    return [run(stage, script, command_line(one)) for one in runs]


def test_a_run_that_loses_the_claim_never_enters_the_body_and_succeeds(stage: Stage) -> None:
    first, second = race(stage, SCRIPT, "race")
    assert (first.returncode, first.stdout) == (0, "before\nbody\ncontent\nafter\n"), first.stderr
    held = stage.item("race")
    assert (second.returncode, second.stdout, second.stderr) == (0, "before\n", "")
    assert stage.item("race") == held
    assert held["outcome"] == "succeeded"


def test_who_wants_to_go_on_without_the_batch_can(stage: Stage) -> None:
    with stage.batch("elsewhere"):
        pass
    stage.end("elsewhere", 1)
    with (
        pytest.raises(landfall.ClaimedElsewhere, match="`elsewhere` is done by another run"),
        stage.batch("elsewhere"),
    ):
        raise AssertionError("the body is entered")


UNRAISED = """
import landfall

with landfall.batch(exit=False) as batch:
    print("claimed" if batch.claimed else "elsewhere", flush=True)
    if batch.claimed:
        print(batch.open(batch.objects[0]).read().decode())
print("after", batch.batch_id, batch.claimed)
"""


def test_without_exit_a_run_that_loses_the_claim_goes_on_after_the_block_and_raises_nothing(
    stage: Stage,
) -> None:
    first, second = race(stage, UNRAISED, "calm")
    assert (first.returncode, first.stdout) == (0, "claimed\ncontent\nafter calm True\n")
    held = stage.item("calm")
    assert (second.returncode, second.stdout) == (0, "elsewhere\nafter calm False\n")
    assert (first.stderr, second.stderr) == ("", "")
    assert stage.item("calm") == held
    assert held["outcome"] == "succeeded"


def test_a_batch_that_another_run_holds_says_so_whatever_is_done_with_it(stage: Stage) -> None:
    with stage.batch("held", [stage.put("in/a")]):
        pass
    stage.end("held", 1)
    before = stage.item("held")
    batch = stage.batch("held", exit=False, arguments={"dt": "2026-01-01"})
    with batch:
        assert not batch.claimed
        assert (batch.batch_id, batch.arguments) == ("held", {"dt": "2026-01-01"})
        for attempt in [*readings(stage, batch), batch.fence]:
            with pytest.raises(landfall.LandfallError, match=r"another run holds it; ask `batch\."):
                attempt()
    assert stage.item("held") == before


def test_the_body_of_a_batch_that_another_run_holds_may_fail_and_nothing_is_recorded(
    stage: Stage,
) -> None:
    with stage.batch("held-too"):
        pass
    stage.end("held-too", 1)
    before = stage.item("held-too")
    with pytest.raises(ZeroDivisionError), stage.batch("held-too", exit=False):
        raise ZeroDivisionError
    assert stage.item("held-too") == before


def test_without_exit_a_run_that_is_over_leaves_the_block_at_the_fence_and_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    with stage.batch("over-calm", exit=False) as batch:
        assert batch.claimed
        batch.fence()
        taken_over(stage, "over-calm", monkeypatch)
        before = stage.item("over-calm")
        batch.fence()
        steps.append("too late")
    steps.append("after")
    assert steps == ["after"]
    assert not batch.claimed
    assert stage.item("over-calm") == before


def test_without_exit_any_other_error_leaves_the_block_as_it_is(stage: Stage) -> None:
    errors: list[BaseException] = [
        SystemExit(0),
        ValueError("x"),
        landfall.ClaimedElsewhere("another batch"),
    ]
    for n, error in enumerate(errors):
        with pytest.raises(type(error)), stage.batch(f"own-error-{n}", exit=False):
            raise error
    outcomes = [stage.item(f"own-error-{n}").get("error") for n in range(2)]
    assert outcomes == ["SystemExit", "ValueError"]


@pytest.mark.parametrize("script", [SCRIPT, UNRAISED], ids=["exit", "no-exit"])
def test_a_run_that_glue_repeats_by_itself_fails_until_landfall_starts_the_batch_again(
    stage: Stage, request: pytest.FixtureRequest, script: str
) -> None:
    batch_id = f"repeated-{request.node.callspec.id}"
    absent = {"url": f"s3://{stage.landing}/in/absent"}
    first, second = (stage.arguments(batch_id, [absent], epoch) for epoch in (1, 2))
    assert run(stage, script, command_line(first)).returncode == 1
    held = stage.item(batch_id)
    assert held["error"] == "ObjectChanged"
    # Glue's second attempt has the same arguments.
    attempt = run(stage, script, command_line(first))
    assert attempt.returncode == 1
    assert attempt.stderr.splitlines()[-1] == (
        f"landfall.ClaimError: failed to claim batch `{batch_id}` in table `{stage.table}`: "
        "an earlier process of the same start has claimed it; Glue repeats a run if the job's "
        "`MaxRetries` is not 0, so set it to 0: Landfall starts the batch again"
    )
    assert stage.item(batch_id) == held
    # Once the epoch has ended, an attempt leaves the batch to the next epoch.
    stage.end(batch_id, 1)
    assert run(stage, script, command_line(first)).returncode == 0
    assert run(stage, script, command_line(second)).returncode == 1
    assert stage.item(batch_id)["epoch"] == "2"


def test_a_run_that_cannot_claim_fails_and_says_why(stage: Stage) -> None:
    argv = command_line(stage.arguments("refused", reader_role=f"{stage.reader}-absent"))
    ended = run(stage, SCRIPT, argv)
    assert (ended.returncode, ended.stdout) == (1, "before\n")
    assert ended.stderr.splitlines()[-1] == (
        f"landfall.ClaimError: failed to claim batch `refused` in table `{stage.table}`: "
        f"failed to assume role `{stage.reader}-absent` as `landfall-refused`: AccessDenied"
    )


# Credentials


def test_a_batch_that_lasts_longer_than_a_session_goes_on(stage: Stage) -> None:
    entries = [stage.put(f"in/long-{n}") for n in range(3)]
    with stage.batch("long", entries) as batch:
        keys, credentials = [], batch.session.get_credentials()
        for one in batch.objects:
            assert batch.open(one).read() == b"rows"
            keys.append(credentials.access_key)
            # Acts as if an hour had passed.
            credentials._expiry_time = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    assert len(set(keys)) == 3
    assert stage.item("long")["outcome"] == "succeeded"


def test_a_role_that_asks_for_an_external_id_gets_it_and_nobody_sees_it(
    launched: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "an-external-" + "id-of-two"  # Tracebacks quote these lines.
    stage = Stage(launched, "external", secret)
    stage.act_as_job(monkeypatch)
    entries = [stage.put("in/a")]
    with stage.batch("external-1", entries, external_id=secret) as batch:
        assert batch.open(batch.objects[0]).read() == b"rows"
    shown = repr(batch)
    for wrong in None, secret + "-not":
        with (
            pytest.raises(landfall.ClaimError) as raised,
            stage.batch("external-2", entries, external_id=wrong),
        ):
            raise AssertionError("the body is entered")
        shown += "".join(traceback.format_exception(raised.value))
    assert "AccessDenied" in shown
    assert secret not in shown + caplog.text


# `scope: batch`


def code_of(read: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as raised:
        read()
    return str(raised.value.response["Error"]["Code"])


def test_under_scope_batch_other_objects_and_batches_are_out_of_reach(stage: Stage) -> None:
    stage.permit(("s3:ListBucket", f"arn:aws:s3:::{stage.landing}"))
    mine = [stage.put(f"in/scope/{key}") for key in ("a*.csv", "what?.csv", "Zürich/$.csv")]
    other = stage.put("in/scope/aaa.csv")
    stage.arguments("scoped-other", [other])
    place = {"Bucket": stage.landing, "Key": "in/scope/aaa.csv"}
    with stage.batch("wide", mine) as batch:
        batch.session.client("s3").get_object(**place)
    with stage.batch("scoped", mine, scope="batch") as batch:
        assert batch.scope == "batch"
        for one in batch.objects:
            assert batch.open(one).read() == b"rows"
        s3 = batch.session.client("s3")
        assert code_of(lambda: s3.get_object(**place)) == "AccessDenied"
        manifest = {"Bucket": stage.manifests, "Key": "manifests/scoped-other.json"}
        assert code_of(lambda: s3.get_object(**manifest)) == "AccessDenied"
        assert s3.list_objects_v2(Bucket=stage.landing, Prefix="in/scope/")["KeyCount"] == 4
        assert code_of(lambda: s3.list_objects_v2(Bucket=stage.landing)) == "AccessDenied"
        claim = {"TableName": stage.name, "Key": {"batch_id": {"S": "scoped"}}}
        dynamodb = batch.session.client("dynamodb")
        assert code_of(lambda: dynamodb.get_item(**claim)) == "AccessDeniedException"
        with pytest.raises(landfall.ObjectError, match="AccessDenied"):
            batch.open(landfall.Object(**{name.lower(): text for name, text in place.items()}))


def test_under_scope_batch_the_claim_of_another_batch_is_out_of_reach(stage: Stage) -> None:
    batch = stage.batch("scoped-claim", [stage.put("in/a")], scope="batch")
    with batch:
        dynamodb = batch._control.client("dynamodb")
        key = {"batch_id": {"S": "scoped-claim"}}
        assert "Item" in dynamodb.get_item(TableName=stage.name, Key=key)
        other = {"batch_id": {"S": "scoped-claim-2"}}
        refused = code_of(lambda: dynamodb.get_item(TableName=stage.name, Key=other))
        assert refused == "AccessDeniedException"
        s3 = batch._control.client("s3")
        assert code_of(lambda: s3.get_object(Bucket=stage.landing, Key="in/a")) == "AccessDenied"
    assert stage.item("scoped-claim")["outcome"] == "succeeded"


def test_a_thousand_objects_are_read_in_a_scope_of_prefixes(stage: Stage) -> None:
    entries = [stage.put(f"in/many/dt=2026-01-{n % 28:02}/{n:04}") for n in range(1000)]
    outside = stage.put("in/manx/a")
    with stage.batch("many", entries, scope="batch") as batch:
        for one in batch.objects[::100]:
            assert batch.open(one).read() == b"rows"
        s3 = batch.session.client("s3")
        key = outside["url"].split("/", 3)[3]
        assert code_of(lambda: s3.get_object(Bucket=stage.landing, Key=key)) == "AccessDenied"


def test_a_refused_read_names_the_role_the_object_and_the_grant(stage: Stage) -> None:
    with stage.batch("outside", [stage.put("elsewhere/a.csv")]) as batch:
        with pytest.raises(landfall.ObjectError) as raised:
            batch.open(batch.objects[0])
        assert str(raised.value) == (
            f"failed to read `s3://{stage.landing}/elsewhere/a.csv`: AccessDenied: "
            f"the role's own policy does not allow `s3:GetObject` for role `{stage.reader}`"
        )


def test_clients_of_the_session_are_boto3s_own(stage: Stage) -> None:
    with stage.batch("typed") as batch:
        assert isinstance(batch.session, boto3.session.Session)
