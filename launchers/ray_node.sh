#!/usr/bin/env bash
# One node of a Ray cluster, in the foreground: started by hand, by systemd, or by a batch system's one-task-a-node step.
# Ends, with all that runs on the node, when this process is ended.
#
#   launchers/ray_node.sh head [PORT]             # on the first machine
#   launchers/ray_node.sh worker HEAD_HOST:PORT   # on every other one
#
# then, from a machine that sees the same output and data folders as all nodes:
#
#   bench run SUITE --address HEAD_HOST:PORT --out /shared/results/SUITE
#
# CPUS and GPUS in the environment say what the node offers; Ray counts them itself otherwise. A cluster that others can
# reach should ask for a token: `ray get-auth-token --generate`, then the same ~/.ray/auth_token on every machine.
set -euo pipefail

usage() {
  sed -n '5,6p' "$0" | sed 's/^# *//' >&2
  exit 2
}

export RAY_USAGE_STATS_ENABLED=0
options=(--block --disable-usage-stats)
[ -z "${CPUS:-}" ] || options+=(--num-cpus "$CPUS")
[ -z "${GPUS:-}" ] || options+=(--num-gpus "$GPUS")

case "${1:-}" in
  head) exec ray start --head --port "${2:-6379}" --include-dashboard=false "${options[@]}" ;;
  worker) exec ray start --address "${2:?$(usage)}" "${options[@]}" ;;
  *) usage ;;
esac
