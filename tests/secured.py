"""A real Kafka node that wants TLS and a login: SCRAM, PLAIN, OAUTHBEARER with the unsigned tokens Kafka takes for tests, or, at
an address of its own, a certificate of the client's."""

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

from streams import ports
from streams.kafka_node import KafkaNode

USER, PASSWORD, CLIENT_SECRET = "mutual-sla", "correct horse", "client-secret-of-the-test"

PROPERTIES = """
listeners=SASL_SSL://127.0.0.1:${PORT},MUTUAL://127.0.0.1:OTHER,CONTROLLER://127.0.0.1:${CONTROLLER_PORT}
advertised.listeners=SASL_SSL://127.0.0.1:${PORT},MUTUAL://127.0.0.1:OTHER
listener.security.protocol.map=SASL_SSL:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT
listener.name.mutual.ssl.client.auth=required
inter.broker.listener.name=SASL_SSL
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN,OAUTHBEARER
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  user_USER="PASSWORD";
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


NEW: list[str | Path] = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"]


def certificates(folder: Path) -> tuple[Path, Path]:
    """(the authority's certificate, the broker's key and certificate in one PEM), both made by openssl for 127.0.0.1."""
    ca, key, broker = folder / "ca.pem", folder / "ca.key", folder / "broker.pem"
    own = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]
    subprocess.run([*NEW, "/CN=test authority", *own, "-keyout", key, "-out", ca], check=True, capture_output=True)
    certificate, secret = leaf(folder, "broker")
    broker.write_text(secret.read_text() + certificate.read_text())
    return ca, broker


def leaf(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate of the folder's authority, and its key."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    own: list[str | Path] = [
        *("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"),
        *("-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-keyout", key, "-out", certificate),
    ]
    subprocess.run([*NEW, f"/CN={name}", *own], check=True, capture_output=True)
    return certificate, key


@contextmanager
def secured_node(folder: Path) -> Iterator[tuple[KafkaNode, Path, str]]:
    """The node, the file of its authority, and the address where a client's certificate is the login."""
    ca, keystore = certificates(folder)
    properties, other = PROPERTIES, ports.free()
    words = {"USER": USER, "PASSWORD": PASSWORD, "KEYSTORE": str(keystore), "AUTHORITY": str(ca), "OTHER": str(other)}
    for word, value in words.items():
        properties = properties.replace(word, value)
    client = {
        "security_protocol": "SASL_SSL",
        "ssl_context": ssl.create_default_context(cafile=str(ca)),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": USER,
        "sasl_plain_password": PASSWORD,
    }
    scram = [word for size in (256, 512) for word in ("--add-scram", f"SCRAM-SHA-{size}=[name={USER},password={PASSWORD}]")]
    with KafkaNode(folder / "kafka", properties=properties, format_options=scram, client=client) as node:
        yield node, ca, f"127.0.0.1:{other}"


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
