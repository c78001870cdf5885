"""The container files name only what exists: every role has its place in both, with its own port, probes and settings."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.sources import Sources
from streams import credentials, kafka_node, roles
from streams.settings import ROOT, Settings

COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
MANIFESTS = {
    path.stem: list(yaml.safe_load_all(path.read_text()))
    for path in (ROOT / "deploy/kubernetes").glob("*.yaml")
    if path.stem != "kustomization"
}
SETTINGS = {f"MUTUAL_SLA_{spec.name.upper()}" for spec in fields(Settings)}
SECRETS = set(credentials.names(Sources.model_validate(yaml.safe_load((ROOT / "deploy/sources.yaml").read_text()))))


def python_roles(tmp_path: Path) -> dict[str, roles.Role]:
    """Our own roles as `up` starts them, by the name of their container."""
    planned = roles.plan(Settings(state_dir=tmp_path), workers=1)
    return {role.name.removesuffix("-0"): role for role in planned if "streams" in role.command}


def container(name: str) -> dict[str, Any]:
    found: dict[str, Any] = MANIFESTS[name][0]["spec"]["template"]["spec"]["containers"][0]
    return found


def test_every_role_is_a_service_with_the_command_that_up_gives_it(tmp_path: Path) -> None:
    for name, role in python_roles(tmp_path).items():
        command = list(role.command[3:])
        assert COMPOSE[name]["command"] == command
        assert container(name)["args"] == command


def test_every_role_is_probed_where_it_answers(tmp_path: Path) -> None:
    for name, role in python_roles(tmp_path).items():
        port = int(role.address.rpartition(":")[2])
        assert container(name)["ports"][0]["containerPort"] == port
        assert container(name)["readinessProbe"]["httpGet"]["path"] == role.health.removeprefix(role.address)
        assert container(name)["livenessProbe"]["httpGet"]["path"] == role.liveness.removeprefix(role.address)
        assert (
            COMPOSE[name]["healthcheck"]["test"][-1]
            == f"import urllib.request as u; u.urlopen('http://127.0.0.1:{port}/healthz')"
        )
        assert MANIFESTS[name][1]["spec"]["ports"][0]["port"] == port


def test_the_kustomization_names_every_manifest() -> None:
    named = yaml.safe_load((ROOT / "deploy/kubernetes/kustomization.yaml").read_text())["resources"]
    assert sorted(named) == sorted(f"{name}.yaml" for name in MANIFESTS)


@pytest.mark.parametrize("service", [name for name in COMPOSE if COMPOSE[name].get("image") == "mutual-sla"])
def test_every_variable_of_a_service_exists(service: str) -> None:
    assert set(COMPOSE[service]["environment"]) <= SETTINGS | SECRETS


def test_the_gateway_and_the_api_get_every_secret_that_the_sources_name() -> None:
    for service in ("gateway", "api"):
        assert set(COMPOSE[service]["environment"]) >= SECRETS


def test_compose_runs_the_kafka_that_the_tests_run() -> None:
    assert COMPOSE["kafka"]["image"].endswith(f":{kafka_node.version()}")


def test_prometheus_in_compose_has_the_jobs_that_the_rules_hang_on() -> None:
    ours = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    inline = yaml.safe_load(yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["configs"]["prometheus"]["content"])
    assert [job["job_name"] for job in inline["scrape_configs"]] == [job["job_name"] for job in ours["scrape_configs"]]
    for job in inline["scrape_configs"]:
        assert job["static_configs"][0]["targets"][0].split(":")[0] in COMPOSE
