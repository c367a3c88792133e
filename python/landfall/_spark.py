"""Spark: the paths of a batch, and the settings that let S3A read them as the reader role.

This module sets only properties of the batch's own bucket (`fs.s3a.bucket.NAME.…`), so the job's
other buckets keep the job's role. It sets them in the Hadoop configuration, which Spark sends to
the executors with every read. It asks the running JVM what this version needs: which AWS SDK S3A's
provider of assumed roles is made for, and whether S3A knows external IDs. That provider refreshes
the session by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from landfall import _policy, _reader
from landfall._arguments import Arguments
from landfall._errors import PathError, SparkError, printable
from landfall._objects import Object

_GLOB = re.compile(r"[\\*?\[\]{}]")  # The characters of Spark's patterns. `\` escapes them.
# The names that Java takes for a host's, as in `s3a://host/`. S3A can't read any other bucket.
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}|(?:{_LABEL}\.)+(?![0-9]){_LABEL})")
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_SHOWN = 10  # Keys that one error message names.

_S3A = "org.apache.hadoop.fs.s3a"
_ASSUMED_ROLE = f"{_S3A}.auth.AssumedRoleCredentialProvider"
_EXTERNAL_ID = "fs.s3a.assumed.role.external.id"

_SDK_V2 = "software.amazon.awssdk.auth.credentials"
# These providers find the job's own credentials: in the environment, else in the container's or the
# instance's metadata.
_OWN_V1 = (
    "com.amazonaws.auth.EnvironmentVariableCredentialsProvider",
    "com.amazonaws.auth.EC2ContainerCredentialsProviderWrapper",
)
_OWN_V2 = (
    f"{_SDK_V2}.EnvironmentVariableCredentialsProvider",
    f"{_S3A}.auth.IAMInstanceCredentialsProvider",
)


def paths(objects: Sequence[Object]) -> list[str]:
    """Returns `objects` as paths for `spark.read`: `s3a://bucket/key`, with patterns escaped.

    Raises PathError, which names the keys that Spark would read as another object, skip silently,
    or not find, and the buckets that S3A can't read. In that case nobody gets the other paths,
    because part of a batch isn't the batch.
    """
    _refuse_buckets(objects)
    refused = []
    names = {(one.bucket, one.key) for one in objects}
    folders = {(bucket, key[: at.start()]) for bucket, key in names for at in re.finditer("/", key)}
    for one in objects:
        why = _unreadable(one.key)
        if not why and (one.bucket, one.key) in folders:
            why = "it is also a folder of another object's key, which Spark would read instead"
        if why:
            refused.append((one.key, why))
    if refused:
        shown = "; ".join(f"`{printable(key)}`: {why}" for key, why in refused[:_SHOWN])
        more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise PathError(
            f"failed to name the batch's objects to Spark: {shown}{more}; "
            "read these with `batch.open` or `batch.filesystem()`",
            [key for key, _ in refused],
        )
    return [f"s3a://{one.bucket}/{escaped(one.key)}" for one in objects]


def escaped(text: str) -> str:
    """Returns a path in which Spark finds no pattern."""
    return _GLOB.sub(_escaped, text)


def _refuse_buckets(objects: Sequence[Object]) -> None:
    """Raises PathError if S3A can't read a bucket, which it says with a bare `bucket` at best.

    S3A takes the bucket from the host of a `java.net.URI`, and some buckets' names aren't a host's
    (HADOOP-17241).
    """
    names = sorted({one.bucket for one in objects if not _HOST.fullmatch(one.bucket)})
    if names:
        shown = ", ".join(f"`{printable(name)}`" for name in names)
        raise PathError(
            f"failed to name the batch's objects to Spark: S3A cannot read bucket {shown}, whose "
            "name Java does not take for a host's: what follows its last dot begins with a digit, "
            "or it has a `_`; read it with `batch.open` or `batch.filesystem()`",
            [one.key for one in objects if one.bucket in names],
        )


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


def _unreadable(key: str) -> str:
    """Returns why Spark cannot read the object with this key; empty if it can.

    The reasons come from trials with Spark 3.5 and S3A. `make spark` repeats them.
    """
    segments = key.split("/")
    name = segments[-1]
    if key.endswith("/"):
        return "it ends with `/`, which Hadoop takes for a folder"
    if "" in segments:
        return "it has an empty segment, which Hadoop removes"
    if "." in segments or ".." in segments:
        return "it has a segment `.` or `..`, which Hadoop resolves"
    if name.startswith("."):
        return "its name begins with `.`, so Spark ignores it"
    if name.startswith("_") and "=" not in name:
        return "its name begins with `_`, so Spark ignores it"
    if name.endswith("._COPYING_"):
        return "its name ends with `._COPYING_`, so Spark ignores it"
    if name.endswith("_$folder$"):
        return "its name ends with `_$folder$`, which S3A takes for a folder"
    if "_spark_metadata" in segments:
        return "it has a segment `_spark_metadata`, so Spark ignores it"
    if ":" in key and _GLOB.search(key):
        return r"it has `:` and one of `*?[]{}\`, which Hadoop cannot read together"
    if _NOT_XML.search(key):
        return "it has a character that XML cannot contain, and S3's lists are XML"
    return ""


def configure(
    spark: Any,
    batch: Arguments,
    external_id: str | None,
    objects: Callable[[], Sequence[Object]],
) -> Any:
    """Lets `spark` read the batch's bucket as the reader role, and returns `spark`.

    Call it before anything reads the bucket through S3A. It assumes the role once, so that you see
    a denied request here; S3A refreshes the sessions. `objects` returns the batch's objects, and is
    called only if Spark can use them. If `scope` is `batch`, the sessions can reach only the batch.

    It keeps what the job or the platform has set, for all buckets or for this one. That is the STS
    endpoint (`fs.s3a.assumed.role.sts.endpoint` with its `.region`), and what finds the job's own
    credentials (`fs.s3a.assumed.role.credentials.provider`, or if that isn't set, the providers of
    `fs.s3a.aws.credentials.provider`). An external ID becomes part of the Hadoop configuration,
    which Spark's event log and UI may show, so add it to `spark.redaction.regex`.

    Raises SparkError if Spark could not use the role, or would not use it, and PathError if S3A
    can't read a bucket of the batch by its name.
    """
    from py4j.protocol import Py4JError, Py4JJavaError  # Spark brings py4j.

    jvm, context = getattr(spark, "_jvm", None), getattr(spark, "_jsc", None)
    if jvm is None or context is None:
        raise SparkError(
            f"{_what(batch)}: this is not a SparkSession with a JVM of its own; "
            "Spark Connect gives no access to its configuration"
        )
    conf = context.hadoopConfiguration()
    try:
        is_v2 = _is_sdk_v2(conf, batch)
        knows_external_id = external_id is not None and _knows_external_id(conf)
    except Py4JJavaError as error:
        name = _java_name(error)
        raise SparkError(f"{_what(batch)}: S3A is incomplete: {name}") from error
    if external_id is not None and not knows_external_id:
        version = jvm.org.apache.hadoop.util.VersionInfo.getVersion()
        raise SparkError(
            f"{_what(batch)}: S3A of Hadoop {version} cannot send an external ID, which needs "
            "HADOOP-19201 (3.4.2); let the role's trust policy name the job role and require no "
            "external ID, or read with `batch.open` or `batch.filesystem()`"
        )
    listed = objects()
    _refuse_buckets(listed)
    for bucket in sorted({one.bucket for one in listed}):
        settings = _settings(conf, batch, external_id, bucket, is_v2)
        narrow = _narrowed(batch, [one for one in listed if one.bucket == bucket])
        try:
            _apply(jvm, conf, batch, bucket, settings, narrow)
        except Py4JError as error:
            # A traceback shows the cause's message, in which STS can repeat the external ID.
            hidden = external_id is not None and external_id in str(error)
            raise SparkError(f"{_what(batch, bucket)}: {_reason(error)}") from (
                None if hidden else error
            )
    return spark


def _apply(
    jvm: Any,
    conf: Any,
    batch: Arguments,
    bucket: str,
    settings: dict[str, str],
    narrow: list[Callable[[], str]],
) -> None:
    from py4j.protocol import Py4JJavaError

    for at, policy in enumerate(narrow):
        settings = {**settings, "assumed.role.policy": policy()}
        for name, value in settings.items():
            conf.set(f"fs.s3a.bucket.{bucket}.{name}", value)
        try:
            found = jvm.org.apache.hadoop.fs.FileSystem.get(
                jvm.java.net.URI(f"s3a://{bucket}/"), conf
            )
            break
        except Py4JJavaError as error:
            # STS also limits a packed form of the text, and only STS knows the size of that.
            if at + 1 == len(narrow) or "PackedPolicyTooLarge" not in str(error):
                raise
    if found.getClass().getName() != f"{_S3A}.S3AFileSystem":
        raise SparkError(
            f"{_what(batch, bucket)}: `s3a://` is `{found.getClass().getName()}`, not S3A"
        )
    # Hadoop keeps a file system with its first settings, here and in each executor.
    its = found.getConf()
    if any((its.get(f"fs.s3a.{name}") or "") != value for name, value in settings.items()):
        raise SparkError(
            f"{_what(batch, bucket)}: S3A has already read it with other settings, which Hadoop "
            "keeps; call `batch.spark(spark)` before anything else uses the bucket"
        )


def _settings(
    conf: Any, batch: Arguments, external_id: str | None, bucket: str, is_v2: bool
) -> dict[str, str]:
    """Returns the settings of one bucket, without `fs.s3a.bucket.NAME.` and without the policy.

    Raises SparkError if S3 or STS would be called without TLS.
    """

    def given(name: str) -> str:
        found = conf.get(f"fs.s3a.bucket.{bucket}.{name}") or conf.get(f"fs.s3a.{name}") or ""
        return str(found).strip()

    settings = {
        "aws.credentials.provider": _ASSUMED_ROLE,
        "assumed.role.arn": batch.reader_role,
        "assumed.role.session.name": _reader.session_name(batch.batch_id),
        "assumed.role.session.duration": f"{_reader.SESSION_SECONDS}s",
    }
    if external_id is not None:
        settings[_EXTERNAL_ID[len("fs.s3a.") :]] = external_id
    own = "assumed.role.credentials.provider"
    if not conf.get(f"fs.s3a.bucket.{bucket}.{own}") and not _is_set(conf, f"fs.s3a.{own}"):
        # If somebody chose providers for the job's own buckets, they have the job's credentials.
        chosen = "fs.s3a.aws.credentials.provider"
        providers = str(conf.get(chosen)) if _is_set(conf, chosen) else ""
        if not providers or _ASSUMED_ROLE in providers:
            providers = ",".join(_OWN_V2 if is_v2 else _OWN_V1)
        settings[own] = providers
    path_style = "path.style.access"
    own_style = conf.get(f"fs.s3a.bucket.{bucket}.{path_style}")
    if "." in bucket and not own_style and not _is_set(conf, f"fs.s3a.{path_style}"):
        # S3's certificate is for one label in front of its own name (HADOOP-18159).
        settings[path_style] = "true"
    endpoint = given("assumed.role.sts.endpoint")
    if not endpoint:
        endpoint = str(_reader.sts(batch.region).meta.endpoint_url)
        host = urlsplit(endpoint).netloc
        # S3A with SDK v2 puts `https://` in front of any value.
        settings["assumed.role.sts.endpoint"] = host if is_v2 else endpoint
        settings["assumed.role.sts.endpoint.region"] = batch.region
    without_tls = given("connection.ssl.enabled").lower() == "false"
    for url in given("endpoint"), endpoint:
        scheme, _, host = url.rpartition("://")
        name = urlsplit(f"//{host}").hostname or ""
        if (scheme == "http" or (without_tls and not scheme)) and not _reader.is_loopback(name):
            raise SparkError(
                f"{_what(batch, bucket)}: S3A would call `{host or 'S3'}` without TLS; remove "
                "`fs.s3a.connection.ssl.enabled` or the endpoint's `http://`"
            )
    return settings


def _is_set(conf: Any, name: str) -> bool:
    """Returns True if the platform or the job has set the property, not only Hadoop's defaults."""
    sources = conf.getPropertySources(name) or []
    return bool(conf.get(name)) and any(str(one) != "core-default.xml" for one in sources)


