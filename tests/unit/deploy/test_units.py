"""deploy/: the systemd unit by systemd's own tool, the manifests by the Kubernetes API's own schema."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml  # type: ignore[import-untyped]  # ships no type information

from config.load import load_settings
from tests.composition import ROOT

UNIT = ROOT / "deploy/systemd/topup-watcher.service"
MANIFESTS = ROOT / "deploy/kubernetes/topup-watcher.yaml"
SCHEMA = json.loads((ROOT / "tests/schemas/kubernetes-1.34.json").read_text(encoding="utf-8"))
MOST_EXPOSED = 15
"""Tenths: what `systemd-analyze security` calls OK ends at 4.9; a unit without any rule has 9.6."""

systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on PATH")


@systemd
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """No unknown key, no value that it doesn't understand, with the program where it is installed; a slip is found."""
    program = tmp_path / "topup-watcher"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = UNIT.read_text(encoding="utf-8").replace("/opt/topup-watcher/bin/topup-watcher", str(program))
    assert verify(tmp_path, text) == ""
    assert "ProtectSytem" in verify(tmp_path, text.replace("ProtectSystem=", "ProtectSytem="))


def verify(folder: Path, text: str) -> str:
    """What `systemd-analyze verify` complains of."""
    file = folder / UNIT.name
    file.write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0 or ran.stderr
    return ran.stderr


@systemd
def test_the_unit_is_hardened() -> None:
    """By systemd's own measure."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}", str(UNIT)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "unrecognized option" in ran.stderr:
        pytest.skip("systemd before 250 has no --offline")
    assert ran.returncode == 0, ran.stdout.splitlines()[-1:]


def read_manifests() -> dict[str, Any]:
    """By kind."""
    return {found["kind"]: found for found in yaml.safe_load_all(MANIFESTS.read_text(encoding="utf-8"))}


def read_pod() -> Any:
    return read_manifests()["Deployment"]["spec"]["template"]["spec"]


def test_kubernetes_knows_every_key() -> None:
    """Each document by the strict schema of its kind; a mistyped key is found."""
    documents = list(yaml.safe_load_all(MANIFESTS.read_text(encoding="utf-8")))
    assert len(documents) == len(read_manifests())
    for document in documents:
        kind = {**SCHEMA, "oneOf": [{"$ref": f"#/$defs/{document['kind']}"}]}
        assert [error.message for error in jsonschema_rs.validator_for(kind).iter_errors(document)] == []
    deployment = read_manifests()["Deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["redinessProbe"] = {}
    assert not jsonschema_rs.validator_for(SCHEMA).is_valid(deployment)


def test_the_manifests_refer_to_each_other() -> None:
    """Names of configuration, secrets, account, labels and ports are those of what is declared."""
    kinds, pod = read_manifests(), read_pod()
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["config"]["configMap"]["name"] == kinds["ConfigMap"]["metadata"]["name"]
    assert volumes["secrets"]["secret"]["secretName"] == kinds["Secret"]["metadata"]["name"]
    assert pod["serviceAccountName"] == kinds["ServiceAccount"]["metadata"]["name"]
    (container,) = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    labels = kinds["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert kinds["Service"]["spec"]["selector"].items() <= labels.items()
    assert kinds["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8080}
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    assert {probe["port"] for probe in probes.values()} == {"http"}
    assert {port["targetPort"] for port in kinds["Service"]["spec"]["ports"]} == {"http"}


def test_the_pod_is_locked_down() -> None:
    """Not root, read-only root, no capability, no token, and no variables of other services."""
    pod = read_pod()
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"USER {pod['securityContext']['runAsUser']}:" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False  # a Service called topup-watcher makes variables that start with TOPUP_


def test_the_daemon_takes_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ConfigMap's file as the program loads it, with the Secret's files where they are mounted."""
    for name in ("TOPUP_LISTEN", "TOPUP_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    kinds, (container,) = read_manifests(), read_pod()["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    text = kinds["ConfigMap"]["data"]["watcher.toml"]
    named = set(re.findall(rf"{mounted['secrets']}/(\w+)", text))
    assert named == set(kinds["Secret"]["stringData"])
    for name, value in kinds["Secret"]["stringData"].items():
        (tmp_path / name).write_text(value)
    (tmp_path / "watcher.toml").write_text(text.replace(mounted["secrets"], str(tmp_path)))
    settings = load_settings(tmp_path / "watcher.toml")
    assert settings.tenants["default"].livemode
    assert settings.database_url == kinds["Secret"]["stringData"]["database_url"]
    assert container["args"][-1] == f"{mounted['config']}/watcher.toml"
