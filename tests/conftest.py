"""What the tests that need real services share: a Kafka node, a PostgreSQL cluster, topics of one's own.

Both services are started once a session, on free ports, with data in a temporary folder, and stopped at the end.
Where a binary is missing, the tests that need it are skipped with the reason; in CI (CI=true) they fail, for there a skip
would hide a broken set-up.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import sqlalchemy

from streams import ports
from streams import topics as topics_module
from streams.kafka_node import KafkaNode, jars_dir
from streams.settings import Settings

#: The programs each marker needs, and where Debian keeps those that are not on the PATH.
NEEDS = {
    "kafka": ("java",),
    "postgres": ("initdb", "postgres", "pg_isready"),
    "prometheus": ("promtool", "prometheus", "prometheus-alertmanager|alertmanager"),
}


#: `make(**overrides) -> Settings`: a corner of the cluster that nobody else uses, with its own prefix, app id and state.
MakeTopics = Callable[..., Settings]


def program(name: str) -> str | None:
    """The path of a program, `a|b` meaning the first that is there; PostgreSQL's are looked up in Debian's folders too."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, debian)])
    return next((found for one in name.split("|") if (found := shutil.which(one, path=path))), None)


def pytest_configure(config: pytest.Config) -> None:
    """No test depends on the caller's own settings."""
    for name in [name for name in os.environ if name.startswith("MUTUAL_SLA_")]:
        del os.environ[name]


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, programs in NEEDS.items():
        wanted = item.get_closest_marker(marker) is not None or marker in getattr(item, "fixturenames", ())
        missing = [one for one in programs if program(one) is None] if wanted else []
        if wanted and marker == "kafka" and not jars_dir().is_dir() and program("mvn") is None:
            missing.append("mvn (to fetch Kafka's jars)")
        if missing:
            reason = f"not installed: {', '.join(missing)}; run `make setup`"
            pytest.fail(reason, pytrace=False) if os.environ.get("CI") == "true" else pytest.skip(reason)


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """`127.0.0.1:PORT` of a real Kafka node that lives as long as the test session."""
    with tempfile.TemporaryDirectory(prefix="mutual-sla-kafka-") as folder, KafkaNode(Path(folder)) as node:
        yield node.bootstrap


@pytest.fixture
def topics(kafka: str, tmp_path: Path) -> MakeTopics:
    """`topics(**overrides)` creates every topic of schemas/topics.yaml under an own prefix and gives the settings for it."""

    def make(**overrides: Any) -> Settings:
        own = f"t{uuid.uuid4().hex[:8]}"
        state = tmp_path / own
        state.mkdir()
        values: dict[str, Any] = {"brokers": kafka, "topic_prefix": f"{own}.", "app_id": own, "state_dir": state, **overrides}
        settings = Settings(**values)
        topics_module.verify(settings)
        return settings

    return make


class Postgres:
    """A PostgreSQL cluster in a folder, from Debian's binaries, on a free port of 127.0.0.1.

    No fsync, for it is thrown away; with `durable` everything as PostgreSQL's own settings have it.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self.folder = folder
        self.durable = durable
        self.port = ports.free()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, name: str, *arguments: str) -> list[str]:
        """As user postgres where we are root (initdb and postgres refuse root); ends when pytest ends, however that happens."""
        found = program(name)
        assert found is not None, name
        user = ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"] if os.geteuid() == 0 else []
        return ["setpriv", *user, "--pdeathsig", "INT", "--", found, *arguments]

    def run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            self.command(name, *arguments), cwd=self.folder, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        if done.returncode != 0:
            raise RuntimeError(f"{name}: {done.stdout}{done.stderr}")

    def start(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self.folder.chmod(0o700)
        data = str(self.folder / "data")
        self.run("initdb", "-D", data, "-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.launch()

    def launch(self) -> None:
        """Start the server, at first or again, and wait until it answers."""
        options = ["-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder), "-h", "127.0.0.1"]
        options += [] if self.durable else ["-c", "fsync=off", "-c", "full_page_writes=off"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command("postgres", *options),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for pytest; it stops us
            )
        end = monotonic() + 60
        while subprocess.run([str(program("pg_isready")), "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode != 0:
            if self.process.poll() is not None or monotonic() > end:
                raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()}")
            sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """SIGQUIT: at once, as after a crash; SIGINT: connections are cut, and it ends in order (pg_ctl's immediate and fast)."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://test@127.0.0.1:{self.port}/{database}"


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Postgres]:
    """The session's PostgreSQL; tests want `postgres`, a database of their own in it."""
    with tempfile.TemporaryDirectory(prefix="mutual-sla-postgres-") as folder:
        cluster = Postgres(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def postgres(postgres_cluster: Postgres) -> Iterator[str]:
    """SQLAlchemy URL of a fresh, empty database on a real PostgreSQL server; dropped after the test."""
    name = f"t{uuid.uuid4().hex[:12]}"
    engine = sqlalchemy.create_engine(postgres_cluster.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    yield postgres_cluster.url(name)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()
