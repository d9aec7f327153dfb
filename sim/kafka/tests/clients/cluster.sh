# Sourced by the scripts beside it: a cluster to talk to, and where to keep what they fetch.
#
# BOOTSTRAP is set afterwards: the value of --bootstrap, or that of a `bellwether kafka` started here, which ends with
# the script. BELLWETHER names another binary; without it the newest one under target/ is taken, or built.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../../.." && pwd)
CACHE=${KAFKA_CLIENTS_CACHE:-$ROOT/target/kafka-clients}
BOOTSTRAP=
SERVER=

skip() {
  echo "skipped: $*"
  echo "0 passed, 0 failed, SKIPPED: $*"
  exit 0
}

binary() {
  if [ -n "${BELLWETHER:-}" ]; then
    echo "$BELLWETHER"
    return
  fi
  local newest
  newest=$(ls -t "$ROOT"/target/*/bellwether 2>/dev/null | head -1)
  if [ -z "$newest" ]; then
    (cd "$ROOT" && cargo build --quiet --profile sim --package sim --bin bellwether) >&2 || return 1
    newest=$ROOT/target/sim/bellwether
  fi
  echo "$newest"
}

end_server() {
  if [ -n "$SERVER" ]; then
    kill -INT "$SERVER" 2>/dev/null || true
    wait "$SERVER" 2>/dev/null || true
    rm -f "$SAID"
  fi
}

start_server() {
  local program
  program=$(binary) || {
    echo "bellwether cannot be built" >&2
    exit 1
  }
  SAID=$(mktemp "${TMPDIR:-/tmp}/bellwether-kafka-XXXXXX")
  trap end_server EXIT
  # Rebalances begin at once: the scripts have many.
  "$program" kafka --listen 0,0,0 --set group.initial.rebalance.delay.ms=100 >"$SAID" &
  SERVER=$!
  for _ in $(seq 200); do
    BOOTSTRAP=$(sed -n 's/^bootstrap.servers=//p' "$SAID")
    [ -n "$BOOTSTRAP" ] && return
    kill -0 "$SERVER" 2>/dev/null || break
    sleep 0.1
  done
  echo "bellwether kafka does not start" >&2
  exit 1
}

case ${1:-} in
  "") start_server ;;
  --bootstrap) BOOTSTRAP=${2:?--bootstrap wants host:port} ;;
  *)
    echo "usage: $0 [--bootstrap HOST:PORT,...]" >&2
    exit 2
    ;;
esac
