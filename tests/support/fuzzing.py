"""schemathesis against a running worker: requests made from the document, right ones and wrong ones.

Its command line runs as a program, as anybody would run it; the report is read afterwards.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.callers import API_KEY, Api

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)
OF_ONE_PATH = """
[[operations]]
include-path-regex = "^/api/sessions/[^/]+$"
checks.unsupported_method.enabled = false
checks.allow_header_conformance.enabled = false
"""
"""POST /api/sessions/{kind} and GET /api/sessions/{id} are one path to HTTP, and two in the document."""
KNOWN = """
[dictionaries.{name}]
values = ["{id}"]
[[operations]]
include-path-regex = "{path}"
parameters."path.id" = {{ dictionary = "{name}", probability = 0.5 }}
"""


@dataclass
class Fuzzed:
    """What came of a run: whether nothing was found, requests by operation, answers by status, what it said."""

    is_clean: bool
    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    said: str = ""

    def table(self) -> str:
        """Requests by operation, and answers by status."""
        rows = [f"{count:6} {name}" for name, count in self.requests.most_common()]
        answers = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        return "\n".join([*rows, f"{self.requests.total():6} in all; {answers}"])


async def fuzz(api: Api, folder: Path, known: Mapping[str, str], *options: str) -> Fuzzed:
    """Run it with every credential. `known` are ids that half of the requests to a path name."""
    (folder / "schemathesis.toml").write_text(_settings(api, known))
    report = folder / "fuzzed.ndjson"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schemathesis.cli",
        *("--config-file", str(folder / "schemathesis.toml")),
        *("run", f"{api.url}/openapi.json"),
        *("--report-ndjson-path", str(report)),
        *("--generation-database", "none", "--warnings", "off", "--no-color", "--continue-on-failure"),
        *options,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    fuzzed = Fuzzed(process.returncode == 0, said=said.decode())
    with report.open(encoding="utf-8") as lines:
        for line in lines:
            _count(fuzzed, json.loads(line))
    return fuzzed


def _settings(api: Api, known: Mapping[str, str]) -> str:
    credentials = {"storeKey": api.store.key, "userToken": api.user.token, "operatorKey": API_KEY}
    checks = ["[checks]", "enabled = false", *(f"{name}.enabled = true" for name in CHECKS)]
    bearers = [f'[auth.openapi.{name}]\nbearer = "{value}"' for name, value in credentials.items()]
    ids = [KNOWN.format(name=f"known{number}", path=path, id=id) for number, (path, id) in enumerate(known.items())]
    return "\n".join([*checks, *bearers, OF_ONE_PATH, *ids])


def _count(fuzzed: Fuzzed, event: Mapping[str, Any]) -> None:
    recorder = event.get("ScenarioFinished", {}).get("recorder", {})
    for one in recorder.get("interactions", {}).values():
        fuzzed.requests[str(recorder["label"])] += 1
        fuzzed.statuses[(one.get("response") or {}).get("status_code", 0)] += 1
