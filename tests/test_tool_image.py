"""The image of the tool itself, as its Dockerfile makes it: it runs, and passes the tool's own default policy."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from audit_lib import audit
from audit_lib.compliance import read_policy
from tests.real_images import UnavailableError, debian_tar
from tests.tools import unavailable

ROOT = Path(__file__).parents[1]
BASE, TOOL = "audit-test/tool-base:1", "audit-test/tool:1"
# Debian's Python, which the wheels have to be for.
PYTHON = "3.11"

pytestmark = [pytest.mark.engine, pytest.mark.real, pytest.mark.slow]


def wheels(folder: Path) -> Path:
    """Make the wheels of this checkout and of all that it needs, in the versions of the lock."""
    if not sys.version.startswith(PYTHON):
        pytest.skip(f"the wheels are made by this Python, and have to be for Debian 12's {PYTHON}")
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^([a-z0-9.-]+==[^\s;]+(?: ; [^\\\n]+)?) \\$", lock, re.MULTILINE)
    (folder / "pins.txt").write_text("\n".join(pins) + "\n")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "--wheel-dir", str(folder / "wheels"), "--constraint", str(folder / "pins.txt"), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "wheels"


@pytest.fixture(scope="module")
def tool(
    docker_client: docker.DockerClient, full_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[docker.DockerClient]:
    """Build the image over unpacked Debian packages, without a network, and remove it afterwards."""
    try:
        base = debian_tar("tool")
    except UnavailableError as error:
        unavailable(str(error))
    folder = tmp_path_factory.mktemp("tool")
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        tar.add(ROOT / "audit_lib" / "ready" / "Dockerfile", "Dockerfile")
        tar.add(wheels(folder), "wheels")
    context.seek(0)
    name, _, tag = BASE.partition(":")
    docker_client.api.import_image_from_file(str(base), repository=name, tag=tag)
    try:
        docker_client.images.build(
            fileobj=context,
            custom_context=True,
            tag=TOOL,
            buildargs={"BUILD_BASE": full_image, "BASE": BASE},
            network_mode="none",
            rm=True,
            forcerm=True,
        )
        yield docker_client
    finally:
        for image in (TOOL, BASE):
            docker_client.api.remove_image(image, force=True)
        remove_stages(docker_client)


def remove_stages(client: docker.DockerClient) -> None:
    """Remove what is left of the first stage: without a tag, but with its gigabyte."""
    for image in client.images.list(filters={"dangling": True}):
        if any("/opt/audit" in (step.get("CreatedBy") or "") for step in image.history()):
            client.api.remove_image(image.id, force=True)


def test_it_runs_without_a_network_and_without_rights(tool):
    said = tool.containers.run(
        TOOL,
        ["compare", "sample:full", "sample:minimal", "--table", "summary", "--format", "csv"],
        network_mode="none",
        read_only=True,
        tmpfs={"/tmp": "", "/home/audit": ""},  # noqa: S108 - a path in the container
        cap_drop=["ALL"],
        remove=True,
    )
    assert '"packages","count",143,42,-101,' in said.decode()


def test_it_makes_what_a_schedule_names(tool):
    schedule = (
        "schema: 1\\nreports: /work/reports\\naudits: [{name: a, image: sample:minimal, gate: {fail_on: never}}]\\n"
    )
    program = (
        "import pathlib, runpy, sys\n"
        f"pathlib.Path('/work/audits.yml').write_text('{schedule}')\n"
        "sys.argv = ['image-audit', 'run', '/work/audits.yml']\n"
        "try: runpy.run_module('audit_lib', run_name='__main__')\n"
        "finally: print(*sorted(str(path) for path in pathlib.Path('/work/reports').glob('*.*')))\n"
    )
    said = tool.containers.run(
        TOOL, ["-c", program], entrypoint="/opt/audit/bin/python3", network_mode="none", remove=True, stderr=True
    ).decode()
    assert "1 audit (1 done): /work/reports/index.html" in said
    assert "/work/reports/index.html /work/reports/index.json" in said


def test_it_passes_the_default_policy_and_is_small(tool):
    assert tool.images.get(TOOL)
    found = audit(f"docker:{TOOL}")
    policy = read_policy()
    findings = found.findings.set_index("check_id")
    assert findings.index[findings["is_gate_failed"]].tolist() == []
    assert (policy.path, policy.fail_on) == ("default", "high")
    passed = ["non-root-user", "no-shell", "no-package-manager", "no-setuid", "no-secrets-in-files", "files-owned"]
    assert findings.loc[passed, "status"].tolist() == ["pass"] * len(passed)
    assert found.gaps == () or all("vulnerabilities" in gap or "attached" in gap for gap in found.gaps), found.gaps
    image = found.image.iloc[0]
    assert (image["user"], image["package_count"] > 100) == ("65532:65532", True)
    assert image["file_bytes"] < 800 * 1024 * 1024
