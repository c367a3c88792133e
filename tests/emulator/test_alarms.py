"""The launcher's corrections of CloudWatch are still needed, and they work."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from alarms import verdict
from emulator import (
    DATA,
    LAUNCHER,
    REGION,
    Emulator,
    allow,
    role,
    running,
    trust,
    wait_until,
)
from metric_math import Unsupported, evaluated

NAMESPACE = "Tests"


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The emulator with minutes of one second."""
    folder = tmp_path_factory.mktemp("quick")
    with running(LAUNCHER, folder, LOCAL_CLOUD_MINUTE_SECONDS="1") as emulator:
        yield emulator


# Metrics in logs


def log(emulator: Emulator, **fields: Any) -> None:
    logs = emulator.client("logs", DATA)
    for create in (
        lambda: logs.create_log_group(logGroupName="metrics"),
        lambda: logs.create_log_stream(logGroupName="metrics", logStreamName="one"),
    ):
        try:
            create()
        except logs.exceptions.ResourceAlreadyExistsException:
            continue
    now = int(time.time() * 1000)
    event = {"timestamp": now, "message": json.dumps(fields)}
    logs.put_log_events(logGroupName="metrics", logStreamName="one", logEvents=[event])


def embedded(name: str, value: Any, **dimensions: str) -> dict[str, Any]:
    metric = {"Name": name, "Unit": "Count"}
    directive = {"Namespace": NAMESPACE, "Dimensions": [list(dimensions)], "Metrics": [metric]}
    about = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    return {"_aws": about, name: value, **dimensions}


def listed(emulator: Emulator) -> set[tuple[str, str]]:
    found = emulator.client("cloudwatch", DATA).list_metrics(Namespace=NAMESPACE)["Metrics"]
    return {(m["MetricName"], json.dumps(m["Dimensions"])) for m in found}


def test_the_plain_emulator_still_takes_no_metric_from_a_log(plain: Emulator) -> None:
    log(plain, **embedded("Plain", 1, Of="a"))
    assert listed(plain) == set()


def test_metrics_are_taken_from_lines_of_logs(quick: Emulator) -> None:
    log(quick, **embedded("Taken", [1, 4], Of="a"))
    log(quick, **embedded("NoNumber", "1", Of="a"))
    log(quick, Left=1, _aws={"CloudWatchMetrics": "none", "Timestamp": 1})
    log(quick, Left=1, _aws="none")
    log(quick, **(embedded("NoDimension", 1, Of="a") | {"Of": 7}))
    assert listed(quick) == {("Taken", '[{"Name": "Of", "Value": "a"}]')}
    statistics = quick.client("cloudwatch", DATA).get_metric_statistics(
        Namespace=NAMESPACE,
        MetricName="Taken",
        Dimensions=[{"Name": "Of", "Value": "a"}],
        StartTime=time.time() - 600,
        EndTime=time.time() + 60,
        Period=3600,
        Statistics=["Sum", "SampleCount", "Maximum"],
    )["Datapoints"]
    assert [(d["Sum"], d["SampleCount"], d["Maximum"]) for d in statistics] == [(5.0, 2.0, 4.0)]


# Alarms


def alarm(emulator: Emulator, name: str, **settings: Any) -> Callable[[str], str]:
    """Puts an alarm, and returns a function that waits for one of its states."""
    cloudwatch = emulator.client("cloudwatch", DATA)
    defaults = {
        "Namespace": NAMESPACE,
        "MetricName": name,
        "Statistic": "Maximum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 0,
        "TreatMissingData": "notBreaching",
    }
    cloudwatch.put_metric_alarm(AlarmName=name, **{**defaults, **settings})

    def state() -> str:
        found = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return found[0]["StateValue"]

    return lambda wanted: wait_until(lambda: state() == wanted and wanted, 30)


def test_the_plain_emulator_still_judges_by_any_dimensions(plain: Emulator) -> None:
    cloudwatch = plain.client("cloudwatch", DATA)
    until = alarm(plain, "Mixed", Dimensions=[{"Name": "Of", "Value": "a"}])
    of_another = {"MetricName": "Mixed", "Value": 1, "Dimensions": [{"Name": "Of", "Value": "b"}]}
    cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=[of_another])
    assert until("ALARM")


