#!/usr/bin/env bash
# One node of a Ray cluster, in the foreground: started by hand, by systemd, or by a batch system's one-task-a-node step.
#
#   launchers/ray_node.sh head [PORT]             # on the first machine
#   launchers/ray_node.sh worker HEAD_HOST:PORT   # on every other one
#
# then, from a machine that sees the same output and data folders as all nodes:
#
#   bench run SUITE --address HEAD_HOST:PORT --out /shared/results/SUITE
#
# It ends, with all that runs on the node, when its process is ended (Ctrl-C, SIGTERM), in about 30 s; a kill of its
# whole process group ends it at once. Never `ray stop`, which ends everybody's Ray on the machine.
#
# CPUS and GPUS in the environment say what the node offers; Ray counts them itself otherwise. The nodes and `bench run`
# know each other by a token: the head makes one in ~/.ray/auth_token where there is none, and every other account needs
# a copy (or RAY_AUTH_TOKEN_PATH, or RAY_AUTH_TOKEN). RAY_AUTH_MODE=disabled does without, where nobody else can reach it.
set -euo pipefail

usage() {
  sed -n '4,5p' "$0" | sed 's/^# *//' >&2
  exit 2
}

PYTHON=${PYTHON:-python}
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE="${RAY_AUTH_MODE:-token}"

# A node that does not answer for about 13 s is lost, and its jobs go elsewhere; Ray's own settings take a minute.
export RAY_health_check_initial_delay_ms="${RAY_health_check_initial_delay_ms:-1000}"
export RAY_health_check_period_ms="${RAY_health_check_period_ms:-1000}"
export RAY_health_check_timeout_ms="${RAY_health_check_timeout_ms:-3000}"
export RAY_health_check_failure_threshold="${RAY_health_check_failure_threshold:-3}"
# Nodes end 15 s after their head has gone, and not after a minute.
export RAY_gcs_rpc_server_reconnect_timeout_s="${RAY_gcs_rpc_server_reconnect_timeout_s:-15}"

# Ports of workers are free ones: Ray's fixed range would meet that of another cluster on the same machine.
options=(--block --disable-usage-stats --min-worker-port 0 --max-worker-port 0)
# Jobs write logs of their own below the output folder, and nothing here makes a cluster larger.
options+=(--include-log-monitor=false)
[ -z "${CPUS:-}" ] || options+=(--num-cpus "$CPUS")
[ -z "${GPUS:-}" ] || options+=(--num-gpus "$GPUS")

# Waits until the head's port answers, for PATIENCE seconds.
await_head() {
  local host=${1%:*} port=${1##*:} deadline=$((SECONDS + ${PATIENCE:-120}))
  until (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      echo "no head answers at $1: is it running, and does a firewall let this machine reach it?" >&2
      exit 1
    fi
    sleep 0.5
  done
}

case "${1:-}" in
  head)
    [ "$RAY_AUTH_MODE" != token ] || "$PYTHON" -m harness.scheduling.token
    # Nothing here uses Ray's client server, which cannot be left out; its fixed port is another cluster's on this machine.
    unused=$("$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
    options+=(--include-dashboard=false --no-monitor --ray-client-server-port "$unused")
    exec ray start --head --port "${2:-6379}" "${options[@]}"
    ;;
  worker)
    [ $# -ge 2 ] || usage
    await_head "$2"
    [ "$RAY_AUTH_MODE" != token ] || "$PYTHON" -m harness.scheduling.token --check "$2"
    exec ray start --address "$2" "${options[@]}"
    ;;
  *) usage ;;
esac
