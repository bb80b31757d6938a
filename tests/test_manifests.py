"""Compose file and Kubernetes base: valid by their schemas, no default secrets, a drain that fits."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Literal

import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tests.house.source import ROOT

BASE = ROOT / "deploy" / "kubernetes"
MANIFESTS = [path for path in sorted(BASE.glob("*.yaml")) if path.name != "kustomization.yaml"]
KUBERNETES_VERSION = "1.31"
LABELS = {"app.kubernetes.io/name": "ragopt"}


class Kustomized(BaseModel):
    """A part of a kustomization: a field that Kustomize does not know is refused, as Kustomize refuses it."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Image(Kustomized):
    """Another name, tag or digest for an image."""

    name: str
    newName: str = ""  # noqa: N815 - Kustomize's own name
    newTag: str = ""  # noqa: N815
    digest: str = ""


class ConfigMapGenerator(Kustomized):
    """A ConfigMap from files of the folder, or from words."""

    name: str
    namespace: str = ""
    behavior: Literal["create", "replace", "merge"] = "create"
    files: list[str] = []
    envs: list[str] = []
    literals: list[str] = []


class Kustomization(Kustomized):
    """The fields of `kustomize.config.k8s.io/v1beta1` that a base of ours may use, deprecated ones left out.

    Source: kubernetes-sigs/kustomize, api/types/kustomization.go and configmapargs.go.
    """

    apiVersion: Literal["kustomize.config.k8s.io/v1beta1"]  # noqa: N815
    kind: Literal["Kustomization"]
    resources: list[str] = Field(min_length=1)
    configMapGenerator: list[ConfigMapGenerator] = []  # noqa: N815
    images: list[Image] = []
    namespace: str = ""
    namePrefix: str = ""  # noqa: N815
    nameSuffix: str = ""  # noqa: N815


def manifest(name: str) -> dict[str, Any]:
    """Return one parsed manifest."""
    parsed: dict[str, Any] = yaml.safe_load((BASE / f"{name}.yaml").read_text(encoding="utf-8"))
    return parsed


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_manifest_is_valid(path: Path) -> None:
    """Every field is one that Kubernetes knows, of the right type."""
    described = manifest(path.stem)
    kubernetes_validate.validate(described, KUBERNETES_VERSION, strict=True)
    assert described["metadata"] == {"name": "ragopt", "labels": LABELS}


def test_kustomization_is_valid() -> None:
    """Every field is one that Kustomize knows, of the right type; one that it does not know is noticed."""
    described = manifest("kustomization")
    assert Kustomization.model_validate(described).resources == described["resources"]
    for wrong in ({"resource": ["service.yaml"]}, {"resources": "service.yaml"}, {"kind": "Kustomisation"}):
        with pytest.raises(ValidationError):
            Kustomization.model_validate({**described, **wrong})


def test_kustomization_of_the_readers_is_valid() -> None:
    """What the base's comment tells a reader to write is a kustomization as well."""
    lines = (BASE / "kustomization.yaml").read_text(encoding="utf-8").splitlines()
    told = yaml.safe_load("\n".join(line.removeprefix("#") for line in lines if line.startswith("#   ")))
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    assert Kustomization.model_validate({**head, **told}).images[0].newName == "registry.example/ragopt"


def test_every_selector_means_these_pods() -> None:
    """Deployment, Service, budget and policy select by the pods' own label."""
    selectors = [
        manifest("deployment")["spec"]["selector"]["matchLabels"],
        manifest("deployment")["spec"]["template"]["metadata"]["labels"],
        manifest("service")["spec"]["selector"],
        manifest("disruption")["spec"]["selector"]["matchLabels"],
        manifest("network")["spec"]["podSelector"]["matchLabels"],
    ]
    assert selectors == [LABELS] * len(selectors)


def test_kustomization_names_every_manifest() -> None:
    """Nothing lies in the folder that the base would leave out."""
    base = manifest("kustomization")
    assert sorted(base["resources"]) == [path.name for path in MANIFESTS]
    assert [Path(name).name for generator in base["configMapGenerator"] for name in generator["files"]] == [
        "ragopt.toml"
    ]


def test_compose_file_is_valid() -> None:
    """The compose file keeps the Compose Specification's schema."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    run = subprocess.run([*command, str(ROOT / "docker-compose.yml")], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def container() -> dict[str, Any]:
    """Return the one container of the deployment."""
    (found,) = manifest("deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def test_secrets_come_from_a_secret_alone() -> None:
    """No variable of a secret has a value in the manifests, and none is optional."""
    secret = {item["name"]: item.get("valueFrom") for item in container()["env"] if item["name"] != "RAGOPT_CONFIG"}
    assert set(secret) == {"RAGOPT_QDRANT_URL", "RAGOPT_QDRANT_API_KEY", "RAGOPT_REDIS_URL", "RAGOPT_API_KEY"}
    assert all(source["secretKeyRef"] and "optional" not in source["secretKeyRef"] for source in secret.values())
    assert not list(BASE.glob("*secret*"))


def test_pod_has_the_time_it_needs_to_drain() -> None:
    """Grace is longer than the pause before SIGTERM and the drain together."""
    pod = manifest("deployment")["spec"]["template"]["spec"]
    pause_s = int(container()["lifecycle"]["preStop"]["exec"]["command"][1])
    drain_s = tomllib.loads((BASE / "ragopt.toml").read_text(encoding="utf-8"))["drain_s"]
    assert pod["terminationGracePeriodSeconds"] > pause_s + drain_s


def test_pod_is_probed_and_confined() -> None:
    """Liveness asks for the process, readiness for its dependencies; nothing runs as root or writes its own image."""
    described = container()
    assert described["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert described["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert described["securityContext"]["readOnlyRootFilesystem"]
    assert manifest("deployment")["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]
    assert described["resources"]["requests"]
