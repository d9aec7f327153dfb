#!/usr/bin/env bash
# A real Apache Kafka on loopback: one KRaft controller and three brokers, each a JVM of its own.
#
#   apache_kafka.sh resolve                 fetch the jars from Maven Central into the cache, print their directory
#   apache_kafka.sh start DIR [k=v ...]     format DIR and start all four; prints what `env` prints once they are up
#   apache_kafka.sh env DIR                 bootstrap servers, ports and process ids, as NAME=VALUE lines
#   apache_kafka.sh broker DIR N start|stop|kill|pause|resume
#   apache_kafka.sh stop DIR                kill all four and remove DIR
#
# k=v are settings of the brokers and the controller, by their real names; the rest is as Kafka has it, but for few
# threads and little memory. Needs Java 17 and Maven. KAFKA_VERSION chooses another release, KAFKA_CACHE another place
# for the jars, KAFKA_JAVA_OPTIONS more memory for each. With KAFKA_WATCH_PID all four end when that process does.
set -euo pipefail

VERSION=${KAFKA_VERSION:-4.4.0}
CACHE=${KAFKA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bellwether}/apache-kafka-$VERSION
CONTROLLER=100
BROKERS="1 2 3"
CLUSTER_ID=QmVsbHdldGhlcldldGhlcg
UP_SECONDS=120

die() {
  echo "apache_kafka.sh: $*" >&2
  exit 1
}

# The broker needs neither the command line tools nor their API, which 4.4.0 has not published.
resolve() {
  if [ -d "$CACHE" ]; then
    return
  fi
  command -v java >/dev/null 2>&1 || die "there is no Java"
  command -v mvn >/dev/null 2>&1 || die "there is no Maven"
  local work
  work=$(mktemp -d "${TMPDIR:-/tmp}/apache-kafka-XXXXXX")
  cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>bellwether</groupId>
  <artifactId>apache-kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$VERSION</version>
      <exclusions>
        <exclusion>
          <groupId>org.apache.kafka</groupId>
          <artifactId>kafka-tools-api</artifactId>
        </exclusion>
      </exclusions>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
POM
  (cd "$work" && mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DoutputDirectory="$work/jars" -DincludeScope=runtime) >&2 || die "Maven cannot resolve Kafka $VERSION"
  mkdir -p "$(dirname "$CACHE")"
  # Whoever is first wins; the other's jars are the same.
  mv -T "$work/jars" "$CACHE" 2>/dev/null || [ -d "$CACHE" ] || die "$CACHE cannot be written"
  rm -rf "$work"
}

is_open() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    if ! is_open "$port"; then
      echo "$port"
      return
    fi
  done
}

port_of() {
  sed -n "s/^PORT_$2=//p" "$1/ports"
}

pid_of() {
  cat "$1/$2/pid" 2>/dev/null || true
}

