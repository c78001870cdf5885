"""Every role against a real broker that wants TLS and a login."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import orjson
import pytest
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from sqlalchemy import select

from streams import credentials, forget, kafka_security, ports, topics
from streams.check import load_sources
from streams.clock import SystemClock
from streams.errors import InvalidConfiguration
from streams.ledger import open_ledger
from streams.ledger_tables import application
from streams.settings import ROOT, Settings
from streams.whole_topic import end_of, everything, one_partition, reader
from tests.fake_harvest import FakeHarvest, serving
from tests.greenhouse import BODIES
from tests.greenhouse import headers as raw_headers
from tests.secured import CLIENT_SECRET, PASSWORD, USER, certificates, leaf, secured_node, token_endpoint
from tests.waiting import until

pytestmark = pytest.mark.kafka

SECRETS = {name: f"{name.lower()}-of-the-test" for name in credentials.names(load_sources(ROOT / "deploy"))}


@pytest.fixture(scope="module")
def secured() -> Iterator[Settings]:
    """Settings for a secured node that lives as long as this module; `kafka_sasl_password_file` is beside its data."""
    with tempfile.TemporaryDirectory(prefix="mutual-sla-secured-") as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD + "\n")
        (folder / "state").mkdir()
        with secured_node(folder) as (node, ca, other):
            certificate, key = leaf(folder, "worker")
            (folder / "mutual").write_text(json.dumps([other, str(certificate), str(key)]))
            yield Settings(
                brokers=node.bootstrap,
                kafka_security_protocol="SASL_SSL",
                kafka_ssl_cafile=str(ca),
                kafka_sasl_username=USER,
                kafka_sasl_password_file=str(folder / "password"),
                app_id="secured",
                state_dir=folder / "state",
                session_timeout=6.0,
            )


def start(stack: ExitStack, settings: Settings, *command: str, **environment: str) -> subprocess.Popen[bytes]:
    variables = {**os.environ, **SECRETS, **settings.environment(), **environment}
    log = stack.enter_context((settings.state_dir / f"{command[-1]}.log").open("wb"))
    process = subprocess.Popen(
        [sys.executable, "-m", "streams", *command], env=variables, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
    )
    stack.callback(stop, process)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def test_a_webhook_passes_every_role_by_tls_scram_and_oauthbearer(secured: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("gateway_port", "normalise_metrics_port", "track_metrics_port", "ledger_metrics_port")
    settings = replace(secured, **{name: ports.free() for name in names})  # type: ignore[arg-type]
    topics.verify(settings)
    ledger = open_ledger(settings.ledger)
    with ExitStack() as stack:
        url, asked = stack.enter_context(token_endpoint())
        by_token = replace(
            settings, kafka_sasl_mechanism="OAUTHBEARER", kafka_sasl_token_url=url, kafka_sasl_password_file="", worker_id="o"
        )
        start(stack, settings, "ledger")
        start(stack, by_token, "worker", "normalise", **{kafka_security.PASSWORD: CLIENT_SECRET})
        start(stack, settings, "worker", "track")
        start(stack, settings, "gateway")
        address = f"http://{settings.host}:{settings.gateway_port}"

        def ready() -> bool:
            try:
                return httpx.get(f"{address}/readyz").status_code == 200
            except httpx.TransportError:
                return False

        until(ready)
        body = orjson.dumps(BODIES["webhook.new_candidate_application"])
        signature = hmac.new(SECRETS["GREENHOUSE_WEBHOOK_SECRET"].encode(), body, hashlib.sha256).hexdigest()
        answer = httpx.post(f"{address}/webhooks/greenhouse", content=body, headers={"Signature": f"sha256 {signature}"})
        assert answer.status_code == 200

        def recorded() -> bool:
            with ledger.connect() as connection:
                return bool(connection.execute(select(application.c.application_id)).all())

        until(recorded)
        assert asked, "normalise came in by a token"
        monkeypatch.setenv(kafka_security.PASSWORD, CLIENT_SECRET)
        assert by_partition(by_token)
    ledger.dispose()
    logs = b"".join(path.read_bytes() for path in settings.state_dir.glob("*.log"))
    assert logs
    for secret in (PASSWORD, CLIENT_SECRET):
        assert secret.encode() not in logs


def ways_in(secured: Settings) -> dict[str, Settings]:
    """Every login that is left, each with topics of its own."""
    other, certificate, key = json.loads((secured.state_dir.parent / "mutual").read_text())
    found = {name: replace(secured, kafka_sasl_mechanism=name) for name in ("SCRAM-SHA-256", "PLAIN")}
    ours = {
        "kafka_ssl_certfile": certificate,
        "kafka_ssl_keyfile": key,
        "kafka_sasl_username": "",
        "kafka_sasl_password_file": "",
    }
    found["certificate"] = replace(secured, brokers=other, kafka_security_protocol="SSL", **ours)
    for number, (name, settings) in enumerate(found.items()):
        state = secured.state_dir.parent / f"way-{number}"
        state.mkdir(exist_ok=True)
        own = {"topic_prefix": f"way{number}.", "app_id": f"way{number}", "state_dir": state, "deploy_dir": state}
        found[name] = replace(settings, **own, normalise_metrics_port=ports.free(), poller_metrics_port=ports.free())
    return found


def by_topic(settings: Settings) -> list[tuple[int, int]]:
    """Places of all records of ats.facts, as kafka-python reads them."""
    with reader(settings) as consumer:
        return sorted((record.partition, record.offset) for record in everything(consumer, settings.topic("ats.facts")))


def by_partition(settings: Settings) -> list[tuple[int, int]]:
    """The same as `rebuild` reads them, by aiokafka."""
    topic = settings.topic("ats.facts")
    with reader(settings) as consumer:
        ends = [(number, end_of(consumer, topic, number)) for number in consumer.partitions_for_topic(topic) or ()]
    found = [one_partition(settings, topic, number, end) for number, end in ends]
    return sorted((record.partition, record.offset) for pieces in found for records in pieces for record in records)


def test_poller_and_normalise_come_in_by_plain_scram_256_and_certificate(secured: Settings) -> None:
    """The poller has kafka-python's clients, a producer and a consumer; normalise has aiokafka's."""
    job = {"id": 7, "status": "open", "opened_at": "2026-03-01T16:00:00Z", "updated_at": "2026-03-01T16:00:00Z"}
    nothing = {name: [] for name in ("/job_hiring_managers", "/job_owners", "/openings")}
    with ExitStack() as stack:
        origin = stack.enter_context(serving(FakeHarvest({"/jobs": [job], **nothing})))
        api = {"base_url": f"{origin}/v3", "token_url": f"{origin}/token", "user": "7"}
        secrets = {"client_id": {"env": "T_CLIENT"}, "client_secret": {"env": "T_SECRET"}}
        account = {"account": "greenhouse", "system": "greenhouse", "polled": ["jobs"], "poll_every": 0.5, "api": api | secrets}
        ways = ways_in(secured)
        for settings in ways.values():
            (settings.deploy_dir / "sources.yaml").write_text(json.dumps({"tenant": "acme", "accounts": [account]}))
            shutil.copy(ROOT / "deploy/stages.yaml", settings.deploy_dir)
            topics.verify(settings)
            start(stack, settings, "worker", "normalise")
            start(stack, settings, "poll", T_CLIENT="client", T_SECRET="hush")

        def opened(settings: Settings) -> bool:
            with reader(settings) as consumer:
                return any(b"requisition.opened" in record.value for record in everything(consumer, settings.topic("ats.facts")))

        for settings in ways.values():
            until(partial(opened, settings))
    for settings in ways.values():
        assert by_partition(settings) == by_topic(settings) != []
        logs = b"".join(path.read_bytes() for path in settings.state_dir.glob("*.log"))
        assert logs and PASSWORD.encode() not in logs and b"hush" not in logs


def test_a_wrong_password_and_a_foreign_authority_are_said_and_nothing_secret_is_shown(secured: Settings, tmp_path: Path) -> None:
    wrong = replace(secured, kafka_sasl_password_file="", app_id="wrong")
    foreign = replace(secured, kafka_ssl_cafile=str(certificates(tmp_path)[0]))
    nobody = replace(ways_in(secured)["certificate"], kafka_ssl_certfile="", kafka_ssl_keyfile="")
    cases = [
        *((wrong, verb, 78, f"refuses {USER}") for verb in (["topics"], ["worker", "normalise"], ["ledger"])),
        (foreign, ["topics"], 69, "does not answer (by SASL_SSL)"),
        (nobody, ["topics"], 69, "does not answer (by SSL)"),
    ]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "streams", *verb],
            env={**os.environ, **settings.environment(), kafka_security.PASSWORD: "battery staple"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for settings, verb, _, _ in cases
    ]
    for process, (_, _, code, words) in zip(running, cases, strict=True):
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        assert words in err
        assert "battery staple" not in out + err


def test_a_forgotten_candidate_is_gone_from_the_brokers_disk(secured: Settings) -> None:
    settings = replace(secured, topic_prefix="disk.", app_id="disk")
    topics.verify(settings)
    topic, name, body = settings.topic("ats.raw"), b"Zuleika", orjson.dumps(BODIES["webhook.new_candidate_application"])
    assert name in body
    connection = kafka_security.connection(settings)
    producer = KafkaProducer(**connection)
    headers = raw_headers("webhook.new_candidate_application").to_kafka()
    sent = producer.send(topic, key=b"greenhouse", value=body, headers=headers).get(timeout=20)
    producer.close()
    consumer = KafkaConsumer(**connection, group_id="disk-normalise", enable_auto_commit=False)
    place = TopicPartition(topic, sent.partition)
    consumer.assign([place])
    consumer.commit({place: OffsetAndMetadata(sent.offset + 1, "", -1)})
    consumer.close()
    files = settings.state_dir.parent / "kafka" / "data"

    def on_disk() -> list[Path]:
        return [path for path in files.glob("disk.*/*.log*") if name in path.read_bytes()]

    assert on_disk()
    candidate = BODIES["webhook.new_candidate_application"]["payload"]["application"]["candidate"]["id"]
    assert forget.run(settings, f"greenhouse/{candidate}", SystemClock()) == 1
    until(lambda: not on_disk())


def test_every_fault_of_the_settings_is_listed() -> None:
    settings = Settings(
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="OAUTHBEARER",
        kafka_ssl_cafile="/nowhere",
        kafka_ssl_certfile="x",
    )
    with pytest.raises(InvalidConfiguration) as caught:
        kafka_security.connection(settings)
    assert [fault.split(":")[0].split(" ")[0].split("=")[0] for fault in caught.value.faults] == [
        "MUTUAL_SLA_KAFKA_SASL_USERNAME",
        "MUTUAL_SLA_KAFKA_SASL_TOKEN_URL",
        "MUTUAL_SLA_KAFKA_SSL_CAFILE",
        "MUTUAL_SLA_KAFKA_SSL_CERTFILE",
        "MUTUAL_SLA_KAFKA_SSL_CERTFILE",
    ]