def test_an_alarm_follows_its_own_metric_and_tells_its_topic(quick: Emulator) -> None:
    sns, sqs = quick.client("sns", DATA), quick.client("sqs", DATA)
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    queue = f"arn:aws:sqs:{REGION}:{DATA}:heard"
    policy = json.loads(allow("sqs:SendMessage", queue))
    policy["Statement"][0]["Principal"] = {"Service": "sns.amazonaws.com"}
    policy["Statement"][0]["Condition"] = {"ArnEquals": {"aws:SourceArn": topic}}
    attributes = {"Policy": json.dumps(policy)}
    url = sqs.create_queue(QueueName="heard", Attributes=attributes)["QueueUrl"]
    raw = {"RawMessageDelivery": "true"}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes=raw)
    mine, other = ([{"Name": "Of", "Value": value}] for value in "ab")
    until = alarm(
        quick, "Own", Dimensions=mine, AlarmActions=[topic], OKActions=[topic], Statistic="Sum"
    )
    assert until("OK")
    cloudwatch = quick.client("cloudwatch", DATA)
    foreign = {"MetricName": "Own", "Value": 1, "Dimensions": other}
    cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=[foreign])
    log(quick, **embedded("Own", 0, Of="a"))
    heard: list[tuple[str, str]] = []

    def hears() -> list[tuple[str, str]]:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            body = json.loads(message["Body"])
            heard.append((body["OldStateValue"], body["NewStateValue"]))
        return heard

    assert wait_until(hears) == [("INSUFFICIENT_DATA", "OK")]
    log(quick, **embedded("Own", 1, Of="a"))
    assert until("ALARM")
    # Once the last data are too old, missing data count as not breaching.
    assert until("OK")
    wait_until(lambda: len(hears()) > 2)
    assert heard[1:] == [("OK", "ALARM"), ("ALARM", "OK")]


def test_an_alarm_hears_silence(quick: Emulator) -> None:
    settings = {"Statistic": "SampleCount", "ComparisonOperator": "LessThanThreshold"}
    until = alarm(quick, "Silent", Threshold=1, TreatMissingData="breaching", **settings)
    assert until("ALARM")
    log(quick, **embedded("Silent", 0))
    assert until("OK")
    assert until("ALARM")


def test_the_plain_emulator_still_measures_no_queue(plain: Emulator) -> None:
    plain.client("sqs", DATA).create_queue(QueueName="unmeasured")
    assert plain.client("cloudwatch", DATA).list_metrics(Namespace="AWS/SQS")["Metrics"] == []


def test_a_queue_is_measured_each_minute(quick: Emulator) -> None:
    sqs = quick.client("sqs", DATA)
    url = sqs.create_queue(QueueName="measured")["QueueUrl"]
    of_queue = {"Namespace": "AWS/SQS", "Dimensions": [{"Name": "QueueName", "Value": "measured"}]}
    visible = alarm(quick, "Visible", MetricName="ApproximateNumberOfMessagesVisible", **of_queue)
    age = alarm(
        quick, "Age", MetricName="ApproximateAgeOfOldestMessage", **{**of_queue, "Threshold": 2}
    )
    assert (visible("OK"), age("OK")) == ("OK", "OK")
    sqs.send_message(QueueUrl=url, MessageBody="waits")
    assert (visible("ALARM"), age("ALARM")) == ("ALARM", "ALARM")
    sqs.purge_queue(QueueUrl=url)
    assert (visible("OK"), age("OK")) == ("OK", "OK")


def deployed(emulator: Emulator, name: str, resource: dict[str, Any]) -> str:
    """Returns the status of a stack with one resource, or the error that rejected it."""
    client = emulator.client("cloudformation", DATA)
    template = json.dumps({"Resources": {"It": resource}})
    try:
        client.create_stack(StackName=name, TemplateBody=template)
    except ClientError as error:
        return error.response["Error"]["Message"]

    def settled() -> str | None:
        status = client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        return None if status.endswith("_IN_PROGRESS") else status

    return wait_until(settled)


