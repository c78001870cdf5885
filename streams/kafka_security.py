"""How every role reaches Kafka: addresses, TLS and SASL, from the settings alone and for both clients alike.

In: the `kafka_*` settings. Out: keyword arguments for kafka-python, and credentials for Faust. The password is no setting: it
is read from the variable `MUTUAL_SLA_KAFKA_PASSWORD` or the file that `kafka_sasl_password_file` names, and never logged.
Server certificates are always verified, host name included.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
from kafka.errors import KafkaError, SaslAuthenticationFailedError
from kafka.net.sasl.oauth import AbstractTokenProvider

from schemas.sources import SecretRef
from streams.access import UnreadableSecret, resolve
from streams.clock import CLOCK_AHEAD
from streams.errors import InvalidConfiguration, MutualSLAError, Unreachable
from streams.settings import Settings

PASSWORD = "MUTUAL_SLA_KAFKA_PASSWORD"  # noqa: S105 - the name of a variable
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "OAUTHBEARER")
TOKEN_SECONDS = 10.0  #: for the token endpoint to answer
#: At most so long between two tries to reach a lost broker. kafka-python would wait up to 30 s, and the ledger with it though the
#: broker is back (measured: 31 s from the kill of a broker that needs 10; now 12).
RECONNECT_MS = 1_000
REFRESH_SHARE = 0.8  #: of a token's life after which a new one is fetched


def connection(settings: Settings) -> dict[str, Any]:
    """`bootstrap_servers`, security and RECONNECT_MS as kafka-python's producers, consumers and admin clients take them.

    Raises InvalidConfiguration listing every fault of the settings; the password is never in a message.
    """
    return {**_connection(settings), "reconnect_backoff_max_ms": RECONNECT_MS}


def asynchronous(settings: Settings) -> dict[str, Any]:
    """The same as aiokafka's clients take it, which ask again soon by themselves."""
    found = _connection(settings)
    if "sasl_oauth_token_provider" in found:
        found["sasl_oauth_token_provider"] = _async_tokens(found["sasl_oauth_token_provider"])
    return found


def _connection(settings: Settings) -> dict[str, Any]:
    """What both clients take alike."""
    found: dict[str, Any] = {"bootstrap_servers": settings.brokers.split(",")}
    _refuse_faults(settings)
    if settings.kafka_security_protocol == "PLAINTEXT":
        return found
    found["security_protocol"] = settings.kafka_security_protocol
    context = _context(settings)
    if context is not None:
        found["ssl_context"] = context
    if settings.kafka_security_protocol.startswith("SASL_"):
        found["sasl_mechanism"] = settings.kafka_sasl_mechanism
        if settings.kafka_sasl_mechanism == "OAUTHBEARER":
            found["sasl_oauth_token_provider"] = _tokens(settings)
        else:
            found["sasl_plain_username"] = settings.kafka_sasl_username
            found["sasl_plain_password"] = _password(settings)
    return found


def broker_credentials(settings: Settings) -> Any:
    """The same for Faust's `broker_credentials`; None for PLAINTEXT. Raises InvalidConfiguration as `connection` does."""
    import faust

    _refuse_faults(settings)
    context, mechanism = _context(settings), settings.kafka_sasl_mechanism
    if settings.kafka_security_protocol == "PLAINTEXT":
        return None
    if settings.kafka_security_protocol == "SSL":
        return faust.SSLCredentials(context)
    if mechanism == "OAUTHBEARER":
        return faust.auth.OAuthCredentials(oauth_cb=_async_tokens(_tokens(settings)), ssl_context=context)
    return faust.SASLCredentials(
        username=settings.kafka_sasl_username, password=_password(settings), ssl_context=context, mechanism=mechanism
    )


def unreachable(settings: Settings, error: Exception) -> MutualSLAError:
    """What a client's error means to whoever runs this: wrong credentials are configuration (78), the rest is away (69)."""
    if refuses_time(error):
        return Unreachable(CLOCK_AHEAD)
    if isinstance(error, SaslAuthenticationFailedError) or _refuses(settings):
        who = settings.kafka_sasl_username
        return InvalidConfiguration(
            [f"Kafka at {settings.brokers} refuses {who}: check {PASSWORD} (or its file) and MUTUAL_SLA_KAFKA_SASL_MECHANISM"]
        )
    words = type(error).__name__ + (f": {error}" if str(error) else "")
    hint = "" if settings.kafka_security_protocol == "PLAINTEXT" else f" (by {settings.kafka_security_protocol})"
    return Unreachable(f"Kafka at {settings.brokers} does not answer{hint}: {words}")


def refuses_time(error: Exception) -> bool:
    """Whether a broker refused a record for its time."""
    # of several such records in a batch kafka-python makes InvalidRecordError; the broker's words stay
    return isinstance(error, KafkaError) and "timestamp" in str(error).lower()


