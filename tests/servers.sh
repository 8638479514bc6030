#!/bin/sh
# What the integration tests start: a JDK and Maven for Kafka, Chromium for the page, Prometheus and Alertmanager.
set -u
here=$(dirname "$0")
missing=""
command -v java >/dev/null 2>&1 || missing="$missing default-jdk-headless"
command -v mvn >/dev/null 2>&1 || missing="$missing maven"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
command -v promtool >/dev/null 2>&1 || missing="$missing prometheus"
command -v amtool >/dev/null 2>&1 || missing="$missing prometheus-alertmanager"
# shellcheck disable=SC2086  # a list of package names
[ -z "$missing" ] || sh "$here/apt.sh" $missing || [ "${CI:-}" != true ] || exit 1
if command -v mvn >/dev/null 2>&1 && command -v java >/dev/null 2>&1; then
  bash "$here/../deploy/kafka-local/kafka-local.sh" jars || [ "${CI:-}" != true ] || exit 1
fi
exit 0