def of_math(expression: str) -> dict[str, Any]:
    """Returns an alarm over two metrics."""
    stat = {"Period": 60, "Stat": "Sum"}
    metric = {"Namespace": NAMESPACE}
    properties = {
        "AlarmName": "math",
        "EvaluationPeriods": 1,
        "Threshold": 4,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "Metrics": [
            {"Id": "e", "Expression": expression},
            *(
                {
                    "Id": name,
                    "ReturnData": False,
                    "MetricStat": {**stat, "Metric": {**metric, "MetricName": f"Math{name}"}},
                }
                for name in "ab"
            ),
        ],
    }
    return {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}


def test_the_plain_emulator_still_deploys_no_alarm_with_metric_math(plain: Emulator) -> None:
    assert deployed(plain, "math", of_math("a + b")) == "ROLLBACK_COMPLETE"


def test_an_alarm_with_metric_math_is_judged(quick: Emulator) -> None:
    assert deployed(quick, "math", of_math("SUM([a, FILL(b, 2)])")) == "CREATE_COMPLETE"
    cloudwatch = quick.client("cloudwatch", DATA)

    def state() -> str:
        return cloudwatch.describe_alarms(AlarmNames=["math"])["MetricAlarms"][0]["StateValue"]

    wait_until(lambda: state() == "OK", 30)
    log(quick, **embedded("Matha", 3))
    wait_until(lambda: state() == "ALARM", 30)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("a - b / 2", 2.0),
        ("SUM(METRICS())", 5.0),
        ("MAX([a, b]) - MIN(METRICS())", 1.0),
        ("IF(a > b, AVG([a, c]), 0)", 3.0),
        ("c + 1", None),
        ("FILL(c, 7)", 7.0),
        ("SUM(FILL(METRICS(), 1))", 6.0),
        ("a / 0", None),
        ("d * 2", 10.0),
    ],
)
def test_metric_math(expression: str, value: float | None) -> None:
    expressions = {"e": expression, "d": "a + b"}
    assert evaluated("e", expressions, {"a": 3.0, "b": 2.0, "c": None}) == value


@pytest.mark.parametrize(
    "expression", ["ANOMALY_DETECTION_BAND(a, 2)", "SEARCH('x')", "SUM(a)", "("]
)
def test_math_that_is_not_understood_is_told(expression: str) -> None:
    with pytest.raises(Unsupported):
        evaluated("e", {"e": expression}, {"a": 1.0})


# The tables of "Configuring how CloudWatch alarms treat missing data", oldest datum first. `X`
# breaches, `0` doesn't, `-` is missing. The columns are missing, ignore, breaching, notBreaching.
NOT, RETAIN = "OK", None


@pytest.mark.parametrize(
    ("data", "needed", "verdicts"),
    [
        ("0-X-X", 3, (NOT, NOT, NOT, NOT)),
        ("----0", 3, (NOT, NOT, NOT, NOT)),
        ("-----", 3, ("INSUFFICIENT_DATA", RETAIN, "ALARM", NOT)),
        ("0XX-X", 3, ("ALARM", "ALARM", "ALARM", "ALARM")),
        ("--X--", 3, ("ALARM", RETAIN, "ALARM", NOT)),
        ("0-X-X", 2, ("ALARM", "ALARM", "ALARM", "ALARM")),
        ("00X-X", 2, ("ALARM", "ALARM", "ALARM", "ALARM")),
        ("0-X--", 2, (NOT, NOT, "ALARM", NOT)),
        ("----0", 2, (NOT, NOT, "ALARM", NOT)),
        ("---X-", 2, ("ALARM", RETAIN, "ALARM", NOT)),
    ],
)
def test_missing_data_are_treated_as_documented(
    data: str, needed: int, verdicts: tuple[str | None, ...]
) -> None:
    values = [{"X": 2.0, "0": 0.0, "-": None}[one] for one in reversed(data)]
    found = []
    for treated in ("missing", "ignore", "breaching", "notBreaching"):
        settings = {
            "EvaluationPeriods": 3,
            "DatapointsToAlarm": needed,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 1.0,
            "TreatMissingData": treated,
        }
        found.append(verdict(settings, values)[0])
    assert tuple(found) == verdicts


# Schedules


