"""The corrections of the events of Glue's job runs are still needed, and they work."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from emulator import ANALYTICS, DATA, REGION, Emulator, Job, allow, job, role, trust, wait_until

FAILING = "raise ValueError('no such thing')"
ENDLESS = "import time\ntime.sleep(600)"


@dataclass
class Way:
    """The path of events from one account's jobs to the other account's queue, part by part."""

    emulator: Emulator
    name: str
    job: Job = field(init=False)

    def __post_init__(self) -> None:
        self.job = job(self.emulator, self.name, "", ExecutionProperty={"MaxConcurrentRuns": 9})
        self.sqs = self.emulator.client("sqs", DATA)
        self.events = self.emulator.client("events", ANALYTICS)
        self.queue = self.sqs.create_queue(QueueName=self.name)["QueueUrl"]
        self.queue_arn = f"arn:aws:sqs:{REGION}:{DATA}:{self.name}"
        self.role_arn = f"arn:aws:iam::{ANALYTICS}:role/{self.name}"
        self.rule_arn = f"arn:aws:events:{REGION}:{ANALYTICS}:rule/{self.name}"
        self.admit()
        self.let()
        self.put_rule()
        self.put_target()

    def admit(self, who: str | None = None, *, tls: bool = True) -> None:
        """Sets the queue's policy."""
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ANALYTICS}:root"},
            "Action": "sqs:SendMessage",
            "Resource": self.queue_arn,
            "Condition": {"ArnEquals": {"aws:PrincipalArn": who or self.role_arn}},
        }
        deny = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:SendMessage",
            "Resource": self.queue_arn,
            "Condition": {"Bool": {"aws:SecureTransport": "false" if tls else "true"}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement, deny]})
        self.sqs.set_queue_attributes(QueueUrl=self.queue, Attributes={"Policy": policy})

    def let(self, queue: str | None = None, source: str | None = None) -> None:
        """Makes the role of the rule's target: where it may send, and for which rule."""
        conditions = {
            "ArnEquals": {"aws:SourceArn": source or self.rule_arn},
            "StringEquals": {"aws:SourceAccount": ANALYTICS},
        }
        trusted = trust(Principal={"Service": "events.amazonaws.com"}, Condition=conditions)
        may = allow("sqs:SendMessage", queue or self.queue_arn)
        role(self.emulator, ANALYTICS, self.name, trusted, may)

    def put_rule(self, jobs: list[str] | None = None, state: str = "ENABLED") -> None:
        pattern = {
            "source": ["aws.glue"],
            "detail-type": ["Glue Job State Change"],
            "detail": {"jobName": jobs or [self.name]},
        }
        self.events.put_rule(Name=self.name, EventPattern=json.dumps(pattern), State=state)

    def put_target(self, **changes: str) -> None:
        target = {"Id": "queue", "Arn": self.queue_arn, "RoleArn": self.role_arn, **changes}
        target = {name: value for name, value in target.items() if value}
        self.events.put_targets(Rule=self.name, Targets=[target])

    def received(self) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    def event_of(self, run: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = wait_until(self.received)
        assert [event["detail"]["jobRunId"] for event in found] == [run]
        return found[0]

    def assert_nothing_after(self, run: str, sentinel: Way) -> None:
        """Checks that the ended run sent no event, although a later run of another job did."""
        self.job.wait(run)
        sentinel.event_of(sentinel.job.start())
        assert self.received() == []


@pytest.fixture(scope="module")
def whole(launched: Emulator) -> Way:
    return Way(launched, "whole-way")


def test_the_plain_emulator_still_tells_nobody_of_a_runs_end(plain: Emulator) -> None:
    way = Way(plain, "untold")
    same = plain.client("sqs", ANALYTICS)
    queue = same.create_queue(QueueName="untold")["QueueUrl"]
    own = {"Id": "own", "Arn": f"arn:aws:sqs:{REGION}:{ANALYTICS}:untold"}
    way.events.put_targets(Rule="untold", Targets=[own])
    assert way.job.run()["JobRunState"] == "SUCCEEDED"
    # There is nothing to wait for. Such an event would take less than half a second.
    time.sleep(0.5)
    assert same.receive_message(QueueUrl=queue).get("Messages") is None


def test_the_plain_emulator_still_delivers_nothing_to_another_account(plain: Emulator) -> None:
    assert not is_delivered(plain)


def test_an_event_reaches_the_queue_of_another_account(launched: Emulator) -> None:
    assert is_delivered(launched)


def is_delivered(emulator: Emulator) -> bool:
    """Returns whether an event has reached another account's queue when it reaches its own's."""
    way = Way(emulator, "delivered")
    same = emulator.client("sqs", ANALYTICS)
    arn = f"arn:aws:sqs:{REGION}:{ANALYTICS}:delivered"
    policy = json.loads(allow("sqs:SendMessage", arn))
    policy["Statement"][0]["Principal"] = {"Service": "events.amazonaws.com"}
    attributes = {"Policy": json.dumps(policy)}
    queue = same.create_queue(QueueName="delivered", Attributes=attributes)["QueueUrl"]
    own = {"Id": "z-own", "Arn": arn}
    way.events.put_rule(Name="delivered", EventPattern=json.dumps({"source": ["ours"]}))
    way.events.put_targets(Rule="delivered", Targets=[own])
    entry = {"Source": "ours", "DetailType": "any", "Detail": "{}"}
    way.events.put_events(Entries=[entry])
    wait_until(lambda: same.receive_message(QueueUrl=queue).get("Messages"))
    return bool(way.received())


def test_each_end_of_a_run_is_told_in_the_envelope_of_eventbridge(whole: Way) -> None:
    run = whole.job.start()
    event = whole.event_of(run)
    assert whole.job.state(run) == "SUCCEEDED"
    assert len(event.pop("id")) == 36
    assert time.strptime(event.pop("time"), "%Y-%m-%dT%H:%M:%SZ")
    assert event == {
        "version": "0",
        "detail-type": "Glue Job State Change",
        "source": "aws.glue",
        "account": ANALYTICS,
        "region": REGION,
        "resources": [],
        "detail": {
            "jobName": "whole-way",
            "severity": "INFO",
            "state": "SUCCEEDED",
            "jobRunId": run,
            "message": "Job run succeeded",
        },
    }


def test_a_failure_is_told_with_its_message(launched: Emulator) -> None:
    way = Way(launched, "failing-way")
    put_script(way, FAILING)
    detail = way.event_of(way.job.start())["detail"]
    assert (detail["state"], detail["severity"]) == ("FAILED", "ERROR")
    assert detail["message"] == "ValueError: no such thing"


def test_a_stop_is_told_once_the_run_has_ended(launched: Emulator) -> None:
    way = Way(launched, "stopped-way")
    put_script(way, ENDLESS)
    run = way.job.start()
    assert way.job.stop(run) == []
    detail = way.event_of(run)["detail"]
    assert (detail["state"], detail["severity"]) == ("STOPPED", "INFO")
    assert way.job.state(run) == "STOPPED"


def test_the_end_of_a_spark_run_is_told(launched: Emulator) -> None:
    way = Way(launched, "spark-way")
    glue = launched.client("glue", ANALYTICS)
    command = {"Name": "glueetl", "ScriptLocation": "s3://none/none.py"}
    glue.update_job(JobName=way.name, JobUpdate={"Role": "none", "Command": command})
    assert way.event_of(way.job.start())["detail"]["state"] == "SUCCEEDED"


def test_with_an_argument_of_the_run_or_the_job_nothing_is_told(
    launched: Emulator, whole: Way
) -> None:
    way = Way(launched, "quiet-way")
    put_script(way, "import sys\nprint(sys.argv[1:])")
    run = way.job.start(**{"local-cloud-without-event": "true", "own": "1"})
    way.assert_nothing_after(run, whole)
    # The argument isn't the script's.
    assert way.job.logged(way.job.wait(run)) == ["['--own', '1']"]


def other_pattern(way: Way) -> None:
    way.put_rule(jobs=["another"])


def disabled_rule(way: Way) -> None:
    way.put_rule(state="DISABLED")


def no_role(way: Way) -> None:
    way.put_target(RoleArn="")


def missing_role(way: Way) -> None:
    way.put_target(RoleArn=f"{way.role_arn}-gone")


def role_of_another_rule(way: Way) -> None:
    way.let(source=f"{way.rule_arn}-other")


def role_for_another_queue(way: Way) -> None:
    way.let(queue=f"{way.queue_arn}-other")


def queue_of_another_role(way: Way) -> None:
    way.admit(who=f"{way.role_arn}-other")


def queue_that_denies(way: Way) -> None:
    way.admit(tls=False)


def queue_without_policy(way: Way) -> None:
    way.sqs.set_queue_attributes(QueueUrl=way.queue, Attributes={"Policy": ""})


def missing_queue(way: Way) -> None:
    way.put_target(Arn=f"{way.queue_arn}-gone")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (other_pattern, None),
        (disabled_rule, None),
        (no_role, "there is no role ``"),
        (missing_role, "there is no role `"),
        (role_of_another_rule, "does not admit EventBridge for the rule"),
        (role_for_another_queue, "-another-queue` does not allow it"),
        (queue_of_another_role, "the queue's policy does not allow it to `"),
        (queue_that_denies, "the queue's policy does not allow it to `"),
        (queue_without_policy, "the queue's policy does not allow it to `"),
        (missing_queue, "there is no such queue"),
    ],
)
def test_what_is_not_let_through_is_not_delivered_and_the_log_says_why(
    launched: Emulator, whole: Way, spoil: Callable[[Way], None], reason: str | None
) -> None:
    way = Way(launched, f"spoiled-{spoil.__name__.replace('_', '-')}")
    spoil(way)
    way.assert_nothing_after(way.job.start(), whole)
    log = (launched.folder / "emulator.log").read_text()
    lines = [line for line in log.splitlines() if f"rule/{way.name}` does not reach" in line]
    assert [reason in line for line in lines] == ([True] if reason else [])


def put_script(way: Way, script: str) -> None:
    way.emulator.client("s3", ANALYTICS).put_object(
        Bucket="scripts-of-jobs", Key=f"glue/{way.name}.py", Body=script.encode()
    )
