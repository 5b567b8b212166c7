#!/bin/sh
# Installs the Notification Service on a machine with systemd 252 (Debian 12) or newer: executable, unit, the documents that
# the unit names, and a commented environment file. Safe to repeat: what an administrator may have changed is never
# overwritten. Starts nothing.
#
#   usage: sudo sh scripts/install.sh [<executable>]      default: dist/notification-service
#
# With DESTDIR set, everything goes below that folder and systemd is left alone (for packages and tests).
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
executable=${1:-$here/../dist/notification-service}
root=${DESTDIR:-}
etc=$root/etc/notification-service

fail() {
  echo "install.sh: $1" >&2
  exit 1
}

[ $# -le 1 ] || fail "usage: install.sh [<executable>]"
[ -f "$executable" ] || fail "there is no executable $executable: make it with 'deno task compile', or name it"
[ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "root is needed: sudo sh $0"
if [ -f "$executable.sha256" ]; then
  (cd "$(dirname -- "$executable")" && sha256sum --check --quiet "$(basename -- "$executable").sha256") ||
    fail "$executable is not what its .sha256 says"
fi

# Beside the old one and then in its place, so that a service that runs keeps the file that it was started from.
mkdir -p "$root/usr/local/bin"
install -m 0755 "$executable" "$root/usr/local/bin/.notification-service.new"
mv -f "$root/usr/local/bin/.notification-service.new" "$root/usr/local/bin/notification-service"
echo "installed $root/usr/local/bin/notification-service"

mkdir -p "$root/etc/systemd/system"
install -m 0644 "$here/systemd/notification-service.service" "$root/etc/systemd/system/notification-service.service"
echo "installed $root/etc/systemd/system/notification-service.service"

documents=$root/usr/local/share/doc/notification-service
rm -rf "$documents"
mkdir -p "$documents"
cp -R "$here/../docs/." "$here/../CHANGELOG.md" "$here/../LICENSE" "$documents"
# What is not installed is named there and not linked.
for page in "$documents"/*.md; do
  # A link may continue on the next line.
  sed -z -e 's|(\.\./CHANGELOG\.md)|(CHANGELOG.md)|g' -e 's|(docs/|(|g' -e 's|\[\([^]]*\)\](\.\./[^)]*)|\1|g' "$page" >"$documents/.page"
  mv "$documents/.page" "$page"
done
chmod -R a+rX "$documents"
echo "installed $documents"

mkdir -p "$etc"
chmod 0755 "$etc"
keep_or_install() {
  if [ -e "$2" ]; then
    echo "kept      $2"
  else
    install -m "$3" "$1" "$2"
    echo "installed $2"
  fi
}
# OTEL_EXPORTER_OTLP_HEADERS may hold a token; systemd reads the file as root.
keep_or_install "$here/systemd/environment" "$etc/environment" 0600
for secret in redis_password postgres_primary_dsn; do
  keep_or_install /dev/null "$etc/$secret" 0600
done

if [ -z "$root" ] && [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi

echo
echo "Next:"
step=1
next() {
  echo "  $step. $1"
  step=$((step + 1))
}
[ -s "$etc/redis_password" ] || next "Put the password of Redis into $etc/redis_password"
[ -s "$etc/postgres_primary_dsn" ] || next "Put the URL of PostgreSQL into $etc/postgres_primary_dsn"
for variable in NOTIFICATION_REDIS_MASTER_ADDR NOTIFICATION_USER_SERVICE_BASE_URL; do
  grep -q "^$variable=." "$etc/environment" || next "Fill in $variable in $etc/environment"
done
if [ -z "$root" ] && [ -d /run/systemd/system ] && systemctl --quiet is-active notification-service; then
  next "systemctl restart notification-service"
else
  next "systemctl enable --now notification-service"
fi
next "systemctl status notification-service; journalctl -u notification-service"