def _refuses(settings: Settings) -> bool:
    """Whether a broker refuses our login. kafka-python tries again until its time is over and then only says so, so ask once."""
    if not settings.kafka_security_protocol.startswith("SASL_"):
        return False
    from aiokafka.conn import create_conn
    from aiokafka.errors import AuthenticationFailedError, AuthenticationMethodNotSupported, SaslAuthenticationFailed
    from aiokafka.errors import KafkaError as AioKafkaError

    options = {name: value for name, value in asynchronous(settings).items() if name != "bootstrap_servers"}

    async def ask() -> bool:
        for address in settings.brokers.split(","):
            host, _, port = address.rpartition(":")
            try:
                async with asyncio.timeout(TOKEN_SECONDS):
                    (await create_conn(host.strip("[]"), int(port), **options)).close()
            except (AuthenticationFailedError, AuthenticationMethodNotSupported, SaslAuthenticationFailed):
                return True
            except (KafkaError, OSError, TimeoutError, AioKafkaError):
                continue
        return False

    with ThreadPoolExecutor(1) as apart:  # the caller may be inside a loop of its own
        return apart.submit(lambda: asyncio.run(ask())).result()


def _refuse_faults(settings: Settings) -> None:
    faults = []
    protocol, mechanism = settings.kafka_security_protocol, settings.kafka_sasl_mechanism
    if protocol not in PROTOCOLS:
        faults.append(f"MUTUAL_SLA_KAFKA_SECURITY_PROTOCOL={protocol!r} is none of {', '.join(PROTOCOLS)}")
    if protocol.startswith("SASL_"):
        if mechanism not in MECHANISMS:
            faults.append(f"MUTUAL_SLA_KAFKA_SASL_MECHANISM={mechanism!r} is none of {', '.join(MECHANISMS)}")
        if not settings.kafka_sasl_username:
            faults.append("MUTUAL_SLA_KAFKA_SASL_USERNAME is not set")
        if mechanism == "OAUTHBEARER" and not settings.kafka_sasl_token_url:
            faults.append("MUTUAL_SLA_KAFKA_SASL_TOKEN_URL is not set: where OAUTHBEARER gets its tokens")
    for name in ("kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile"):
        path = getattr(settings, name)
        if path and not Path(path).is_file():
            faults.append(f"MUTUAL_SLA_{name.upper()}: there is no file {path}")
    if bool(settings.kafka_ssl_certfile) != bool(settings.kafka_ssl_keyfile):
        faults.append("MUTUAL_SLA_KAFKA_SSL_CERTFILE and MUTUAL_SLA_KAFKA_SSL_KEYFILE belong together")
    if faults:
        raise InvalidConfiguration(faults)


def _context(settings: Settings) -> ssl.SSLContext | None:
    if not settings.kafka_security_protocol.endswith("SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ssl_cafile or None)
        if settings.kafka_ssl_certfile:
            context.load_cert_chain(settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile)
    except OSError as error:  # ssl.SSLError is one
        raise InvalidConfiguration([f"TLS to Kafka: the certificates cannot be read: {error}"]) from error
    return context


def _password(settings: Settings) -> str:
    file = settings.kafka_sasl_password_file
    try:
        return resolve(SecretRef(file=file) if file else SecretRef(env=PASSWORD), settings.deploy_dir).decode()
    except UnreadableSecret as error:
        raise InvalidConfiguration([f"the password for Kafka: {error}"]) from None


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """Tokens of an OAuth 2 client-credentials grant, fetched again before they expire; safe to call from several threads."""

    def __init__(self, url: str, client_id: str, secret: str) -> None:
        super().__init__()
        self._url, self._client_id, self._secret = url, client_id, secret
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    def token(self) -> str:
        """A token with life left. Raises KafkaError if the endpoint gives none; no secret is in the message."""
        with self._lock:
            if monotonic() >= self._until:
                self._token, seconds = self._fetch()
                self._until = monotonic() + seconds * REFRESH_SHARE
            return self._token

    def _fetch(self) -> tuple[str, float]:
        try:
            answer = httpx.post(
                self._url,
                data={"grant_type": "client_credentials"},
                auth=(self._client_id, self._secret),
                timeout=TOKEN_SECONDS,
                follow_redirects=False,
            )
            answer.raise_for_status()
            said = answer.json()
            return str(said["access_token"]), float(said.get("expires_in", 300))
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise KafkaError(f"no token from {self._url}: {type(error).__name__}") from None


@lru_cache(maxsize=8)
def _provider(url: str, client_id: str, secret: str) -> TokenProvider:
    return TokenProvider(url, client_id, secret)  # one a process, so that clients share its token


def _tokens(settings: Settings) -> TokenProvider:
    return _provider(settings.kafka_sasl_token_url, settings.kafka_sasl_username, _password(settings))


def _async_tokens(tokens: TokenProvider) -> Any:
    from aiokafka.abc import AbstractTokenProvider as AsyncProvider

    class AsyncTokens(AsyncProvider):  # type: ignore[misc]
        """The same tokens for aiokafka, without holding up its loop."""

        async def token(self) -> str:
            return await asyncio.to_thread(tokens.token)

    return AsyncTokens()
