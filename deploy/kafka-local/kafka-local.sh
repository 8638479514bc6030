#!/usr/bin/env bash
# A single Apache Kafka 4 broker (KRaft, loopback only) from Maven Central's jars, for a local try and for the tests.
#
#   kafka-local.sh start            download on first use, format, start, wait until it answers; prints the bootstrap address
#   kafka-local.sh stop             ask it to stop, by process id
#   kafka-local.sh status           prints the bootstrap address and exits 0 when it answers, exits 1 when it does not
#   kafka-local.sh topic NAME [N]   create topic NAME with N partitions (default 1) unless it exists
#   kafka-local.sh jars             download only
#
# Environment: KAFKA_LOCAL_DIR   data, log and pid              (default .cache/kafka/local under the repository)
#              KAFKA_LOCAL_PORT  the broker's listener           (default 9092)
#              KAFKA_LOCAL_CONTROLLER_PORT                       (default 9093)
#              KAFKA_LOCAL_JARS  where the jars are kept         (default .cache/kafka/jars under the repository)
#              KAFKA_LOCAL_START_SECONDS  how long a start may take (default 90)
#              KAFKA_LOCAL_HEAP  the broker's heap               (default 512m)
#              KAFKA_LOCAL_CLUSTER_ID  22 characters of base64 that all nodes of a cluster share (default random)
#              KAFKA_LOCAL_PROPERTIES  a file of further settings, which win over the ones below (listeners, TLS, SASL)
# Needs a JDK or JRE >= 17, and Maven for the first download.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$(cd "$here/../.." && pwd)/.cache/kafka
dir=${KAFKA_LOCAL_DIR:-$cache/local}
jars=${KAFKA_LOCAL_JARS:-$cache/jars}
port=${KAFKA_LOCAL_PORT:-9092}
controller_port=${KAFKA_LOCAL_CONTROLLER_PORT:-9093}
heap=${KAFKA_LOCAL_HEAP:-512m}
start_seconds=${KAFKA_LOCAL_START_SECONDS:-90}
stop_seconds=30
# A second or two of start-up matters here and peak throughput does not.
java_flags=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -XX:-UsePerfData)

fail() { printf 'kafka-local: %s\n' "$*" >&2; exit 1; }

need_java() {
  command -v java >/dev/null || fail "no java on PATH; a JDK or JRE >= 17 is needed"
  local version
  version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
  [[ ${version:-0} -ge 17 ]] || fail "java is version ${version:-unknown}; Kafka 4 needs 17 or newer"
}

# Complete only once the stamp is there: an interrupted download is done again. The stamp names the pom, so a new version is fetched.
fetch_jars() {
  local stamp want
  stamp=$jars/.complete
  want=$(cksum <"$here/pom.xml")
  [[ -f $stamp && $(<"$stamp") == "$want" ]] && return
  command -v mvn >/dev/null || fail "no Maven (mvn) on PATH; it is needed once, to fetch Kafka's jars"
  mkdir -p "$jars"
  exec 8>"$jars/.lock"
  command -v flock >/dev/null && flock 8
  if [[ ! -f $stamp || $(<"$stamp") != "$want" ]]; then
    rm -f "$jars"/*.jar
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$jars" >&2 ||
      fail "Maven could not fetch Kafka's jars into $jars"
    printf '%s' "$want" >"$stamp"
  fi
  exec 8>&-
}

kafka_java() {
  java -Xmx256m "${java_flags[@]}" -Dkafka.local.log="$dir/tools.log" \
    -Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$jars/*" "$@"
}

running_pid() {
  local pid
  pid=$(cat "$dir/pid" 2>/dev/null) || return 1
  # A recycled process id must not pass for the broker. Whole lines, or a COLUMNS in the environment cuts them off.
  ps -ww -p "$pid" -o args= 2>/dev/null | grep -qF "kafka.Kafka $dir/server.properties" || return 1
  printf '%s' "$pid"
}

answers() {
  (exec 7<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 1
  kafka_java org.apache.kafka.tools.TopicCommand --bootstrap-server "127.0.0.1:$port" --list >/dev/null 2>&1
}

write_config() {
  cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data
auto.create.topics.enable=false
num.partitions=1
message.max.bytes=8388608
# One node can't replicate, and one partition of each internal topic starts quickest.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# A killed broker may register again only after its old session has ended.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
PROPERTIES
  [[ -z ${KAFKA_LOCAL_PROPERTIES:-} ]] || cat "$KAFKA_LOCAL_PROPERTIES" >>"$dir/server.properties"
}

start() {
  need_java
  if running_pid >/dev/null; then
    printf '127.0.0.1:%s\n' "$port"
    return
  fi
  fetch_jars
  mkdir -p "$dir"
  write_config
  if [[ ! -f $dir/data/meta.properties ]]; then
    # A cluster id is 16 random bytes in URL-safe base64: not worth a Java start of its own.
    local id
    id=${KAFKA_LOCAL_CLUSTER_ID:-$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | tr -d '=')}
    kafka_java kafka.tools.StorageTool format -t "$id" \
      -c "$dir/server.properties" >"$dir/format.log" 2>&1 || fail "formatting failed; see $dir/format.log"
  fi
  # Descriptors of the caller are closed, or whoever reads its output would wait for the broker to end.
  nohup java -Xms128m "-Xmx$heap" "${java_flags[@]}" -Dkafka.local.log="$dir/server.log" \
    -Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$jars/*" \
    kafka.Kafka "$dir/server.properties" </dev/null >"$dir/stdout.log" 2>&1 &
  printf '%s' "$!" >"$dir/pid"
  local deadline=$((SECONDS + start_seconds))
  until answers; do
    running_pid >/dev/null || fail "the broker ended at once; see $dir/server.log and $dir/stdout.log"
    [[ $SECONDS -lt $deadline ]] || fail "no answer on 127.0.0.1:$port within $start_seconds s; see $dir/server.log"
    sleep 0.2
  done
  printf '127.0.0.1:%s\n' "$port"
}

stop() {
  local pid
  pid=$(running_pid) || { rm -f "$dir/pid"; return; }
  kill "$pid"
  local deadline=$((SECONDS + stop_seconds))
  while kill -0 "$pid" 2>/dev/null; do
    [[ $SECONDS -lt $deadline ]] || { kill -9 "$pid"; break; }
    sleep 0.1
  done
  rm -f "$dir/pid"
}

status() {
  if ! running_pid >/dev/null || ! answers; then fail "no broker of $dir answers on 127.0.0.1:$port"; fi
  printf '127.0.0.1:%s\n' "$port"
}

topic() {
  [[ -n ${1:-} ]] || fail "topic: a name is needed: kafka-local.sh topic NAME [PARTITIONS]"
  kafka_java org.apache.kafka.tools.TopicCommand --bootstrap-server "127.0.0.1:$port" \
    --create --if-not-exists --topic "$1" --partitions "${2:-1}" --replication-factor 1 >&2
  printf '%s\n' "$1"
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  status) status ;;
  topic) topic "${2:-}" "${3:-1}" ;;
  jars) need_java; fetch_jars ;;
  *) sed -n '2,19s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
