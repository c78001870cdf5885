"""Settings of every role, read once from the environment (`MUTUAL_SLA_*`); nothing else reads it, but for secrets by name.

Secrets are never settings: `deploy/sources.yaml` names the variable or file each one is in.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything a role needs to know; each field is `MUTUAL_SLA_<FIELD>` in the environment."""

    brokers: str = "127.0.0.1:9092"
    kafka_security_protocol: str = "PLAINTEXT"  #: or SSL, SASL_PLAINTEXT, SASL_SSL (docs/security.md)
    kafka_ssl_cafile: str = ""  #: PEM of the authority that signed the brokers' certificates; empty: the system's
    kafka_ssl_certfile: str = ""  #: our own certificate, where the brokers want one
    kafka_ssl_keyfile: str = ""
    kafka_sasl_mechanism: str = "SCRAM-SHA-512"  #: or SCRAM-SHA-256, PLAIN, OAUTHBEARER
    kafka_sasl_username: str = ""  #: for OAUTHBEARER the client id
    kafka_sasl_password_file: str = ""  #: empty: the variable MUTUAL_SLA_KAFKA_PASSWORD; for OAUTHBEARER the client's secret
    kafka_sasl_token_url: str = ""  #: OAUTHBEARER: token endpoint of a client-credentials grant
    topic_prefix: str = ""
    state_dir: Path = field(default_factory=lambda: Path.home() / ".local/state/mutual-sla")
    deploy_dir: Path = ROOT / "deploy"  #: policy.yaml, calendars.yaml, people.yaml, stages.yaml, sources.yaml, ...
    ledger_url: str = ""  #: SQLAlchemy URL; empty: SQLite in the state directory
    app_id: str = "mutual-sla"  #: prefix of Faust application ids and consumer groups
    worker_id: str = "0"  #: distinguishes workers on one machine: static membership and data directory
    host: str = "127.0.0.1"
    gateway_port: int = 8080
    api_port: int = 8081
    exporter_port: int = 8082
    pager_port: int = 8083
    normalise_metrics_port: int = 8084
    track_metrics_port: int = 8085
    ledger_metrics_port: int = 8086
    poller_metrics_port: int = 8087
    prometheus_port: int = 9090
    alertmanager_port: int = 9093
    smtp_host: str = ""  #: where the pager hands in e-mail; empty: e-mail contacts cannot be reached
    smtp_port: int = 25
    smtp_from: str = "mutual-sla@localhost"
    api_url: str = ""  #: where people open receipts; empty: the API on this machine
    max_body_bytes: int = 900_000  #: below the topics' max.message.bytes
    gateway_timeout: float = 10.0  #: seconds a request may take, delivery to Kafka included
    gateway_rate: float = 1000.0  #: requests a second of one account or one token, lasting; 0: no limit
    gateway_burst: int = 5000  #: requests that one account or token may send at once
    tick_seconds: float = 60.0  #: at most this long between two ticks of a partition
    horizon_days: int = 400  #: a requisition closed for so long, with nothing open, leaves the tracker's state; 0: never
    session_timeout: float = 8.0  #: Kafka group session of the workers, seconds: a dead one's partitions go to another then
    lease_seconds: float = 3.5  #: a worker frozen longer than this must not write any more; less than half a session
    standbys: int = 0  #: workers that keep a copy of each partition's state beside its owner's; 1 where state takes long to read
    stall_seconds: float = 120.0  #: work at hand and no progress for so long: /healthz fails, and soon the role ends; 0: never
    unwell_seconds: float = 60.0  #: of `up`: a role whose /healthz fails for so long is killed and started again
    raw_retention_days: int = 0  #: how long ats.raw is kept; 0: as schemas/topics.yaml says
    replication_factor: int = 0  #: of topics that are created; 0: three, or as many as there are brokers
    kafka_heap: str = "512m"  #: of the embedded Kafka node, as java's -Xmx takes it
    log_level: str = "info"

    @property
    def ledger(self) -> str:
        return self.ledger_url or f"sqlite:///{self.state_dir / 'ledger.db'}"

    def topic(self, name: str) -> str:
        """The name of a topic of schemas/topics.yaml on this cluster."""
        return self.topic_prefix + name

    def environment(self) -> dict[str, str]:
        """These settings as environment variables, for a child process."""
        return {f"MUTUAL_SLA_{f.name.upper()}": str(getattr(self, f.name)) for f in fields(self)}


def from_environment(**overrides: object) -> Settings:
    """Settings from `MUTUAL_SLA_*`, then `overrides` that are not None.

    Raises ValueError naming the variable if a value is not of its field's type, or if a worker could outlive its session.
    """
    values: dict[str, object] = {}
    for spec in fields(Settings):
        name = f"MUTUAL_SLA_{spec.name.upper()}"
        text = os.environ.get(name)
        if text is None:
            continue
        kind = {"int": int, "float": float, "Path": Path}.get(str(spec.type), str)
        try:
            values[spec.name] = kind(text)
        except ValueError as error:
            raise ValueError(f"{name}={text!r} is not of type {spec.type}") from error
    values.update({k: v for k, v in overrides.items() if v is not None})
    settings = Settings(**values)  # type: ignore[arg-type]
    if not 0 < settings.lease_seconds < settings.session_timeout:
        raise ValueError(
            f"MUTUAL_SLA_LEASE_SECONDS={settings.lease_seconds} must be above 0 and less than MUTUAL_SLA_SESSION_TIMEOUT="
            f"{settings.session_timeout}: else a frozen worker still writes when its partitions are another's"
        )
    return settings
