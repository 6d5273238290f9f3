"""deploy/deploy.sh as it is, with a stand-in for docker that keeps containers in files: no engine was at hand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.alertmanager_conf import configuration

DEPLOY = Path(__file__).parents[2] / "deploy"
DOCKER = r"""#!/usr/bin/env bash
# Containers are files in $BOX/containers, named by their id, holding their image's tag.
set -euo pipefail
printf '%s | %s\n' "${WORKER_TAG:-}" "$*" >>"$BOX/calls"
mkdir -p "$BOX/containers"
case "$1" in
  ps) ls "$BOX/containers" ;;
  exec) [ "$(cat "$BOX/containers/$2")" != "$(cat "$BOX/broken" 2>/dev/null)" ] ;;
  inspect) [ -f "$BOX/containers/${!#}" ] && echo "true $(cat "$BOX/restarts" 2>/dev/null || echo 0)" ;;
  stop) : ;;
  rm) shift 2; for one in "$@"; do rm "$BOX/containers/$one"; done ;;
  logs) echo "the log of $4" ;;
  compose)
    case "$*" in
      *"--scale worker="*)
        number=$(($(cat "$BOX/number" 2>/dev/null || echo 0) + 1)); echo "$number" >"$BOX/number"
        echo "$WORKER_TAG" >"$BOX/containers/c$number" ;;
      *"--entrypoint test"*) [ -f "$BOX/certificate" ] ;;
      *certonly*) touch "$BOX/certificate" ;;
      *"config --services"*) printf '%s\n' worker nginx grafana ;;
    esac ;;
