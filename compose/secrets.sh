#!/bin/sh
# Makes the passwords that docker-compose.yml mounts, those that are not there yet. Nobody but this user can enter the
# folder; the files are readable because the programs in the containers run as users of their own.
set -eu
folder=$(cd "$(dirname "$0")" && pwd)/secrets
mkdir -p "$folder"
chmod 700 "$folder"
for name in postgres_password exporter_password; do
  [ -s "$folder/$name" ] || LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom | head -c 32 >"$folder/$name"
  chmod 444 "$folder/$name"
done
echo "secrets are in $folder"
