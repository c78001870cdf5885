"""One real Kafka node (KRaft: broker and controller in one JVM) on this machine, for `mutual-sla up` and the tests.

In: a folder for its data and logs, a port or none. Out: a broker that answers at `bootstrap`. The data stay over restarts.
The jars come from Maven (deploy/kafka/pom.xml) into a cache folder, once for each version.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from time import monotonic, sleep
from typing import Any

import structlog
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from streams import ports
from streams.errors import Unreachable
from streams.process import Process, tail
from streams.settings import ROOT

log = structlog.get_logger()

KAFKA_DIR = ROOT / "deploy" / "kafka"
#: For a quick start with a small heap. The throughput of a single node is bound by its clients, not by the collector.
JVM_FLAGS = ("-XX:+UseSerialGC", "-Xss512k", "-Djava.awt.headless=true", "-Dcom.sun.management.jmxremote=false")


def version() -> str:
    """The version of Kafka, as deploy/kafka/pom.xml pins it."""
    found = re.search(r"<kafka\.version>([^<]+)</kafka\.version>", (KAFKA_DIR / "pom.xml").read_text())
    if found is None:
        raise ValueError(f"{KAFKA_DIR / 'pom.xml'} names no <kafka.version>")
    return found.group(1)


def jars_dir() -> Path:
    """Where the jars are kept, or will be: one folder a version in the user's cache."""
    return Path.home() / ".cache" / "mutual-sla" / f"kafka-{version()}"


def fetch_jars() -> Path:
    """The folder of the jars; fetched by Maven if they are not there. Raises Unreachable with Maven's own words."""
    folder = jars_dir()
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise Unreachable(f"no Kafka {version()} in {folder} and no mvn to fetch it: run `make setup`, or give --brokers")
    fresh = folder.with_name(f"{folder.name}.{os.getpid()}")
    command = [maven, "-B", "-q", "-f", str(KAFKA_DIR / "pom.xml"), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={fresh}"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise Unreachable(f"Maven could not fetch Kafka {version()}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    try:
        fresh.rename(folder)  # whole or not at all
    except OSError:  # another process was faster
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


class KafkaNode:
    """A Kafka node in `directory`. Not started by making it; `with KafkaNode(...) as node` starts and stops it."""

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        *,
        heap: str = "512m",
        start_timeout: float = 60.0,
        properties: str = "",
        format_options: Sequence[str] = (),
        client: Mapping[str, Any] | None = None,
        cluster: str = "",
    ) -> None:
        """`start_timeout`: seconds without an answer and without news in its log, or ten times as many in all, after which
        it has not started: after a kill it may look through its data for minutes. `properties`: more lines of
        server.properties, where ${PORT} is ours and a later line wins; `format_options`: of Kafka's StorageTool, such as
        --add-scram; `client`: what kafka-python needs to get in, beside the address; `cluster`: the id of the cluster it
        belongs to (default: a new one, of its own).
        """
        self.directory = directory
        self.properties = properties
        self.format_options = tuple(format_options)
        self.client = dict(client or {})
        self.cluster = cluster or base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
        self.heap = heap
        self.start_timeout = start_timeout
        self.process: Process | None = None
        self._wanted = port
        self.port = port or 0  #: of the broker's listener; final once started

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log_path(self) -> Path:
        return self.directory / "logs" / "kafka.log"

    def start(self) -> KafkaNode:
        """Start the node and return once it answers.

        Raises Unreachable, with the end of its log, if there is no Java, a wanted port is taken, or it does not answer in time.
        """
        if self._wanted and not ports.is_free(self._wanted):
            raise Unreachable(f"port {self._wanted} is taken; give another one to --port, or none")
        for attempt in range(3):
            self.launch()
            if self._wait_until_it_answers():
                self._wanted = self.port  # clients know it now: a later launch keeps it
                return self
            if self._wanted or attempt == 2 or "Address already in use" not in self._log_tail():
                break
            self.stop()
        words = self._log_tail()
        self.stop()
        raise Unreachable(f"Kafka did not start; the end of {self.log_path}:\n{words}")

    def stop(self, timeout: float = 15.0) -> None:
        """SIGTERM, and SIGKILL after `timeout` seconds. Safe to call at any time."""
        if self.process is not None:
            self.process.stop(timeout)
            self.process = None

    def alive(self) -> bool:
        return self.process is not None and self.process.alive()

    def __enter__(self) -> KafkaNode:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def launch(self) -> Process:
        """Start the JVM and return at once; `start` also waits. On its earlier data and port, if it ran before."""
        config, data, logs = self.directory / "server.properties", self.directory / "data", self.directory / "logs"
        for folder in (data, logs):
            folder.mkdir(parents=True, exist_ok=True)
        self.port = self._wanted or ports.free()
        values = {"PORT": self.port, "CONTROLLER_PORT": ports.free(taken=(self.port,)), "DATA_DIR": data}
        template = (KAFKA_DIR / "server.properties").read_text() + "\n" + self.properties
        config.write_text(Template(template).substitute(values))
        java = self._java()
        if not (data / "meta.properties").exists():
            self._format(java, config)
        self.log_path.unlink(missing_ok=True)  # so that a fault found in it is of this start
        self.process = Process.spawn("kafka", [*java, "kafka.Kafka", str(config)], log=logs / "kafka.out")
        return self.process

    def _java(self) -> list[str]:
        java = shutil.which("java")
        if java is None:
            raise Unreachable("no java on the PATH (Kafka needs Java 17 or later): run `make setup`, or give --brokers")
        # Given as it is: the JVM reads `*` as all jars of the folder.
        paths = ["-cp", f"{fetch_jars()}/*", f"-Dkafka.logs.dir={self.directory / 'logs'}"]
        logging = f"-Dlog4j2.configurationFile={KAFKA_DIR / 'log4j2.yaml'}"
        return [java, f"-Xmx{self.heap}", *JVM_FLAGS, logging, *paths]

    def _format(self, java: list[str], config: Path) -> None:
        command = [*java, "kafka.tools.StorageTool", "format", "-t", self.cluster, "-c", str(config), *self.format_options]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise Unreachable(f"Kafka could not format {self.directory}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    def _wait_until_it_answers(self) -> bool:
        told, since, end = self._logged(), monotonic(), monotonic() + 10 * self.start_timeout
        while monotonic() < min(since + self.start_timeout, end) and self.alive():
            if (now := self._logged()) != told:
                told, since = now, monotonic()
            # Only ask once the socket is open: the client's own retries are slower than this loop.
            if ports.answers(self.port) and reachable(self.bootstrap, client=self.client):
                return True
            sleep(0.1)
        return False

    def _logged(self) -> int:
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def _log_tail(self) -> str:
        return tail(self.log_path) or tail(self.directory / "logs" / "kafka.out")


def reachable(bootstrap: str, timeout: float = 5.0, client: Mapping[str, Any] | None = None) -> bool:
    """Whether a Kafka cluster answers at `bootstrap` (comma-separated host:port) within about `timeout` seconds."""
    try:
        admin = KafkaAdminClient(
            **{"bootstrap_servers": bootstrap.split(","), "bootstrap_timeout_ms": int(timeout * 1000), **(client or {})}
        )
    except (KafkaError, OSError):
        return False
    try:
        return bool(admin.describe_cluster()["brokers"])
    except (KafkaError, OSError):
        return False
    finally:
        admin.close()


if __name__ == "__main__":  # deploy/setup.sh and deploy/Dockerfile: have the jars before anything needs them
    print(fetch_jars())  # noqa: T201
