"""The settings and paths for Spark that can be tested without Spark. `make spark` tests the rest.

No S3A with version 2 of the AWS SDK is available here. For it, these tests check the settings, not
that they work.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from job_side import READER, REGION
from landfall import _spark
from landfall._errors import PathError, SparkError
from landfall._objects import Object

S3A = "org.apache.hadoop.fs.s3a"
ASSUMED_ROLE = f"{S3A}.auth.AssumedRoleCredentialProvider"
V1 = "com.amazonaws.auth.AWSCredentialsProvider"
V2 = "software.amazon.awssdk.auth.credentials.AwsCredentialsProvider"
EXTERNAL_ID = "fs.s3a.assumed.role.external.id"


# Paths


def test_patterns_in_keys_are_escaped_and_nothing_else_is() -> None:
    keys = ["in/a b.csv", r"in/\*?[a]{b}.csv", "in/50%25+é#?.csv", "in/x:y=1/_=.csv", "in/^$,.csv"]
    assert _spark.paths([Object("acme-landing", key) for key in keys]) == [
        "s3a://acme-landing/in/a b.csv",
        r"s3a://acme-landing/in/\\\*\?\[a\]\{b\}.csv",
        r"s3a://acme-landing/in/50%25+é#\?.csv",
        "s3a://acme-landing/in/x:y=1/_=.csv",
        "s3a://acme-landing/in/^$,.csv",
    ]


def test_keys_that_spark_cannot_read_are_all_named_with_the_reason() -> None:
    keys = [
        "/a.csv",
        "in//a.csv",
        "in/./a.csv",
        "in/../a.csv",
        "in/",
        "in/_a.csv",
        "in/.a=1.csv",
        "in/a._COPYING_",
        "in/a_$folder$",
        "in/_spark_metadata/a.csv",
        "in/a:b*.csv",
        "in/a\x01.csv",
    ]
    objects = [Object("acme-landing", key) for key in [*keys, "in/fine.csv"]]
    with pytest.raises(PathError) as refused:
        _spark.paths(objects)
    assert refused.value.keys == keys
    assert "`in/a:b*.csv`" not in str(refused.value)  # The error shows only ten keys.
    assert "`in//a.csv`: it has an empty segment" in str(refused.value)
    assert "and 2 more" in str(refused.value)


def test_a_key_below_which_another_of_the_batch_lies_is_named() -> None:
    objects = [Object("acme-landing", key) for key in ["in/a", "in/a/b.csv", "in/ab"]]
    with pytest.raises(PathError) as refused:
        _spark.paths(objects)
    assert refused.value.keys == ["in/a"]
    # The other bucket has no such folder.
    assert _spark.paths([Object("acme-landing", "in/a"), Object("acme-raw", "in/a/b.csv")])


@pytest.mark.parametrize("bucket", ["acme.2024", "acme.landing.1st", "acme_landing", "a-.b"])
def test_a_bucket_that_s3a_cannot_read_by_its_name_is_named_with_the_way_out(bucket: str) -> None:
    objects = [Object("acme-landing", "in/a"), Object(bucket, "in/b")]
    session = Session(Conf(classes(V1)))
    for attempt in (
        lambda: _spark.paths(objects),
        lambda: configure(session, batch(objects=objects)),
    ):
        with pytest.raises(PathError) as refused:
            attempt()
        assert refused.value.keys == ["in/b"]
        assert str(refused.value) == (
            f"failed to name the batch's objects to Spark: S3A cannot read bucket `{bucket}`, "
            "whose name Java does not take for a host's: what follows its last dot begins with a "
            "digit, or it has a `_`; read it with `batch.open` or `batch.filesystem()`"
        )
    assert session.tried == []


@pytest.mark.parametrize("bucket", ["2024-landing", "acme.landing", "1.2.a3", "9a", "ACME"])
def test_a_bucket_whose_name_is_a_hosts_is_named_to_spark(bucket: str) -> None:
    assert _spark.paths([Object(bucket, "in/a")]) == [f"s3a://{bucket}/in/a"]


def test_a_bucket_with_dots_is_read_by_its_path_unless_somebody_chose() -> None:
    objects = (Object("acme-landing", "in/a"), Object("acme.landing", "in/a"))
    session = Session(Conf(classes(V1)))
    session.conf.defaults["fs.s3a.path.style.access"] = "false"
    configure(session, batch(objects=objects))
    assert session.conf.of("acme.landing")["path.style.access"] == "true"
    assert "path.style.access" not in session.conf.of("acme-landing")
    for name in "fs.s3a.path.style.access", "fs.s3a.bucket.acme.landing.path.style.access":
        session = Session(Conf(classes(V1)))
        session.conf.set(name, "false")
        configure(session, batch(objects=objects))
        assert session.conf.of("acme.landing").get("path.style.access") in (None, "false")


# Settings


class JavaClass:
    def __init__(
        self, name: str, above: tuple[str, ...] = (), constants: tuple[str, ...] = ()
    ) -> None:
        self.name, self.above, self.constants = name, above, constants

    def getName(self) -> str:
        return self.name

    def isAssignableFrom(self, other: JavaClass) -> bool:
        return self.name in other.above

    def getFields(self) -> list[Any]:
        kind = JavaClass("java.lang.String")
        return [
            SimpleNamespace(getType=lambda: kind, get=lambda _, value=value: value)
            for value in self.constants
        ]


class Conf:
    """Hadoop's Configuration: Hadoop's defaults, what was set, and the available classes."""

    def __init__(self, classes: list[JavaClass], **values: str) -> None:
        self.classes = {one.name: one for one in classes}
        self.defaults = {
            "fs.s3a.assumed.role.credentials.provider": f"{S3A}.SimpleAWSCredentialsProvider",
            "fs.s3a.aws.credentials.provider": f"{S3A}.TemporaryAWSCredentialsProvider",
        }
        self.values = {name.replace("_", "."): value for name, value in values.items()}

    def get(self, name: str) -> str | None:
        return self.values.get(name, self.defaults.get(name))

    def set(self, name: str, value: str) -> None:
        self.values[name] = value

    def getPropertySources(self, name: str) -> list[str] | None:
        if name in self.values:
            return ["programmatically"]
        return ["core-default.xml"] if name in self.defaults else None

    def getClassByNameOrNull(self, name: str) -> JavaClass | None:
        return self.classes.get(name)

    def of(self, bucket: str) -> dict[str, str]:
        prefix = f"fs.s3a.bucket.{bucket}."
        return {
            name[len(prefix) :]: value
            for name, value in self.values.items()
            if name.startswith(prefix)
        }


class JavaError(Exception):
    """The exception that py4j raises for a Java exception."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.java_exception = SimpleNamespace(
            getClass=lambda: SimpleNamespace(
                getName=lambda: "java.nio.AccessDenied", getSimpleName=lambda: "AccessDenied"
            ),
            getMessage=lambda: message,
            getCause=lambda: None,
        )


