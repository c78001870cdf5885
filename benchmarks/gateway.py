"""How many signed webhooks a second one gateway process takes, each acknowledged in Kafka before its answer.

Run: `python benchmarks/gateway.py [--brokers HOST:PORT] [--requests N] [--body BYTES]`; without brokers it starts a Kafka node
of its own. Everything shares this machine: broker, gateway and the caller, which is bare sockets and signs before it starts.
Prints the machine, then for each number of callers at once the requests a second and the time to the answer (p50, p99).
With `--abuse [CONNECTIONS]` instead: what eight honest callers, 100 requests a second together, are told while another process
keeps hostile connections open (tests/abuse.py: silent, slow, endless, deaf), each kind by itself with as many as it has of
the mixture, then the mixture; each row with the gateway's sockets at its end and its peak memory meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import itertools
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path

import httpx
import yaml
from kafka import KafkaConsumer, TopicPartition

from streams import ports
from streams import topics as topics_module
from streams.kafka_node import KafkaNode
from streams.settings import ROOT, Settings
from tests import abuse

SECRET = "benchmark-secret"
SOURCES = {
    "tenant": "bench",
    "accounts": [{"account": "greenhouse", "system": "greenhouse", "webhook_secrets": [{"env": "BENCH_SECRET"}]}],
}


def request(number: int, size: int) -> bytes:
    start = b'{"action": "candidate_stage_change", "n": %d, "payload": "' % number
    body = start + b"x" * (size - len(start) - 2) + b'"}'
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    head = "POST /webhooks/greenhouse HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return f"{head}Signature: sha256 {signature}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def caller(port: int, requests: list[bytes], took: list[float]) -> None:
    """One connection, one request after the other; adds each time to an answer of 200 to `took`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while requests:
        payload = requests.pop()
        began = time.perf_counter()
        writer.write(payload)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(head.decode())
        took.append(time.perf_counter() - began)
    writer.close()


async def measure(port: int, requests: list[bytes], at_once: int) -> str:
    took: list[float] = []
    count, began = len(requests), time.perf_counter()
    await asyncio.gather(*(caller(port, requests, took) for _ in range(at_once)))
    seconds = time.perf_counter() - began
    took.sort()
    p50, p99 = (took[int(len(took) * share)] * 1000 for share in (0.5, 0.99))
    return f"{at_once:4d} at once: {count / seconds:7.0f} requests/s   p50 {p50:6.1f} ms   p99 {p99:6.1f} ms"


def in_topic(settings: Settings) -> int:
    topic = settings.topic("ats.raw")
    consumer = KafkaConsumer(bootstrap_servers=settings.brokers, group_id=None)
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    ends = consumer.end_offsets(partitions)
    consumer.close()
    return sum(ends.values())


def machine() -> str:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?"
    )
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}, load before the run {load:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brokers")
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--body", type=int, default=2_000, help="bytes of a body; a Greenhouse stage change has about 4 kB")
    parser.add_argument("--abuse", type=int, nargs="?", const=1000, metavar="CONNECTIONS")
    options = parser.parse_args()
    print(machine())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mutual-sla-bench-")))
        brokers = options.brokers or stack.enter_context(KafkaNode(folder / "kafka")).bootstrap
        (folder / "sources.yaml").write_text(yaml.safe_dump(SOURCES))
        settings = Settings(
            gateway_rate=0,  # the limit of one source is not what is measured
            brokers=brokers,
            topic_prefix=f"bench{os.getpid()}.",
            gateway_port=ports.free(),
            deploy_dir=folder,
            state_dir=folder,
        )
        topics_module.verify(settings)
        environment = {**os.environ, **settings.environment(), "BENCH_SECRET": SECRET}
        process = subprocess.Popen([sys.executable, "-m", "streams", "gateway"], cwd=ROOT, env=environment)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        wait_until_ready(settings)
        if options.abuse:
            run_abused(settings, process.pid, options.abuse, options.requests, options.body)
        else:
            run(settings, options.requests, options.body)


def run_abused(settings: Settings, pid: int, connections: int, count: int, size: int) -> None:
    kept, number = 0, itertools.count()
    kinds = [(kind.__name__, round(share * connections)) for kind, share in abuse.MIXTURE]
    for kind, hostile in (("nobody", 0), *kinds, ("mixture", connections)):
        bodies = [request(next(number), size).partition(b"\r\n\r\n")[2] for _ in range(count // 10)]
        only = None if kind == "mixture" else kind
        abuse.forget_peak(pid)
        with abuse.attacked(settings.gateway_port, hostile, only) if hostile else nullcontext():
            answers = asyncio.run(honest(settings.gateway_port, bodies))
            held = abuse.sockets_of(pid)
        kept += len(answers.kept)
        p50, p99 = answers.quantile(0.5) * 1000, answers.quantile(0.99) * 1000
        told = ", ".join(f"{status or 'nothing'} {times} times" for status, times in sorted(answers.statuses.items()))
        print(f"{kind:15s} {hostile:4d} hostile: p50 {p50:6.1f} ms   p99 {p99:6.1f} ms", end="   ")
        print(f"gateway: {held} sockets, peak {abuse.peak_megabytes(pid):.0f} MB   honest callers were told {told}", flush=True)
    print(f"acknowledged {kept}, in the topic {in_topic(settings)}")


async def honest(port: int, bodies: list[bytes], callers: int = 8, a_second: int = 100) -> abuse.Answers:
    answers, waiting = abuse.Answers(), iter(bodies)
    ask = [abuse.ask(port, waiting, SECRET.encode(), answers, callers / a_second) for _ in range(callers)]
    await asyncio.gather(*ask)
    return answers


def wait_until_ready(settings: Settings) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            if httpx.get(f"http://127.0.0.1:{settings.gateway_port}/readyz").status_code == 200:
                break
        except httpx.TransportError:
            pass
        time.sleep(0.1)


def run(settings: Settings, count: int, size: int) -> None:
    acknowledged = 0
    for at_once in (1, 16, 64, 256):
        requests = [request(number, size) for number in range(count if at_once > 1 else count // 20)]
        acknowledged += len(requests)
        print(asyncio.run(measure(settings.gateway_port, requests, at_once)))
    print(f"acknowledged {acknowledged}, in the topic {in_topic(settings)}")


if __name__ == "__main__":
    main()
