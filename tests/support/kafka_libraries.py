"""Apache Kafka's jars, copied once by Maven into a cache directory that all test runs of this machine share."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import platformdirs

POM = Path(__file__).with_name("pom.xml")
REQUIRED_JAVA = 17
_DOWNLOAD_SECONDS = 600


class KafkaUnavailableError(RuntimeError):
    """Java or Maven is missing, too old, or could not download the broker."""


def kafka_version() -> str:
    """The version that pom.xml names."""
    found = re.search(r"<kafka.version>(.+?)</", POM.read_text())
    assert found, f"{POM} names no kafka.version"
    return found.group(1)


@functools.cache
def java_version() -> int | None:
    """Major version of the ``java`` on the path; None without one that answers."""
    if shutil.which("java") is None:
        return None
    try:
        told = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=20, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(found.group(1)) if found else None


def missing() -> str | None:
    """Why the broker cannot be had from Maven, or None when it can (or is in the cache already)."""
    java = java_version()
    if java is None:
        return "no Java"
    if java < REQUIRED_JAVA:
        return f"Java {java} is too old, {REQUIRED_JAVA} needed"
    if not cached_libraries().exists() and shutil.which("mvn") is None:
        return "no Maven"
    return None


def cached_libraries() -> Path:
    """Where the jars are, or will be."""
    root = os.environ.get("FORECAST_TEST_CACHE") or platformdirs.user_cache_dir("forecast-consumer", appauthor=False)
    fingerprint = hashlib.sha256(POM.read_bytes()).hexdigest()[:8]
    return Path(root).expanduser() / f"kafka-{kafka_version()}-{fingerprint}"


def kafka_libraries() -> Path:
    """The directory of jars; downloads them when the cache has none. Safe when several runs do so at once.

    Raises:
        KafkaUnavailableError: Maven failed; the message has what it said and the ways around it.
    """
    target = cached_libraries()
    if target.exists():
        return target
    _say(f"copying Apache Kafka {kafka_version()} (43 MB, once) by Maven into {target} …")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as scratch:
        jars = Path(scratch, "jars")
        _copy_dependencies(Path(scratch), jars)
        try:
            # A rename is one step: another run sees no directory or a complete one.
            jars.rename(target)
        except OSError:
            if not target.exists():
                raise
    return target


def _copy_dependencies(scratch: Path, jars: Path) -> None:
    pom = shutil.copy(POM, scratch / "pom.xml")
    command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, check=False)
        failure = done.stdout[-2000:] + done.stderr[-2000:] if done.returncode else None
    except (OSError, subprocess.TimeoutExpired) as error:
        failure = str(error)
    if failure is not None:
        raise KafkaUnavailableError(
            f"Maven could not copy Apache Kafka {kafka_version()}:\n{failure}\n"
            "Name a broker in FORECAST_TEST_BOOTSTRAP_SERVERS, start Docker, or set FORECAST_TEST_BROKER=embedded."
        )


def _say(message: str) -> None:
    # pytest captures stdout and stderr; a download that takes a minute must be seen.
    print(f"\n{message}", file=sys.__stderr__, flush=True)
