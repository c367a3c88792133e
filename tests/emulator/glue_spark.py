"""Runs Spark jobs with real Spark, if the environment names one; otherwise they run nothing.

`LOCAL_CLOUD_SPARK` is the folder of a Python environment that has PySpark with S3A among its jars.
A run's script is a driver with two executors, each a process of its own. S3A and its STS client
find the emulator by the session's defaults, so a script sets nothing that it would not set in Glue.
If S3A of Hadoop 3.3.1 has an endpoint, it signs for `us-east-1`.

Whatever its code, an exit (`SystemExit`) fails the run, as in a published history of runs in Glue
3.0, which calls a script that ends with `sys.exit(0)` FAILED with `SystemExit: 0`.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

HOME = os.environ.get("LOCAL_CLOUD_SPARK", "")
MASTER = "local-cluster[2,1,1024]"
# A run ends before fully optimised code pays off. These options halve its time.
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"

# Runs the script that follows, as its own program.
DRIVER = """
import os, runpy, sys, traceback
del sys.argv[0]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit:
    traceback.print_exc()
    sys.exit(1)
"""


def is_spark_job(job: dict[str, Any]) -> bool:
    return job.get("Command", {}).get("Name") in ("glueetl", "gluestreaming")


def interpreter() -> str:
    return str(Path(HOME) / "bin" / "python")


def program(script: Path) -> list[str]:
    """Returns the interpreter's arguments that run the script."""
    return ["-c", DRIVER, str(script)]


def arguments(run: dict[str, Any]) -> list[str]:
    """Returns the arguments that Glue puts in front of a Spark job's own."""
    job_id = f"j_{secrets.token_hex(32)}"
    ids = ["--JOB_ID", job_id, "true", "--JOB_RUN_ID", run["Id"], "--JOB_NAME", run["JobName"]]
    return ["true", "--job-bookmark-option", "job-bookmark-disable", *ids]


def environment(folder: Path, endpoint: str, region: str) -> dict[str, str]:
    """Returns a driver's environment variables, which keep all its files in `folder`."""
    home = folder / "spark"
    (home / "conf").mkdir(parents=True)
    (home / "tmp").mkdir()
    [installed] = Path(HOME).glob("lib/python3*/site-packages/pyspark")
    # Spark makes the executors' folders in SPARK_HOME, which must not be the environment's folder,
    # because that one is kept.
    for name in ("bin", "jars"):
        (home / name).symlink_to(installed / name)
    defaults = {
        "spark.master": MASTER,
        "spark.driver.extraJavaOptions": QUICK,
        "spark.executor.extraJavaOptions": QUICK,
        "spark.ui.enabled": "false",
        "spark.sql.warehouse.dir": str(home / "warehouse"),
        # `s3://` is S3A, as in Glue 5.1.
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.hadoop.fs.s3a.endpoint": endpoint,
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
        "spark.hadoop.fs.s3a.assumed.role.sts.endpoint": endpoint,
        "spark.hadoop.fs.s3a.assumed.role.sts.endpoint.region": region,
    }
    lines = "".join(f"{name} {value}\n" for name, value in defaults.items())
    (home / "conf" / "spark-defaults.conf").write_text(lines)
    java = {"JAVA_HOME": os.environ["JAVA_HOME"]} if "JAVA_HOME" in os.environ else {}
    return {
        "SPARK_HOME": str(home),
        "SPARK_CONF_DIR": str(home / "conf"),
        "SPARK_LOCAL_DIRS": str(home / "tmp"),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": interpreter(),
        **java,
    }
