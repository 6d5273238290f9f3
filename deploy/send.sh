#!/usr/bin/env bash
# From a workflow: brings this folder and the two files of settings to the server over SSH, and runs deploy.sh there.
# DEPLOY_HOST is user@host; its host key is in DEPLOY_KNOWN_HOSTS, the private key in DEPLOY_KEY. Settings go by stdin,
# never on a command line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${DEPLOY_HOST:?}" "${DEPLOY_TAG:?}" "${DEPLOY_KEY:?}" "${DEPLOY_KNOWN_HOSTS:?}" "${WORKER_ENV:?}" "${SERVER_ENV:?}"
folder=${DEPLOY_FOLDER:-listener}

keys=$(mktemp -d)
trap 'rm -rf "$keys"' EXIT
(
  umask 077
  printf '%s\n' "$DEPLOY_KEY" >"$keys/key"
  printf '%s\n' "$DEPLOY_KNOWN_HOSTS" >"$keys/hosts"
)
server() {
  ssh -i "$keys/key" -o UserKnownHostsFile="$keys/hosts" -o StrictHostKeyChecking=yes -o BatchMode=yes -o ConnectTimeout=20 \
    -o ServerAliveInterval=15 "$DEPLOY_HOST" "$@"
}
keep() { server "umask 077; cat >'$folder/$1.new' && mv '$folder/$1.new' '$folder/$1'"; }

server "mkdir -p '$folder/deploy'"
tar -c --exclude=deploy/state --exclude=deploy/server.env deploy | server "tar -x -C '$folder'"
printf '%s\n' "$WORKER_ENV" | keep .env
printf '%s\n' "$SERVER_ENV" | keep deploy/server.env
server "'$folder/deploy/deploy.sh' '$DEPLOY_TAG'"
