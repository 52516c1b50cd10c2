"""Images with a fault on purpose: the layers of `sample:minimal`, which are real Debian packages, and one layer or setting more."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audit_lib import Audit, audit
from audit_lib.compliance import Policy, parse_policy
from audit_lib.sources.sample import path_of
from tests.images import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Layer, add_blob, add_to_index, digest, layer_tar

TODAY = "2025-02-01"
# libcrypt1 of Debian comes without a copyright file of its own; with it every package states its licence.
COPYRIGHT = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: {}\n"
CLEAN: Layer = {"usr/share/doc/libcrypt1/copyright": COPYRIGHT.format("LGPL-2.1+")}
HEALTHY = {"Test": ["CMD", "/usr/bin/python3.11", "-c", "pass"]}


class Seeds:
    """Writes images into one OCI layout and audits them; the layers below are there once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with tarfile.open(path_of("minimal")) as archive:
            archive.extractall(folder / "base", filter="data")
        index = json.loads((folder / "base" / "index.json").read_text())
        self._manifest = self._blob(index["manifests"][0]["digest"])
        self._config = self._blob(self._manifest["config"]["digest"])
        self.base_layers: Sequence[str] = self._config["rootfs"]["diff_ids"]
        self.layout = folder / "base"
        self._count = 0

    def audited(
        self,
        layer: Layer | None = None,
        *,
        created_by: str = "COPY app /app # buildkit",
        config: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        base_created: str = "2025-01-01T00:00:00Z",
        policy: str = "",
    ) -> Audit:
        """Return the audit of the clean image with `layer` over it; `config` and `facts` go over its configuration."""
        tar = layer_tar({**CLEAN, **(layer or {})} if not isinstance(layer, bytes) else layer)
        made = json.loads(json.dumps(self._config))
        made["config"] = {**made["config"], "Healthcheck": HEALTHY, **(config or {})}
        made["rootfs"]["diff_ids"] = [*self.base_layers, digest(tar)]
        steps = [step for step in made["history"] if not step.get("empty_layer")]
        made["history"] = [{**step, "created": base_created} for step in steps] + [{"created_by": created_by}]
        made |= dict(facts or {})
        manifest = {
            **self._manifest,
            "config": add_blob(self.layout, json.dumps(made).encode(), OCI_CONFIG),
            "layers": [*self._manifest["layers"], add_blob(self.layout, tar, OCI_LAYER)],
        }
        self._count += 1
        add_to_index(
            self.layout, [add_blob(self.layout, json.dumps(manifest).encode(), OCI_MANIFEST)], tag=f"seed-{self._count}"
        )
        reference = f"oci-dir:{self.layout}:seed-{self._count}"
        return audit(reference, store=self.folder / "store", policy=self.policy(policy), today_utc=TODAY)

    def policy(self, text: str = "") -> Policy:
        """Return the default policy with the base allowed, unless `text` says of bases itself."""
        layers = "".join(f"      - {one}\n" for one in self.base_layers)
        bases = "" if "bases:" in text else f"bases:\n  - name: sample\n    layers:\n{layers}"
        return parse_policy(f"schema: 1\n{bases}{text}".encode(), "policy.yml")

    def _blob(self, name: str) -> Any:
        return json.loads((self.folder / "base" / "blobs" / name.replace(":", "/")).read_text())


def statuses(found: Audit) -> dict[str, str]:
    """Return the status of each check."""
    return dict(found.findings[["check_id", "status"]].to_numpy().tolist())


def finding(found: Audit, check: str) -> Mapping[str, Any]:
    """Return the row of one check, a missing value as None."""
    rows = found.findings
    row = rows[rows["check_id"] == check].astype(object)
    return row.where(row.notna(), None).to_dict("records")[0]
