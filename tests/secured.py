"""A real Kafka node that wants TLS and a login: SCRAM-SHA-512, or OAUTHBEARER with the unsigned tokens Kafka takes for tests."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from streams.kafka_node import KafkaNode

USER, PASSWORD, CLIENT_SECRET = "mutual-sla", "correct horse", "client-secret-of-the-test"

PROPERTIES = """
listeners=SASL_SSL://127.0.0.1:${PORT},CONTROLLER://127.0.0.1:${CONTROLLER_PORT}
advertised.listeners=SASL_SSL://127.0.0.1:${PORT}
listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SASL_SSL
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
sasl.enabled.mechanisms=SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\
  username="USER" password="PASSWORD";
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=\\
  org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
ssl.keystore.type=PEM
ssl.keystore.location=KEYSTORE
ssl.truststore.type=PEM
ssl.truststore.location=AUTHORITY
log.retention.check.interval.ms=500
log.segment.delete.delay.ms=100
log.initial.task.delay.ms=500
"""


def certificates(folder: Path) -> tuple[Path, Path]:
    """(the authority's certificate, the broker's key and certificate in one PEM), both made by openssl for 127.0.0.1."""
    ca, key, broker = folder / "ca.pem", folder / "ca.key", folder / "broker.pem"
    make: list[str | Path] = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"]
    own = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]
    subprocess.run([*make, "/CN=test authority", *own, "-keyout", key, "-out", ca], check=True, capture_output=True)
    leaf: list[str | Path] = [
        *("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"),
        *("-CA", ca, "-CAkey", key, "-keyout", folder / "leaf.key", "-out", folder / "leaf.pem"),
    ]
    subprocess.run([*make, "/CN=broker", *leaf], check=True, capture_output=True)
    broker.write_text((folder / "leaf.key").read_text() + (folder / "leaf.pem").read_text())
    return ca, broker


@contextmanager
def secured_node(folder: Path) -> Iterator[tuple[KafkaNode, Path]]:
    """The node and the file of its authority."""
    ca, keystore = certificates(folder)
    properties = PROPERTIES
    for word, value in {"USER": USER, "PASSWORD": PASSWORD, "KEYSTORE": str(keystore), "AUTHORITY": str(ca)}.items():
        properties = properties.replace(word, value)
    client = {
        "security_protocol": "SASL_SSL",
        "ssl_context": ssl.create_default_context(cafile=str(ca)),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": USER,
        "sasl_plain_password": PASSWORD,
    }
    scram = ["--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"]
    with KafkaNode(folder / "kafka", properties=properties, format_options=scram, client=client) as node:
        yield node, ca


@contextmanager
def token_endpoint() -> Iterator[tuple[str, list[str]]]:
    """The URL of a client-credentials token endpoint, and the Authorization headers it was asked with."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.headers["Authorization"])
            now = int(time.time())
            parts: list[dict[str, Any]] = [{"alg": "none"}, {"sub": USER, "iat": now - 5, "exp": now + 300}]
            words = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
            body = json.dumps({"access_token": ".".join(words) + ".", "expires_in": 300}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
