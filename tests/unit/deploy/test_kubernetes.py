"""The manifests, against the schemas of Kubernetes, and that their parts name each other."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from node.settings.loading import load

FOLDER = Path(__file__).parents[3] / "deploy" / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.fixture(scope="module")
def objects():
    found = [item for file in FILES for item in yaml.safe_load_all(file.read_text())]
    return {(item["kind"], item["metadata"]["name"]): item for item in found}


@pytest.fixture(scope="module")
def settings(objects, tmp_path_factory):
    file = tmp_path_factory.mktemp("settings") / "groundglass.toml"
    file.write_text(objects["ConfigMap", "node-settings"]["data"]["groundglass.toml"])
    return load(file, {})


def test_every_manifest_fits_its_schema(program):
    answer = program("kubernetes-validate", "--strict", *FILES)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.count("passed") + answer.stderr.count("passed") >= len(FILES)


def test_the_schemas_are_able_to_complain(program, tmp_path):
    text = (FOLDER / "node.yaml").read_text().replace("terminationGracePeriodSeconds", "graceSeconds")
    (tmp_path / "node.yaml").write_text(text)
    assert program("kubernetes-validate", "--strict", tmp_path / "node.yaml").returncode != 0


def pods(objects):
    for kind, name in (("StatefulSet", "node"), ("Deployment", "triton")):
        yield objects[kind, name]["spec"]["template"]


def test_everything_is_in_the_namespace(objects):
    for (kind, _), item in objects.items():
        if kind != "Namespace":
            assert item["metadata"]["namespace"] == "groundglass"
    assert ("Namespace", "groundglass") in objects


def test_services_and_policies_select_pods_that_are_there(objects):
    labels = [pod["metadata"]["labels"] for pod in pods(objects)]
    for (kind, name), item in objects.items():
        if kind == "Service":
            selector, ports = item["spec"]["selector"], item["spec"]["ports"]
            matching = [pod for pod in pods(objects) if selector.items() <= pod["metadata"]["labels"].items()]
            assert len(matching) == 1, name
            names = {port["name"] for c in matching[0]["spec"]["containers"] for port in c["ports"]}
            assert {port["targetPort"] for port in ports} <= names, name
        if kind == "NetworkPolicy" and item["spec"]["podSelector"]:
            wanted = item["spec"]["podSelector"]["matchLabels"]
            assert any(wanted.items() <= found.items() for found in labels), name


def test_the_settings_name_the_manifests_parts(objects, settings):
    host, port = settings.infer.triton.url.split(":")
    service = objects["Service", host]["spec"]["ports"]
    assert int(port) in {item["port"] for item in service}
    assert settings.infer.engine == "triton"
    (node,) = objects["StatefulSet", "node"]["spec"]["template"]["spec"]["containers"]
    ports = {item["name"]: item["containerPort"] for item in node["ports"]}
    assert ports == {"dicom": settings.node.port, "health": settings.health.port}
    data = {mount["name"]: mount["mountPath"] for mount in node["volumeMounts"]}
    assert data["data"] == str(settings.node.data_dir)
    policy = objects["NetworkPolicy", "node"]["spec"]
    blocks = [to["ipBlock"]["cidr"] for rule in policy["egress"] for to in rule["to"] if "ipBlock" in to]
    assert blocks == [f"{item.host}/32" for item in settings.destinations]


def test_one_process_holds_the_store(objects):
    node = objects["StatefulSet", "node"]["spec"]
    assert node["replicas"] == 1
    assert node["volumeClaimTemplates"][0]["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert objects["Service", "dicom"]["spec"]["externalTrafficPolicy"] == "Local"
    assert objects["Service", node["serviceName"]]["spec"]["clusterIP"] == "None"


def test_the_pods_are_locked(objects):
    for pod in pods(objects):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not container["image"].endswith(":latest")
            assert ":" in container["image"]


def test_the_server_is_for_the_node_alone(objects):
    policy = objects["NetworkPolicy", "triton"]["spec"]
    assert "egress" not in policy
    (rule,) = policy["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/component": "node"}}}]
    assert objects["Service", "triton"]["spec"].get("type", "ClusterIP") == "ClusterIP"


def test_no_demonstration_goes_to_the_hospitals_pacs_unasked(settings):
    (pacs,) = settings.destinations
    assert not pacs.accept_demonstration
