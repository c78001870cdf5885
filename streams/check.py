"""Loads and validates the deploy directory: policy, calendars, people, stages, sources. All faults at once, with file and line.

Everything that starts loads its configuration here, so nothing starts with a file that is wrong.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from schemas.calendar import CalendarFile
from schemas.directory import Directory
from schemas.policy import Policy
from schemas.sources import Sources
from streams import fact_files
from streams.agreement import Agreement
from streams.calendars import Calendars, content_version
from streams.check_people import check_calendars, check_people, check_working_time
from streams.check_policy import check_policy
from streams.directory import People
from streams.errors import InvalidConfiguration, Unreachable
from streams.settings import Settings
from streams.yaml_lines import Document, Faults, Model, Node, parse, read, shown


@dataclass(slots=True)
class Inspection:
    """What a deploy directory says, as far as it can be read, and everything wrong with it."""

    folder: Path
    agreement: Agreement | None = None
    models: tuple[CalendarFile, Directory] | None = None  #: what the agreement was made of, beside the policy
    nodes: dict[str, Node] = field(default_factory=dict)  #: the files of the agreement, by name
    sources: Sources | None = None
    stages: frozenset[str] | None = None  #: canonical stages that some name is mapped to; None without stages.yaml
    contents: list[tuple[str, str, str]] = field(default_factory=list)  #: (file, version, what is in it) of faultless files
    faults: Faults = field(default_factory=Faults)
    warnings: Faults = field(default_factory=Faults)

    def read_agreement(self) -> dict[str, Node]:
        """Reads and checks policy, calendars and people against each other; their nodes, for rules across more files."""
        policy_node, policy = self._file("policy.yaml", Policy)
        calendar_node, calendars = self._file("calendars.yaml", CalendarFile)
        people_node, people = self._file("people.yaml", Directory)
        check_policy(policy_node)
        check_calendars(calendar_node)
        names = {name for calendar in calendar_node["calendars"] if (name := calendar["name"].text)}
        check_people(people_node, names or None)
        if policy and calendars and people and not self.faults:
            check_working_time(calendars, people, calendar_node, people_node)
        if policy and calendars and people and not self.faults:
            self.models = calendars, people
            self.agreement = Agreement(policy, Calendars.from_file(calendars), People.from_directory(people))
            policy_version = f"{policy.version}, {content_version(policy.model_dump(mode='json'))}"
            self._note("policy.yaml", policy_version, f"{len(policy.enabled())} of {len(policy.commitments)} commitments enabled")
            self._note("calendars.yaml", self.agreement.calendars.version, f"{len(calendars.calendars)} calendars")
            self._note("people.yaml", self.agreement.people.version, f"{len(people.people)} people in {len(people.teams)} teams")
        self.nodes = {"policy": policy_node, "calendars": calendar_node, "people": people_node}
        return self.nodes

    def read_sources(self) -> Node:
        """Reads and checks the sources by themselves."""
        from streams.check_sources import check_sources  # connectors are for those who start something

        node, self.sources = self._file("sources.yaml", Sources)
        check_sources(node)
        if sources := self.sources:
            counts = f"{len(sources.accounts)} accounts, {len(sources.tokens)} tokens"
            self._note("sources.yaml", content_version(sources.model_dump(mode="json")), counts)
        return node

    def read_stages(self) -> None:
        """Reads the stage mapping, if there is one."""
        from streams.stages import load

        path = self.folder / "stages.yaml"
        if not path.exists():
            return
        try:
            mapping = load(path)
        except InvalidConfiguration as error:
            for fault in error.faults:
                place = re.match(re.escape(str(path)) + r":(\d+): ", fault)
                text = fault[place.end() :] if place else fault.removeprefix(f"{path}: ")
                self.faults.add(shown(path), int(place[1]) if place else 1, text)
            return
        rules = [*mapping.everywhere, *(rule for own in mapping.by_account.values() for rule in own)]
        self.stages = frozenset(stage for _, stage in rules)
        self._note("stages.yaml", content_version(rules), f"{len(rules)} patterns for {len(self.stages)} stages")

    def read_facts(self, files: Sequence[Path]) -> None:
        """Reads and checks files of facts, as one."""
        people = self.agreement.people if self.agreement else None
        types = Counter(record.type for record in fact_files.read(files, self.faults, people))
        self._note(", ".join(map(shown, files)), "", ", ".join(f"{name} {number}" for name, number in sorted(types.items())))

    def refuse(self) -> None:
        """Raises InvalidConfiguration with all faults, if there are any."""
        if self.faults:
            raise InvalidConfiguration(self.faults.lines())

    def _file(self, name: str, model: type[Model]) -> tuple[Node, Model | None]:
        path = self.folder / name
        node = read(path, self.faults)
        if node is None:
            return Node(Document(shown(path), {(): 1}, self.faults), (), None), None
        return node, parse(model, node)

    def _note(self, file: str, version: str, contents: str) -> None:
        self.contents.append((file, version, contents))


def load_agreement(deploy_dir: Path) -> Agreement:
    """Policy, calendars and people. Raises InvalidConfiguration with all of their faults."""
    inspection = Inspection(deploy_dir)
    inspection.read_agreement()
    inspection.refuse()
    assert inspection.agreement is not None, "files without faults make an agreement"
    return inspection.agreement


def load_policy(path: Path) -> Policy:
    """A policy file by itself, wherever it is. Raises InvalidConfiguration with all of its faults."""
    faults = Faults()
    node = read(path, faults)
    policy = parse(Policy, node) if node is not None else None
    if node is not None:
        check_policy(node)
    if faults or policy is None:
        raise InvalidConfiguration(faults.lines())
    return policy


def load_sources(deploy_dir: Path) -> Sources:
    """The sources. Raises InvalidConfiguration with all of their faults."""
    inspection = Inspection(deploy_dir)
    inspection.read_sources()
    inspection.refuse()
    assert inspection.sources is not None, "a file without faults has its model"
    return inspection.sources


def inspect(deploy_dir: Path) -> Inspection:
    """Everything in the deploy directory, each file by itself and against the others; raises nothing for what it finds."""
    from streams.check_sources import check_accounts, check_measurable

    inspection = Inspection(deploy_dir)
    nodes = inspection.read_agreement()
    inspection.read_stages()
    sources_node = inspection.read_sources()
    stages_file = deploy_dir / "stages.yaml"
    stages_node = read(stages_file, Faults()) if inspection.stages is not None else None  # its faults are known by now
    check_accounts(nodes["people"], stages_node, sources_node, inspection.warnings)
    if inspection.sources:
        check_measurable(nodes["policy"], inspection.sources, inspection.stages, inspection.warnings)
    return inspection


def _compare(settings: Settings, inspection: Inspection, now: datetime) -> None:
    """Adds a fault for each past version that is not what was published; where no Kafka answers there is nothing to compare."""
    from streams import published

    with suppress(Unreachable):
        published.compare(inspection, published.versions(inspection, now), published.read(settings))


def run(settings: Settings, as_json: bool, now: datetime | None = None, facts: Sequence[Path] = ()) -> None:
    """The `check` verb: what is there, or all faults and exit 78; warnings never fail. `as_json`: one list of both.

    With `now`, and where Kafka answers, also what was published: a version in force by then that was changed is a fault.
    `facts`: files for `evaluate`, of which every line has to be a record, and no exception its requester's own.
    """
    inspection = inspect(settings.deploy_dir)
    if facts:
        inspection.read_facts(facts)
    if now is not None and not inspection.faults:
        _compare(settings, inspection, now)
    if as_json:
        listed = [
            {"level": level, "file": file, "line": line, "text": text}
            for level, found in (("fault", inspection.faults), ("warning", inspection.warnings))
            for file, line, text in found.ordered()
        ]
        sys.stdout.write(json.dumps(listed, indent=1, ensure_ascii=False) + "\n")
        if inspection.faults:
            sys.exit(InvalidConfiguration.exit_code)
        return
    for warning in inspection.warnings.lines():
        sys.stderr.write(f"{warning} (warning)\n")
    inspection.refuse()
    table = Table("file", "version", "contents", title=f"{shown(settings.deploy_dir)}: no faults")
    for row in inspection.contents:
        table.add_row(*row)
    Console().print(table)