def test_a_schedule_keeps_time_with_the_alarms(quick: Emulator) -> None:
    events, sqs = quick.client("events", DATA), quick.client("sqs", DATA)
    queue, rule = (f"arn:aws:{s}:{REGION}:{DATA}:{n}" for s, n in TICKING)
    policy = json.loads(allow("sqs:SendMessage", queue))
    policy["Statement"][0]["Principal"] = {"Service": "events.amazonaws.com"}
    policy["Statement"][0]["Condition"] = {"ArnEquals": {"aws:SourceArn": rule}}
    attributes = {"Policy": json.dumps(policy)}
    url = sqs.create_queue(QueueName="ticks", Attributes=attributes)["QueueUrl"]
    events.put_rule(Name="tick", ScheduleExpression="rate(2 minutes)")
    events.put_targets(Rule="tick", Targets=[{"Id": "queue", "Arn": queue}])

    def ticks() -> bool:
        names = ["ApproximateNumberOfMessages"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]) >= 2

    wait_until(ticks, 20)
    events.disable_rule(Name="tick")


TICKING = (("sqs", "ticks"), ("events", "rule/tick"))


# Functions


def test_each_execution_of_a_function_counts_whoever_asked_for_it(quick: Emulator) -> None:
    assert invocations(quick) == {"Invocations": 2.0, "Errors": 2.0}


def test_the_plain_emulator_still_misses_the_errors_of_asynchronous_invocations(
    plain: Emulator,
) -> None:
    assert invocations(plain) == {"Invocations": 2.0, "Errors": 1.0}


def function(emulator: Emulator, name: str, source: str) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("index.py", f"def handler(event, context):\n    {source}\n")
    trusted = trust(Principal={"Service": "lambda.amazonaws.com"})
    emulator.client("lambda", DATA).create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="index.handler",
        Role=role(emulator, DATA, name, trusted, allow("logs:*")),
        Code={"ZipFile": archive.getvalue()},
    )


def sums(emulator: Emulator, name: str, *metrics: str) -> dict[str, float]:
    found = {}
    for metric in metrics:
        data = emulator.client("cloudwatch", DATA).get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName=metric,
            Dimensions=[{"Name": "FunctionName", "Value": name}],
            StartTime=time.time() - 600,
            EndTime=time.time() + 60,
            Period=3600,
            Statistics=["Sum"],
        )["Datapoints"]
        found[metric] = sum(datum["Sum"] for datum in data)
    return found


def invocations(emulator: Emulator) -> dict[str, float]:
    """Returns the metrics after a function has failed, invoked in both ways."""
    function(emulator, "fails", "raise ValueError('no')")
    client, logs = emulator.client("lambda", DATA), emulator.client("logs", DATA)
    client.put_function_event_invoke_config(FunctionName="fails", MaximumRetryAttempts=0)
    client.invoke(FunctionName="fails", Payload=b"{}")
    client.invoke(FunctionName="fails", Payload=b"{}", InvocationType="Event")

    def both_have_ended() -> bool:
        found = logs.filter_log_events(logGroupName="/aws/lambda/fails", filterPattern="REPORT")
        return len(found["events"]) == 2

    def measured() -> dict[str, float] | None:
        found = sums(emulator, "fails", "Invocations", "Errors")
        return found if found["Invocations"] >= 2 else None

    wait_until(both_have_ended)
    return wait_until(measured)


def throttled(emulator: Emulator) -> dict[str, float]:
    """Returns the metrics after an invocation of a function without any concurrency."""
    function(emulator, "throttled", "return 1")
    client = emulator.client("lambda", DATA)
    client.put_function_concurrency(FunctionName="throttled", ReservedConcurrentExecutions=0)
    with pytest.raises(client.exceptions.TooManyRequestsException):
        client.invoke(FunctionName="throttled", Payload=b"{}")
    return sums(emulator, "throttled", "Invocations", "Throttles")


def test_the_plain_emulator_still_counts_a_throttled_invocation_twice(plain: Emulator) -> None:
    assert throttled(plain) == {"Invocations": 2.0, "Throttles": 2.0}


def test_a_throttled_invocation_is_a_throttle_and_no_invocation(quick: Emulator) -> None:
    assert throttled(quick) == {"Invocations": 0.0, "Throttles": 1.0}