def _narrowed(batch: Arguments, objects: Sequence[Object]) -> list[Callable[[], str]]:
    """Returns the session policy's text, and a shorter one for when STS finds it too large."""
    if not batch.scope:
        return [lambda: ""]
    partition = batch.reader_role.split(":")[1]
    maximum = _policy.MAX_CHARACTERS
    return [
        lambda: _policy.objects_policy(partition, objects, maximum),
        lambda: _policy.objects_policy(partition, objects, maximum // 2),
    ]


def _is_sdk_v2(conf: Any, batch: Arguments) -> bool:
    """Returns True if S3A's provider of assumed roles is made for version 2 of the AWS SDK."""
    provider = conf.getClassByNameOrNull(_ASSUMED_ROLE)
    if provider is None:
        raise SparkError(
            f"{_what(batch)}: there is no S3A; the job needs `hadoop-aws` and the AWS SDK on its "
            "class path, as Glue 3.0 and later have them"
        )
    interface = conf.getClassByNameOrNull(f"{_SDK_V2}.AwsCredentialsProvider")
    return interface is not None and bool(interface.isAssignableFrom(provider))


def _knows_external_id(conf: Any) -> bool:
    constants = conf.getClassByNameOrNull(f"{_S3A}.Constants")
    return constants is not None and any(
        field.getType().getName() == "java.lang.String" and field.get(None) == _EXTERNAL_ID
        for field in constants.getFields()
    )


def _reason(error: Exception) -> str:
    """Returns the Java exceptions' names, and AWS's code if they have it, but no messages."""
    java = getattr(error, "java_exception", None)
    names: list[str] = []
    while java is not None and len(names) < 5:
        name = java.getClass().getSimpleName()
        found = re.search(r"Error Code: (\w+)", str(java.getMessage()))
        names.append(f"{name} ({found[1]})" if found else name)
        java = java.getCause()
    return " by ".join(dict.fromkeys(names)) or type(error).__name__


def _java_name(error: Any) -> str:
    return str(error.java_exception.getClass().getName())


def _what(batch: Arguments, bucket: str = "") -> str:
    what = f"bucket `{bucket}`" if bucket else f"batch `{printable(batch.batch_id)}`"
    return f"failed to let Spark read {what} as role `{batch.reader_role}`"