esac
"""


class Server:
    """A folder as deploy.sh finds it on a server."""

    def __init__(self, folder: Path, machine: str = "cpu") -> None:
        self.folder = folder
        shutil.copytree(DEPLOY, folder / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / ".env").write_text("SUPABASE_URL=https://x.example\n")
        settings = (DEPLOY / "server.env.example").read_text().replace("MACHINE=cpu", f"MACHINE={machine}")
        (folder / "deploy" / "server.env").write_text(settings)
        (folder / "bin").mkdir()
        (folder / "bin" / "docker").write_text(DOCKER)
        (folder / "bin" / "docker").chmod(0o755)

    def deploy(self, *arguments: str, ready_s: int = 0) -> subprocess.CompletedProcess[str]:
        """Run it; `ready_s` is short, as a stand-in is ready at once or never."""
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        variables = {"PATH": path, "BOX": str(self.folder), "READY_S": str(ready_s), "LOOK_S": "0"}
        script = str(self.folder / "deploy" / "deploy.sh")
        return subprocess.run(
            [script, *arguments], env=variables, capture_output=True, text=True, timeout=30, check=False
        )

    def breaks(self, tag: str) -> None:
        """From now on that version does not become ready."""
        (self.folder / "broken").write_text(f"{tag}\n")

    @property
    def calls(self) -> list[str]:
        """What docker was asked, the oldest first."""
        return (self.folder / "calls").read_text().splitlines()

    @property
    def running(self) -> list[str]:
        """The tags of the workers that run."""
        return [one.read_text().strip() for one in (self.folder / "containers").iterdir()]


def place(calls: list[str], words: str) -> int:
    """Where the first call with these words stands."""
    return next(number for number, call in enumerate(calls) if words in call)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_the_first_deploy_brings_worker_certificate_and_all_the_rest(server: Server) -> None:
    done = server.deploy("1.0")
    assert done.returncode == 0, done.stderr
    assert server.running == ["1.0"]
    calls = server.calls
    assert place(calls, "certonly --standalone") < place(calls, "--remove-orphans nginx grafana")
    assert server.deploy("1.1").returncode == 0
    assert len([call for call in server.calls if "certonly" in call]) == 1


def test_what_the_services_read_of_the_settings_is_made_before_they_start(server: Server) -> None:
    settings = server.folder / "deploy" / "server.env"
    mail = "MAIL_TO=you@listener.example, o'neill@listener.example"
    settings.write_text(f"{settings.read_text()}{mail}\n")
    half = server.deploy("1.0")
    assert (half.returncode, "MAIL_SERVER as host:port" in half.stderr) == (78, True)
    settings.write_text(f"{settings.read_text()}MAIL_FROM=l@listener.example\nMAIL_SERVER=smtp.listener.example:587\n")
    assert server.deploy("1.0").returncode == 0
    state = server.folder / "deploy" / "state"
    mounted = re.findall(r"\./(state/[\w/-]+):", (DEPLOY / "compose.yaml").read_text())
    assert mounted
    assert all((server.folder / "deploy" / path).exists() for path in mounted)
    [target] = yaml.safe_load((state / "prometheus" / "outside.yml").read_text())
    assert target == {"targets": ["https://listener.example/livez"]}
    read = configuration((state / "alertmanager" / "alertmanager.yml").read_text())
    [sent] = read.receiver("mail").email_configs
    assert sent.to == "you@listener.example, o'neill@listener.example"
    assert sent.auth_username is None
    secret = (state / "alertmanager" / "secret").read_text()
    assert len(secret.strip()) == 64
    assert server.deploy("1.1").returncode == 0
    assert (state / "alertmanager" / "secret").read_text() == secret, "what runs knows the first one"
    assert (oct(state.stat().st_mode & 0o777), oct((state / "alertmanager" / "secret").stat().st_mode & 0o777)) == (
        "0o700",
        "0o644",
    ), "for the containers' users, and nobody else on the host"


def test_mail_is_sent_as_the_settings_say(server: Server) -> None:
    lines = [
        "MAIL_TO=a@b.example",
        "MAIL_FROM=l@b.example",
        "MAIL_SERVER=smtp.b.example:587",
        "MAIL_USER=l",
        "MAIL_PASSWORD=p#'\"$ x",
    ]
    settings = server.folder / "deploy" / "server.env"
    settings.write_text("\n".join([settings.read_text(), *lines, ""]))
    assert server.deploy("1.0").returncode == 0
    made = server.folder / "deploy" / "state" / "alertmanager"
    [mail] = configuration((made / "alertmanager.yml").read_text()).receiver("mail").email_configs
    assert (mail.smarthost, mail.sender, mail.auth_username) == ("smtp.b.example:587", "l@b.example", "l")
    assert mail.send_resolved
    assert mail.auth_password_file == "/etc/alertmanager/mail-password"
    assert (made / "mail-password").read_text() == "p#'\"$ x\n"


def test_without_mail_the_file_is_ours_as_it_stands(server: Server) -> None:
    assert server.deploy("1.0").returncode == 0
    made = (server.folder / "deploy" / "state" / "alertmanager" / "alertmanager.yml").read_text()
    assert made == (DEPLOY / "alertmanager" / "alertmanager.yml").read_text()


def test_an_update_starts_the_new_worker_beside_the_old_one_and_then_drains_that(server: Server) -> None:
    server.deploy("1.0")
    (server.folder / "calls").unlink()
    assert server.deploy("1.1").returncode == 0
    calls = server.calls
    assert place(calls, "--no-recreate --scale worker=2") < place(calls, "exec c2") < place(calls, "stop -t 120 c1")
    assert server.running == ["1.1"]


def test_a_version_that_does_not_become_ready_goes_and_the_one_before_never_stopped(server: Server) -> None:
    server.deploy("1.0")
    server.breaks("1.1")
    (server.folder / "calls").unlink()
    done = server.deploy("1.1")
    assert (done.returncode, server.running) == (1, ["1.0"])
    assert "1.1 did not become ready; 1.0 runs" in done.stderr
    assert "the log of c2" in done.stderr
    assert not [call for call in server.calls if "stop" in call and "c1" in call]
    server.breaks("none")
    assert server.deploy("--rollback").returncode == 64, "what failed was never the version that ran"


def test_a_version_that_crashes_is_not_waited_for(server: Server) -> None:
    server.deploy("1.0")
    server.breaks("1.1")
    (server.folder / "restarts").write_text("1")
    assert server.deploy("1.1", ready_s=600).returncode == 1
    assert server.running == ["1.0"]


def test_on_a_gpu_the_old_worker_ends_first_and_comes_back_when_the_new_one_fails(tmp_path: Path) -> None:
    server = Server(tmp_path, machine="gpu")
    server.deploy("1.0")
    server.breaks("1.1")
    (server.folder / "calls").unlink()
    done = server.deploy("1.1")
    calls = server.calls
    assert place(calls, "stop -t 120 c1") < place(calls, "--scale worker=1")
    assert all("compose.gpu.yaml" in call for call in calls if "| compose" in call)
    assert (done.returncode, server.running) == (1, ["1.0"])
    assert [call.split(" | ")[0] for call in calls if "--scale" in call] == ["1.1", "1.0"], "each by its own tag"


def test_a_rollback_runs_the_tag_before(server: Server) -> None:
    for tag in ("1.0", "1.1"):
        server.deploy(tag)
    assert server.deploy("--rollback").returncode == 0
    assert server.running == ["1.0"]


@pytest.mark.parametrize("tag", ["latest", "", "a b", "--help", "x;rm"])
def test_what_is_no_tag_is_refused_before_anything_is_asked(server: Server, tag: str) -> None:
    assert server.deploy(tag).returncode == 64
    assert not (server.folder / "calls").exists()


def test_without_its_settings_it_says_what_is_missing(server: Server) -> None:
    (server.folder / ".env").unlink()
    done = server.deploy("1.0")
    assert (done.returncode, "../.env is missing" in done.stderr) == (78, True)


def test_a_workflow_sends_settings_by_stdin_and_runs_it_there(server: Server, tmp_path: Path) -> None:
    ssh = server.folder / "bin" / "ssh"
    ssh.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$*" >>"$BOX/ssh"\ncd "$BOX/home"\nexec bash -c "${!#}"\n')
    ssh.chmod(0o755)
    (tmp_path / "home").mkdir()
    variables = {
        "PATH": f"{ssh.parent}:{os.environ['PATH']}",
        "BOX": str(tmp_path),
        "DEPLOY_HOST": "deployer@host.example",
        "DEPLOY_TAG": "1.0",
        "DEPLOY_KEY": "CANARY",
        "DEPLOY_KNOWN_HOSTS": "host.example ssh-ed25519 AAAA",
        "WORKER_ENV": "SUPABASE_SERVICE_ROLE_KEY=CANARY",
        "SERVER_ENV": "DOMAIN=host.example\nGRAFANA_PASSWORD=CANARY",
    }
    done = subprocess.run([DEPLOY / "send.sh"], env=variables, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert server.running == ["1.0"]
    kept = [tmp_path / "home" / "listener" / name for name in (".env", "deploy/server.env")]
    assert [oct(path.stat().st_mode & 0o777) for path in kept] == ["0o600", "0o600"]
    said = (tmp_path / "ssh").read_text()
    assert "StrictHostKeyChecking=yes" in said
    assert "CANARY" not in said + done.stdout + done.stderr
