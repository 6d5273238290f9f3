"""Send a portrait and a recording, wait for the clip, save it. Needs `pip install httpx` and README.md's variables.

python examples/avatar.py me.jpg hello.wav "a woman singing"
"""

# ruff: noqa: T201, TID251 - a script of its own, as an app's author would write it

import os
import sys
import time
import uuid
from pathlib import Path

import httpx

AGAIN = {429, 503}
OPEN = {"pending", "processing"}


def ask(api: httpx.Client, method: str, path: str, **options: object) -> dict:
    """One request; it is sent again when the answer says when."""
    while (answer := api.request(method, path, **options)).status_code in AGAIN:
        time.sleep(int(answer.headers.get("Retry-After", 5)))
    if answer.is_error:
        sys.exit(f"{answer.status_code}: {answer.json()['error']}")
    return answer.json()["data"]


image, audio, *words = sys.argv[1:]
headers = {"Authorization": f"Bearer {os.environ['API_KEY']}"}
with httpx.Client(base_url=os.environ["API_URL"], headers=headers, timeout=60) as api:
    # Bytes, so that the form can be sent again; its key makes that the same session, paid once.
    files = {"image": Path(image).read_bytes(), "audio": Path(audio).read_bytes()}
    form = {"files": files, "data": {"prompt": " ".join(words)}, "headers": {"Idempotency-Key": str(uuid.uuid4())}}
    session = ask(api, "POST", "/generate", **form)
    while session["status"] in OPEN:
        time.sleep(1)
        session = ask(api, "GET", f"/status/{session['id']}")
        print(session["status"], f"{session['progress']} %", session["message"] or "")
    if session["status"] != "completed":
        sys.exit(f"{session['status']}: {session['error']}")
    clip = ask(api, "GET", f"/result/{session['id']}")

video = Path(f"{session['id']}.mp4")
with httpx.stream("GET", clip["url"]) as answer, video.open("wb") as saved:
    answer.raise_for_status()
    for piece in answer.iter_bytes():
        saved.write(piece)
print(f"video: {video}, {clip['duration_s']} s, kept until {clip['kept_until']}")
