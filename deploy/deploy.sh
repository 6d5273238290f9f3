#!/usr/bin/env bash
# Puts a version of the worker on this server, the first one too, and goes back when it does not become ready.
#   deploy/deploy.sh TAG          the worker's image of that tag, and whatever else changed in this folder
#   deploy/deploy.sh --rollback   the tag that ran before
# Reads images.env, server.env (both beside it) and ../.env. Needs docker with compose 2.23.1 or newer.
# The new worker starts beside the old one, which is drained when the new one is ready (MACHINE=gpu: one after the other).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

READY_S=${READY_S:-600}
LOOK_S=${LOOK_S:-2}
DRAIN_S=${DRAIN_S:-120}
STATE=state

say() { printf '%s %s\n' "$(date -u +%H:%M:%S)" "$*"; }
end() { say "$1" >&2; exit "${2:-1}"; }

for file in images.env server.env ../.env; do
  [ -f "$file" ] || end "deploy/$file is missing: docs/deployment.md, One server with everything" 78
done
setting() { sed -n "s/^$1=//p" server.env | tail -n 1; }

mkdir -p "$STATE"
chmod 700 "$STATE"
exec 9>"$STATE/lock"
flock -n 9 || end "another deploy is at work" 75

was=$(cat "$STATE/tag" 2>/dev/null || true)
if [ "${1:-}" = --rollback ]; then
  tag=$(cat "$STATE/tag.before" 2>/dev/null || true)
  [ -n "$tag" ] || end "no version ran before this one" 64
else
  tag=${1:-}
fi
[[ "$tag" =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$ && "$tag" != latest ]] || end "usage: deploy.sh TAG | --rollback; the tag is not latest" 64

files=(-f compose.yaml)
[ "$(setting MACHINE)" != gpu ] || files+=(-f compose.gpu.yaml)
compose() { WORKER_TAG=$running docker compose "${files[@]}" --env-file images.env --env-file server.env "$@"; }
workers() { docker ps -q --no-trunc --filter label=com.docker.compose.project=listener --filter label=com.docker.compose.service=worker | sort; }
running=$tag

quoted() { printf "'%s'" "${1//\'/\'\'}"; } # as YAML reads it
mail() { # the end of alertmanager.yml, whose last receiver is `mail`
  [ -n "$(setting MAIL_TO)" ] || return 0
  [ -n "$(setting MAIL_FROM)" ] && [[ "$(setting MAIL_SERVER)" = *:* ]] || end "MAIL_TO needs MAIL_FROM, and MAIL_SERVER as host:port" 78
  printf '    email_configs:\n      - send_resolved: true\n'
  printf '        %s: %s\n' to "$(quoted "$(setting MAIL_TO)")" from "$(quoted "$(setting MAIL_FROM)")" \
    smarthost "$(quoted "$(setting MAIL_SERVER)")"
  [ -z "$(setting MAIL_USER)" ] || printf '        %s: %s\n' auth_username "$(quoted "$(setting MAIL_USER)")" \
    auth_password_file /etc/alertmanager/mail-password
}
# What two services read of server.env: neither reads the environment, and compose writes no file into a container that
# is read-only. Readable for the containers' users; nobody else on this host passes the folder above.
mkdir -p "$STATE/prometheus" "$STATE/alertmanager"
printf -- '- targets: [%s]\n' "$(quoted "https://$(setting DOMAIN)/livez")" >"$STATE/prometheus/outside.yml"
[ -s "$STATE/alertmanager/secret" ] || head -c 32 /dev/urandom | sha256sum | cut -c 1-64 >"$STATE/alertmanager/secret"
setting MAIL_PASSWORD >"$STATE/alertmanager/mail-password"
{ cat alertmanager/alertmanager.yml && mail; } >"$STATE/alertmanager/alertmanager.yml"
chmod -R a+rX "$STATE/prometheus" "$STATE/alertmanager"

# A label of each service that mounts a folder of ours: it is made anew when, and only when, that folder changed.
for folder in nginx prometheus alertmanager blackbox loki alloy grafana; do
  mkdir -p "$STATE/$folder"
  export "${folder^^}_CONFIG=$(find "$folder" "$STATE/$folder" -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-16)"
done

probe() { # CONTAINER PATH
  docker exec "$1" python -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000$2', timeout=2)" >/dev/null 2>&1
}

ready() { # CONTAINER: waits until it may claim
  local until=$((SECONDS + READY_S))
  while ! probe "$1" /readyz; do
    [ "$(docker inspect -f '{{.State.Running}} {{.RestartCount}}' "$1" 2>/dev/null)" = "true 0" ] || return 1
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep "$LOOK_S"
  done
}

remove() { # CONTAINER...: drained first
  [ $# -eq 0 ] || { docker stop -t "$DRAIN_S" "$@" >/dev/null && docker rm -v "$@" >/dev/null; }
}

certificate() { # Nginx does not start without one; port 80 is free, as nginx does not run yet.
  local domain
  domain=$(setting DOMAIN)
  compose run --rm --no-deps --entrypoint test certbot -f "/etc/letsencrypt/live/$domain/fullchain.pem" 2>/dev/null && return
  say "first certificate of $domain"
  compose run --rm --no-deps -p 80:80 --entrypoint certbot certbot certonly --standalone --non-interactive --agree-tos \
    --key-type ecdsa -m "$(setting ACME_EMAIL)" -d "$domain" || end "no certificate: does $domain show this server, and is port 80 open?"
}

start_worker() { # prints the new container
  local before
  before=$(workers)
  # shellcheck disable=SC2046 # one word for each worker
  compose up -d --no-deps --no-recreate --scale "worker=$(($(wc -w <<<"$before") + 1))" worker >&2
  comm -13 <(printf '%s\n' "$before") <(workers) | sed '/^$/d'
}

replace() { # the workers that run by one of $running; false when it does not become ready
  local old new
  read -r -a old <<<"$(workers | tr '\n' ' ')"
  if [ "$(setting MACHINE)" = gpu ]; then remove "${old[@]}"; old=(); fi
  new=$(start_worker)
  if [ -z "$new" ] || ! ready "$new"; then
    [ -z "$new" ] || docker logs --tail 20 "$new" >&2 || true
    [ -z "$new" ] || remove "$new"
    return 1
  fi
  remove "${old[@]}"
}

say "pulling $tag"
compose pull -q
if ! replace; then
  [ -n "$was" ] || end "$tag did not become ready; nothing ran before"
  running=$was
  [ -n "$(workers)" ] || { say "$tag did not become ready; starting $was again"; replace || end "$was does not become ready either: somebody has to look"; }
  end "$tag did not become ready; $was runs"
fi
certificate
others=$(compose config --services | grep -vx worker)
# shellcheck disable=SC2086 # one word for each service
compose up -d --no-deps --remove-orphans $others
if [ "$tag" != "$was" ]; then
  [ -z "$was" ] || printf '%s\n' "$was" >"$STATE/tag.before"
  printf '%s\n' "$tag" >"$STATE/tag"
fi
say "$tag runs"
