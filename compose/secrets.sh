#!/bin/sh
# Makes the passwords that docker-compose.yml mounts, those that are not there yet. Nobody but this user can enter the
# folder; the files are readable because the programs in the containers run as users of their own. What Alertmanager needs
# (alertmanager/README.md: URLs, keys, tokens) only you have: put it into the folder alertmanager in there, and make it
# readable (chmod 444) likewise.
set -eu
folder=$(cd "$(dirname "$0")" && pwd)/secrets
mkdir -p "$folder"
chmod 700 "$folder"
mkdir -p "$folder/alertmanager"
chmod 755 "$folder/alertmanager"
for name in postgres_password exporter_password; do
  [ -s "$folder/$name" ] || LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom | head -c 32 >"$folder/$name"
  chmod 444 "$folder/$name"
done
echo "secrets are in $folder"
