"""A cluster of three KRaft nodes on this machine, each broker and controller, that can be killed and brought back one by one."""

from __future__ import annotations

import base64
import uuid
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType

from streams import ports
from streams.kafka_node import KafkaNode, reachable
from streams.process import tail

COUNT = 3
START_SECONDS = 90.0

#: What differs from deploy/kafka/server.properties; later lines win.
PROPERTIES = """
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:${{PORT}},CONTROLLER://127.0.0.1:{controller}
offsets.topic.replication.factor=3
offsets.topic.min.insync.replicas=2
transaction.state.log.replication.factor=3
"""


class Brokers:
    """`with Brokers(folder) as cluster`; `cluster.nodes[0].process.kill()`, then `cluster.nodes[0].launch()`."""

    def __init__(self, folder: Path) -> None:
        taken: list[int] = []
        for _ in range(2 * COUNT):
            taken.append(ports.free(taken=taken))
        controllers = taken[COUNT:]
        voters = ",".join(f"{number}@127.0.0.1:{port}" for number, port in enumerate(controllers, 1))
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
        self.nodes = [
            KafkaNode(
                folder / f"broker-{number}",
                taken[number - 1],
                heap="320m",
                properties=PROPERTIES.format(id=number, voters=voters, controller=port),
                cluster=cluster,
            )
            for number, port in enumerate(controllers, 1)
        ]

    @property
    def bootstrap(self) -> str:
        return ",".join(node.bootstrap for node in self.nodes)

    def __enter__(self) -> Brokers:
        for node in self.nodes:
            node.launch()  # none answers before two are there, so nobody waits for the first
        try:
            self.await_all(START_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None) -> None:
        self.stop()

    def await_all(self, seconds: float) -> None:
        """Until every node answers."""
        end = monotonic() + seconds
        while not all(ports.answers(node.port) and reachable(node.bootstrap) for node in self.nodes):
            if monotonic() > end:
                raise AssertionError("\n".join(tail(node.log_path) for node in self.nodes))
            sleep(0.2)

    def stop(self) -> None:
        for node in self.nodes:
            if node.process is not None:
                node.process.ask_to_stop()
        for node in self.nodes:
            node.stop()