is_alive() {
  local pid
  pid=$(pid_of "$1" "$2")
  [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null
}

settings() {
  local dir=$1 node=$2
  local port controller
  port=$(port_of "$dir" "$node")
  controller=$(port_of "$dir" "$CONTROLLER")
  if [ "$node" = "$CONTROLLER" ]; then
    echo "process.roles=controller"
    echo "listeners=CONTROLLER://127.0.0.1:$controller"
  else
    echo "process.roles=broker"
    echo "listeners=PLAINTEXT://127.0.0.1:$port"
  fi
  cat <<SETTINGS
node.id=$node
controller.quorum.voters=$CONTROLLER@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$dir/$node/log
num.network.threads=1
num.io.threads=2
num.replica.fetchers=1
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=8388608
background.threads=2
num.recovery.threads.per.data.dir=1
transaction.state.log.min.isr=2
controlled.shutdown.enable=true
SETTINGS
  if [ -f "$dir/more" ]; then
    cat "$dir/more"
  fi
}

jvm() {
  local options=${KAFKA_JAVA_OPTIONS:--Xmx256m -Xms64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1}
  # shellcheck disable=SC2086
  exec java $options -Xshare:auto -XX:-UsePerfData \
    -Djava.awt.headless=true -Dorg.slf4j.simpleLogger.defaultLogLevel="${KAFKA_LOG_LEVEL:-warn}" \
    -cp "$CACHE/*" "$@"
}

start_node() {
  local dir=$1 node=$2
  if is_alive "$dir" "$node"; then
    return
  fi
  jvm kafka.Kafka "$dir/$node/server.properties" >>"$dir/$node/out" 2>&1 </dev/null &
  echo $! >"$dir/$node/pid"
}

wait_open() {
  local dir=$1 node=$2 port seconds=0
  port=$(port_of "$dir" "$node")
  until is_open "$port"; do
    is_alive "$dir" "$node" || die "node $node has died: $(tail -5 "$dir/$node/out")"
    [ $seconds -lt $((UP_SECONDS * 5)) ] || die "node $node is not up after $UP_SECONDS seconds"
    seconds=$((seconds + 1))
    sleep 0.2
  done
}

print_env() {
  local dir=$1 node servers=""
  for node in $BROKERS; do
    servers="$servers,127.0.0.1:$(port_of "$dir" "$node")"
  done
  echo "VERSION=$VERSION"
  echo "BOOTSTRAP=${servers#,}"
  cat "$dir/ports"
  for node in $BROKERS $CONTROLLER; do
    echo "PID_$node=$(pid_of "$dir" "$node")"
  done
}

start() {
  local dir=$1 node
  shift
  resolve
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  for node in $BROKERS $CONTROLLER; do
    mkdir -p "$dir/$node/log"
    echo "PORT_$node=$(free_port)"
  done >"$dir/ports"
  : >"$dir/more"
  local setting
  for setting in "$@"; do
    echo "$setting" >>"$dir/more"
  done
  # Started together: each formats its own directory first.
  for node in $CONTROLLER $BROKERS; do
    settings "$dir" "$node" >"$dir/$node/server.properties"
    (jvm kafka.tools.StorageTool format --cluster-id "$CLUSTER_ID" \
      --config "$dir/$node/server.properties") >"$dir/$node/out" 2>&1 || {
      cat "$dir/$node/out" >&2
      die "node $node cannot be formatted"
    }
    start_node "$dir" "$node"
  done
  if [ -n "${KAFKA_WATCH_PID:-}" ]; then
    watch "$dir" "$KAFKA_WATCH_PID" </dev/null >/dev/null 2>&1 &
  fi
  for node in $CONTROLLER $BROKERS; do
    wait_open "$dir" "$node"
  done
  print_env "$dir"
}

# Nobody is left behind by a test that was killed.
watch() {
  while kill -0 "$2" 2>/dev/null && [ -d "$1" ]; do
    sleep 1
  done
  if [ -d "$1" ]; then
    stop "$1"
  fi
}

broker() {
  local dir=$1 node=$2 deed=$3 pid
  pid=$(pid_of "$dir" "$node")
  case $deed in
    start)
      start_node "$dir" "$node"
      wait_open "$dir" "$node"
      ;;
    stop)
      kill -TERM "$pid"
      while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
      ;;
    kill)
      kill -KILL "$pid"
      while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
      ;;
    pause) kill -STOP "$pid" ;;
    resume) kill -CONT "$pid" ;;
    *) die "a broker cannot $deed" ;;
  esac
}

stop() {
  local dir=$1 node pid
  for node in $BROKERS $CONTROLLER; do
    pid=$(pid_of "$dir" "$node")
    if [ -n "$pid" ]; then
      kill -KILL "$pid" 2>/dev/null || true
    fi
  done
  rm -rf "$dir"
}

case ${1:-} in
  resolve)
    resolve
    echo "$CACHE"
    ;;
  start) shift && start "$@" ;;
  env) print_env "$2" ;;
  broker) broker "$2" "$3" "$4" ;;
  stop) stop "$2" ;;
  *) die "usage: apache_kafka.sh resolve | start DIR [k=v ...] | env DIR | broker DIR N DEED | stop DIR" ;;
esac
