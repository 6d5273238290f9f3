"""One server with everything, as its files say it: what the internet reaches, what holds secrets, what is pinned."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from listener.alerts.settings import AlertSettings
from listener.cli.main import COMMANDS
from tests.deploy.nginx_conf import Block, parsed

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
GPU: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.gpu.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NGINX = parsed((DEPLOY / "nginx" / "listener.conf.template").read_text())
NAMED = re.compile(r"\$\{([A-Z0-9_]+)")
MIB = {"m": 1, "g": 1024}


def assigned(name: str) -> dict[str, str]:
    """The variables of an env file."""
    lines = (DEPLOY / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def tls() -> Block:
    """The server block behind port 443."""
    [found] = [one for one in NGINX.all("server") if one.all("listen")[0].words[1] == "443"]
    return found


def test_only_nginx_is_reached_from_outside_and_only_at_80_and_443() -> None:
    published = {name: one["ports"] for name, one in (SERVICES | GPU["services"]).items() if "ports" in one}
    assert published == {"nginx": ["80:80", "443:443"]}
    assert not [name for name, one in SERVICES.items() if one.get("network_mode") or one.get("privileged")]
    assert COMPOSE["networks"]["inside"]["internal"] is True


def test_every_image_is_named_in_one_file_by_a_tag_that_does_not_move() -> None:
    images = assigned("images.env")
    services = [*SERVICES.values(), *GPU["services"].values()]
    used = {one["image"] for one in services if "image" in one}
    assert used == {f"${{{name}:?}}" for name in images} | {"${WORKER_IMAGE:?}:${WORKER_TAG:?}"}
    assert all(re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+\S*", image) for image in images.values()), images


def test_every_variable_is_told_by_one_of_the_files_or_by_the_script() -> None:
    told = set(assigned("images.env")) | set(assigned("server.env.example")) | {"WORKER_TAG"}
    told |= {f"{folder.name.upper()}_CONFIG" for folder in DEPLOY.iterdir() if folder.is_dir()}
    asked = {name for file in DEPLOY.glob("compose*.yaml") for name in NAMED.findall(file.read_text())}
    assert asked <= told
    known = set(re.findall(r"^#? ?([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert set(SERVICES["worker"]["environment"]) <= known


def test_no_secret_stands_in_a_file_and_none_goes_into_git_or_the_image() -> None:
    empty = {name for name, value in assigned("server.env.example").items() if not value}
    whatsapp = {"WHATSAPP_TOKEN", "WHATSAPP_PHONE_NUMBER_ID", "WHATSAPP_TO"}
    mail = {"MAIL_SERVER", "MAIL_FROM", "MAIL_TO", "MAIL_USER", "MAIL_PASSWORD"}
    assert empty == {"GRAFANA_PASSWORD"} | whatsapp | mail
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {".env", "deploy/server.env"} <= set(ignored)
    assert (ROOT / ".dockerignore").read_text().startswith("*\n")
    assert SERVICES["worker"]["env_file"] == ["../.env"]
    for name, one in SERVICES.items():
        for key, value in one.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN|_TO$", key):
                assert str(value).startswith("${"), f"{name}: {key}"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_read_only_without_capabilities_bounded_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "mem_limit" in service
    assert service["logging"]["options"]["max-size"] == "10m"


def test_compose_writes_no_file_into_a_container_that_is_read_only() -> None:
    assert not COMPOSE.keys() & {"configs", "secrets"}, "it refuses: `file` is the sole supported option"
    assert not [name for name, one in SERVICES.items() if one.keys() & {"configs", "secrets"}]


def test_root_without_capabilities_writes_only_where_root_owns_the_folder() -> None:
    as_root = {name: one for name, one in SERVICES.items() if one.get("user") == "0:0"}
    assert set(as_root) == {"alloy"}
    kept = [volume for volume in as_root["alloy"]["volumes"] if not volume.startswith((".", "/"))]
    assert kept == ["alloy:/data"], "the image's /var/lib/alloy is its user's, with mode 770"
    assert "--storage.path=/data" in as_root["alloy"]["command"]


def test_the_receiver_of_alerts_has_what_it_asks_for_and_no_key_of_the_project() -> None:
    alerts = SERVICES["alerts"]
    given = set(alerts["environment"])
    asked = {str(field.validation_alias): field.is_required() for field in AlertSettings.model_fields.values()}
    assert {name for name, is_required in asked.items() if is_required} <= given
    assert given - set(asked) == {"NVIDIA_VISIBLE_DEVICES"}
    assert "env_file" not in alerts
    assert alerts["command"][0] in COMMANDS


def test_what_runs_beside_the_worker_takes_less_than_two_gigabytes_at_most() -> None:
    limits = [one["mem_limit"] for name, one in SERVICES.items() if name != "worker"]
    assert sum(int(limit[:-1]) * MIB[limit[-1]] for limit in limits) < 2048
    assert SERVICES["worker"]["mem_limit"] == "${WORKER_MEMORY:-1500m}"
    assert SERVICES["worker"]["cpus"] == "${WORKER_CPUS:-2}"


def test_the_worker_has_time_to_drain_and_is_found_dead_within_30_s() -> None:
    worker = SERVICES["worker"]
    assert int(worker["stop_grace_period"].removesuffix("s")) > 60 + 45, "LISTENER_DRAIN_S and 45 s"
    health = {key: int(str(worker["healthcheck"][key]).removesuffix("s")) for key in ("interval", "timeout", "retries")}
    assert health["interval"] * health["retries"] + health["timeout"] < 30
    assert "/livez" in worker["healthcheck"]["test"][-1]


def test_logs_are_kept_for_seven_days() -> None:
    loki = yaml.safe_load((DEPLOY / "loki" / "loki.yml").read_text())
    assert loki["limits_config"]["retention_period"] == f"{7 * 24}h"
    assert loki["compactor"]["retention_enabled"] is True


def test_grafana_asks_who_it_is() -> None:
    settings = SERVICES["grafana"]["environment"]
    assert settings["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert settings["GF_USERS_ALLOW_SIGN_UP"] == "false"
    assert settings["GF_SECURITY_ADMIN_PASSWORD"] == "${GRAFANA_PASSWORD:?}"


def test_every_file_that_is_mounted_exists() -> None:
    mounted = [volume.split(":")[0] for one in SERVICES.values() for volume in one.get("volumes", [])]
    ours = [path for path in mounted if path.startswith("./")]
    assert all((DEPLOY / path).exists() for path in ours if not path.startswith("./state/")), "those deploy.sh makes"
    named = {path for path in mounted if path[0] not in "./"}
    assert named == set(COMPOSE["volumes"])


def test_plain_http_only_proves_the_name_and_sends_on() -> None:
    [plain] = [one for one in NGINX.all("server") if one.all("listen")[0].words[1] == "80"]
    assert plain.location("/.well-known/acme-challenge/x").word("root") == "/var/www/challenges"
    assert plain.location("/generate").all("return")[0].words[1:] == ["308", "https://${DOMAIN}$request_uri"]
    assert tls().all("ssl_protocols")[0].words[1:] == ["TLSv1.2", "TLSv1.3"]


def test_forms_may_be_large_and_nothing_else() -> None:
    assert NGINX.word("client_max_body_size") == "64k"
    large = {
        one.words[-1]: one.word("client_max_body_size")
        for one in tls().all("location")
        if one.all("client_max_body_size")
    }
    assert large == {"/generate": "64m", "/hooks/supabase": "1m", "/grafana/": "1m"}


def test_who_asks_too_often_waits() -> None:
    zones = {one.words[1] for one in NGINX.all("limit_req_zone")}
    assert zones == {"$binary_remote_addr"}
    for path in ("/generate", "/status/1", "/result/1", "/api/credits", "/estimate-body", "/grafana/login"):
        assert tls().location(path).all("limit_req"), path


@pytest.mark.parametrize("text", ["server {", "a b", "a; }", "server { a }"])
def test_a_configuration_that_nginx_would_not_read_is_not_read_here(text: str) -> None:
    with pytest.raises(ValueError, match=r"end|semicolon|closes"):
        parsed(text)
