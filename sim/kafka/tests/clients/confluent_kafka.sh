#!/usr/bin/env bash
# librdkafka's Python client from PyPI against `bellwether kafka`, or against any cluster: --bootstrap HOST:PORT,...
#
# Prints a line per step and `N passed, N failed`; fails if a step does. Needs Python 3; the client is kept in a virtual
# environment under target/. CONFLUENT_KAFKA chooses another release than the newest.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)

PYTHON=$(command -v python3 || true)
if [ -z "$PYTHON" ]; then
  echo "skipped: there is no python3"
  echo "0 passed, 0 failed, SKIPPED: there is no python3"
  exit 0
fi

. "$HERE/cluster.sh"

VENV=$CACHE/python
if [ ! -x "$VENV/bin/python" ] || ! "$VENV/bin/python" -c "import confluent_kafka" 2>/dev/null; then
  "$PYTHON" -m venv "$VENV" >&2 || skip "python3 cannot make a virtual environment"
  "$VENV/bin/pip" install --quiet --disable-pip-version-check "confluent-kafka${CONFLUENT_KAFKA:+==$CONFLUENT_KAFKA}" >&2 ||
    skip "pip cannot install confluent-kafka"
fi

"$VENV/bin/python" "$HERE/confluent_kafka_steps.py" "$BOOTSTRAP"
