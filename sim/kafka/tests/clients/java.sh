#!/usr/bin/env bash
# The official Java client from Maven Central against `bellwether kafka`, or against any cluster: --bootstrap HOST:PORT,...
#
# Prints a line per step and `N passed, N failed`; fails if a step does. Needs Java 17 and Maven; jars are kept under
# target/. KAFKA_CLIENTS_VERSION chooses another release.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
VERSION=${KAFKA_CLIENTS_VERSION:-4.4.0}

for program in java javac mvn; do
  if ! command -v "$program" >/dev/null 2>&1; then
    echo "skipped: there is no $program"
    echo "0 passed, 0 failed, SKIPPED: there is no $program"
    exit 0
  fi
done

. "$HERE/cluster.sh"

JARS=$CACHE/java-$VERSION
if [ ! -d "$JARS" ]; then
  work=$(mktemp -d "${TMPDIR:-/tmp}/kafka-clients-XXXXXX")
  cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>bellwether</groupId>
  <artifactId>kafka-clients</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka-clients</artifactId>
      <version>$VERSION</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-nop</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
POM
  (cd "$work" && mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DoutputDirectory="$work/jars" -DincludeScope=runtime) >&2 || skip "Maven cannot resolve kafka-clients $VERSION"
  mkdir -p "$CACHE"
  mv -T "$work/jars" "$JARS"
  rm -rf "$work"
fi

CLASSES=$CACHE/classes-$VERSION
mkdir -p "$CLASSES"
javac -Xlint:all,-processing -d "$CLASSES" -cp "$JARS/*" "$HERE/JavaSteps.java"
echo "# kafka-clients $VERSION, $BOOTSTRAP"
java -Xmx256m -cp "$CLASSES:$JARS/*" JavaSteps "$BOOTSTRAP"
