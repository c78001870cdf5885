"""Configuration of Prometheus and Alertmanager for one run: the templates in deploy/, with the run's own addresses filled in.

`python -m streams.monitoring DIRECTORY` writes both for the settings of the environment: for promtool and amtool to check,
and for containers.
"""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from pathlib import Path
from string import Template

import yaml

from streams.errors import InvalidConfiguration
from streams.settings import Settings, from_environment


def render(settings: Settings, directory: Path, track_ports: tuple[int, ...] = ()) -> tuple[Path, Path]:
    """Write prometheus.yml and alertmanager.yml into `directory`; gives both paths.

    `track_ports`: the metrics ports of all track workers (default: the one of the settings). Raises InvalidConfiguration
    naming each ${...} that is not a field of Settings in capitals.
    """
    directory.mkdir(parents=True, exist_ok=True)
    values = {spec.name.upper(): str(getattr(settings, spec.name)) for spec in fields(settings)}
    values["DEPLOY_DIR"] = str(settings.deploy_dir.resolve())
    prometheus = directory / "prometheus.yml"
    prometheus.write_text(
        _with_workers(_fill(settings.deploy_dir / "prometheus" / prometheus.name, values), settings, track_ports)
    )
    alertmanager = directory / "alertmanager.yml"
    alertmanager.write_text(_fill(settings.deploy_dir / "alertmanager" / alertmanager.name, values))
    return prometheus, alertmanager


def _fill(template: Path, values: dict[str, str]) -> str:
    """Only ${CAPITALS} are ours; $labels and the like belong to the file."""
    text = Template(template.read_text()).safe_substitute(values)
    body = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    unknown = sorted(set(re.findall(r"\$\{[A-Z_]+\}", body)))
    if unknown:
        raise InvalidConfiguration([f"{template}: {name} is no setting" for name in unknown])
    return text


def _with_workers(text: str, settings: Settings, track_ports: tuple[int, ...]) -> str:
    """The job `track` with a target for every worker: how many there are is known only when they are started."""
    if len(track_ports) < 2:
        return text
    config = yaml.safe_load(text)
    for job in config["scrape_configs"]:
        if job["job_name"] == "track":
            job["static_configs"] = [{"targets": [f"{settings.host}:{port}" for port in track_ports]}]
    return yaml.safe_dump(config, sort_keys=False)


if __name__ == "__main__":
    render(from_environment(), Path(sys.argv[1]))