class Session:
    """A SparkSession whose S3A is made for one of the SDKs."""

    def __init__(
        self, conf: Conf, failures: tuple[str, ...] = (), kept: Conf | None = None
    ) -> None:
        self.conf, self.failures, self.kept = conf, list(failures), kept
        self.tried: list[dict[str, str]] = []
        self._jsc = SimpleNamespace(hadoopConfiguration=lambda: conf)
        version = SimpleNamespace(getVersion=lambda: "3.4.1")
        hadoop = SimpleNamespace(
            fs=SimpleNamespace(FileSystem=SimpleNamespace(get=self.file_system)),
            util=SimpleNamespace(VersionInfo=version),
        )
        self._jvm = SimpleNamespace(
            org=SimpleNamespace(apache=SimpleNamespace(hadoop=hadoop)),
            java=SimpleNamespace(net=SimpleNamespace(URI=lambda text: text)),
        )

    def file_system(self, uri: str, conf: Conf) -> Any:
        bucket = uri.removeprefix("s3a://").rstrip("/")
        self.tried.append(conf.of(bucket))
        if self.failures:
            raise JavaError(self.failures.pop(0))
        its = {f"fs.s3a.{name}": value for name, value in conf.of(bucket).items()}
        found = self.kept or SimpleNamespace(get=its.get)
        kind = SimpleNamespace(getName=lambda: f"{S3A}.S3AFileSystem")
        return SimpleNamespace(getClass=lambda: kind, getConf=lambda: found)


