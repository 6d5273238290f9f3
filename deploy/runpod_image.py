"""Have a RunPod Serverless endpoint run an image: `python deploy/runpod_image.py ENDPOINT_ID registry/listener:TAG`.

Deploys and rolls back alike: it changes the image of the endpoint's template; RunPod replaces the workers.
Prints the image that was there before. The key is RUNPOD_API_KEY. Needs Python only; knows RunPod's REST API.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.request
from typing import Any

BASE_URL = "https://rest.runpod.io/v1"
TIMEOUT_S = 30.0
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
IMAGE = re.compile(r"[a-z0-9][a-z0-9./:_-]*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|@sha256:[0-9a-f]{64})")
USAGE = 64
MOVING = ":latest"


def deploy(endpoint: str, image: str, key: str, base_url: str = BASE_URL) -> str:
    """Change the image, and return the one before. Raises: ValueError, urllib.error.URLError."""
    if not ID.fullmatch(endpoint):
        raise ValueError(f"{endpoint!r} is no id of an endpoint")
    if not IMAGE.fullmatch(image) or image.endswith(MOVING):
        raise ValueError(f"{image!r} names no version: give registry/name:tag, where the tag is not latest")
    template = str(_call("GET", f"{base_url}/endpoints/{endpoint}", key)["templateId"])
    if not ID.fullmatch(template):
        raise ValueError("the endpoint names no template")
    before = str(_call("GET", f"{base_url}/templates/{template}", key)["imageName"])
    after = _call("PATCH", f"{base_url}/templates/{template}", key, {"imageName": image})
    if after.get("imageName") != image:
        raise ValueError(f"RunPod answers that the template has {after.get('imageName')!r}")
    return before


def _call(method: str, url: str, key: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "User-Agent": "listener-deploy"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - https, or a test's own server
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
        told: dict[str, Any] = json.load(answer)
    return told


def main() -> None:
    """Read the command line. Exit status: 0 done, 1 refused, 64 called wrongly."""
    environment = os.environ  # noqa: TID251 - a script of its own, without the worker's settings
    if len(sys.argv) != 3 or not (key := environment.get("RUNPOD_API_KEY", "")):  # noqa: PLR2004
        sys.stderr.write("RUNPOD_API_KEY=... python deploy/runpod_image.py ENDPOINT_ID registry/listener:TAG\n")
        sys.exit(USAGE)
    endpoint, image = sys.argv[1:]
    try:
        before = deploy(endpoint, image, key, environment.get("RUNPOD_REST_URL", BASE_URL))
    except urllib.error.HTTPError as error:
        sys.exit(f"RunPod answers {error.code} to {error.url}")
    except (ValueError, KeyError, OSError) as error:
        sys.exit(f"not deployed: {error}")
    sys.stdout.write(f"{endpoint} runs {image}\nbefore: {before}\n")


if __name__ == "__main__":
    main()