def classes(sdk: str, *constants: str) -> list[JavaClass]:
    return [
        JavaClass(ASSUMED_ROLE, (sdk,)),
        JavaClass(V1),
        JavaClass(V2),
        JavaClass(f"{S3A}.Constants", constants=constants),
    ]


def batch(**changed: Any) -> Any:
    named = {
        "batch_id": "orders-1",
        "reader_role": READER,
        "region": REGION,
        "scope": None,
        "objects": (Object("acme-landing", "in/a.csv"),),
        **changed,
    }
    return SimpleNamespace(**named)


def configure(session: Any, batch: Any, external_id: str | None = None) -> Any:
    return _spark.configure(session, batch, external_id, lambda: batch.objects)


@pytest.fixture(autouse=True)
def _py4j(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for the part of py4j that the library uses. Spark brings py4j; it is missing here."""
    protocol = ModuleType("py4j.protocol")
    protocol.Py4JError = protocol.Py4JJavaError = JavaError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "py4j", ModuleType("py4j"))
    monkeypatch.setitem(sys.modules, "py4j.protocol", protocol)


def test_the_batchs_bucket_is_read_as_the_reader_role_and_no_other_bucket_is() -> None:
    session = Session(Conf(classes(V1)))
    assert configure(session, batch()) is session
    assert session.conf.of("acme-landing") == {
        "aws.credentials.provider": ASSUMED_ROLE,
        "assumed.role.arn": READER,
        "assumed.role.session.name": "landfall-orders-1",
        "assumed.role.session.duration": "3600s",
        "assumed.role.credentials.provider": (
            "com.amazonaws.auth.EnvironmentVariableCredentialsProvider,"
            "com.amazonaws.auth.EC2ContainerCredentialsProviderWrapper"
        ),
        "assumed.role.sts.endpoint": f"https://sts.{REGION}.amazonaws.com",
        "assumed.role.sts.endpoint.region": REGION,
        "assumed.role.policy": "",
    }
    assert all(name.startswith("fs.s3a.bucket.acme-landing.") for name in session.conf.values)


def test_s3a_of_the_second_sdk_gets_its_own_providers_and_an_endpoint_without_scheme() -> None:
    session = Session(Conf(classes(V2)))
    configure(session, batch(region="cn-north-1"))
    found = session.conf.of("acme-landing")
    assert found["assumed.role.credentials.provider"] == (
        "software.amazon.awssdk.auth.credentials.EnvironmentVariableCredentialsProvider,"
        f"{S3A}.auth.IAMInstanceCredentialsProvider"
    )
    assert found["assumed.role.sts.endpoint"] == "sts.cn-north-1.amazonaws.com.cn"


def test_what_the_job_or_the_platform_chose_stays() -> None:
    endpoint, own = "fs.s3a.assumed.role.sts.endpoint", "fs.s3a.assumed.role.credentials.provider"
    conf = Conf(classes(V2))
    conf.set(endpoint, "vpce-1.sts.eu-west-1.vpce.amazonaws.com")
    conf.set(own, "com.example.Mine")
    configure(Session(conf), batch())
    found = conf.of("acme-landing")
    assert "assumed.role.sts.endpoint" not in found
    assert "assumed.role.sts.endpoint.region" not in found
    assert "assumed.role.credentials.provider" not in found

    conf = Conf(classes(V2))
    conf.set("fs.s3a.aws.credentials.provider", "com.example.OfThePlatform")
    configure(Session(conf), batch())
    found = conf.of("acme-landing")
    assert found["assumed.role.credentials.provider"] == "com.example.OfThePlatform"
    # The role must never be assumed with its own session.
    conf.set("fs.s3a.aws.credentials.provider", ASSUMED_ROLE)
    configure(Session(conf), batch(objects=(Object("acme-raw", "a"),)))
    assert ASSUMED_ROLE not in conf.of("acme-raw")["assumed.role.credentials.provider"]


def test_an_external_id_is_sent_where_s3a_knows_it_and_refused_where_not() -> None:
    conf = Conf(classes(V2, "fs.s3a.endpoint", EXTERNAL_ID))
    configure(Session(conf), batch(), "shared-9f2c")
    assert conf.of("acme-landing")["assumed.role.external.id"] == "shared-9f2c"

    with pytest.raises(SparkError, match=r"Hadoop 3\.4\.1 cannot send an external ID") as refused:
        configure(Session(Conf(classes(V2, "fs.s3a.endpoint"))), batch(), "shared-9f2c")
    assert "shared-9f2c" not in str(refused.value)


def test_an_external_id_that_sts_repeats_is_not_told() -> None:
    conf = Conf(classes(V2, EXTERNAL_ID))
    session = Session(conf, failures=("Value 'shared-9f2c' at 'externalId' (Error Code: Bad)",))
    with pytest.raises(SparkError, match=r"AccessDenied \(Bad\)") as refused:
        configure(session, batch(), "shared-9f2c")
    assert "shared-9f2c" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_narrowed_session_gets_the_batchs_policy_and_a_shorter_one_where_it_is_too_large() -> (
    None
):
    objects = tuple(Object("acme-landing", f"in/{n:03}.csv") for n in range(200))
    session = Session(Conf(classes(V1)), failures=("… PackedPolicyTooLarge …",))
    configure(session, batch(scope="batch", objects=objects))
    first, second = (len(tried["assumed.role.policy"]) for tried in session.tried)
    assert 1024 < first <= 2048
    assert 0 < second <= 1024


@pytest.mark.parametrize(
    "settings",
    [
        {"fs.s3a.connection.ssl.enabled": "false"},
        {"fs.s3a.bucket.acme-landing.connection.ssl.enabled": "False"},
        {"fs.s3a.endpoint": "http://s3.example.com"},
        {"fs.s3a.assumed.role.sts.endpoint": "http://sts.example.com"},
        {
            "fs.s3a.connection.ssl.enabled": "false",
            "fs.s3a.endpoint": "127.0.0.1:4566",
            "fs.s3a.assumed.role.sts.endpoint": "sts.example.com",
        },
        {"fs.s3a.connection.ssl.enabled": "false", "fs.s3a.endpoint": "127.0.0.1.example.com"},
    ],
)
def test_what_would_be_asked_without_tls_is_refused(settings: dict[str, str]) -> None:
    conf = Conf(classes(V1))
    for name, value in settings.items():
        conf.set(name, value)
    session = Session(conf)
    with pytest.raises(SparkError, match="without TLS"):
        configure(session, batch())
    assert session.tried == []


def test_this_machine_may_be_asked_without_tls() -> None:
    conf = Conf(classes(V1))
    conf.set("fs.s3a.connection.ssl.enabled", "false")
    conf.set("fs.s3a.endpoint", "http://127.0.0.1:4566")
    conf.set("fs.s3a.assumed.role.sts.endpoint", "http://[::1]:4566")
    configure(Session(conf), batch())


def test_a_bucket_that_was_read_before_with_other_settings_is_refused() -> None:
    kept = SimpleNamespace(get=lambda name: None)
    with pytest.raises(SparkError, match="S3A has already read it"):
        configure(Session(Conf(classes(V1)), kept=kept), batch())  # type: ignore[arg-type]


def test_without_s3a_or_a_jvm_of_its_own_spark_is_refused() -> None:
    with pytest.raises(SparkError, match="there is no S3A"):
        configure(Session(Conf([])), batch())
    with pytest.raises(SparkError, match="Spark Connect"):
        configure(SimpleNamespace(), batch())
