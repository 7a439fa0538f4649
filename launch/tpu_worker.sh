#!/usr/bin/env bash
# One worker of a TPU VM: launch/tpu_vm.sh copies this file there and calls it there.
#
#   install          makes .venv with what a TPU needs
#   start FLAGS...   starts launch.train, detached; one that still runs is left alone
#   follow [again]   prints the log from the start (again: its last lines) to the end
#   finish SECONDS   waits so long for the end, then kills; prints hax_jax_exit=CODE
#   holds PATH       prints hax_jax_holds=yes or no
#   stop SECONDS     sends SIGTERM, at which the run saves, and then as finish
set -euo pipefail
cd "$(dirname "$0")/.."
state=$HOME/.hax_jax_run # pid, log, exit: of the training that was started last
mkdir -p "$state"

running() {
  local process
  process=$(cat "$state/pid" 2>/dev/null) || return 1
  [[ ! -e $state/exit ]] && grep -q launch.train "/proc/$process/cmdline" 2>/dev/null
}

finish() { # SECONDS
  local waited=0 code
  while running && ((waited < $1 * 5)); do
    sleep 0.2
    waited=$((waited + 1))
  done
  if running; then
    echo "the training still runs after $1 s and is killed"
    kill -KILL -- "-$(cat "$state/pid")" 2>/dev/null || true
  fi
  # No code: it was killed from outside, or the machine started anew. 75: start it again.
  code=$(cat "$state/exit" 2>/dev/null) || code=75
  echo "hax_jax_exit=$code"
}

case ${1-} in
  install)
    for python in .venv/bin/python python3.13 python3.12 python3.11 python3; do
      # Debian's Python is without ensurepip, which makes .venv, until python3-venv is there.
      if "$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        PYTHON=$python
        break
      fi
    done
    if [[ -z ${PYTHON-} ]]; then
      echo 'this machine has no Python from 3.11 on; uv brings one'
      python3 -m pip install --quiet --user uv
      python3 -m uv python install --quiet 3.12
      PYTHON=$(python3 -m uv python find --no-project 3.12)
    fi
    # shellcheck source=launch/environment.sh
    source launch/environment.sh launch/requirements-tpu.txt
    ;;
  start)
    shift
    (($#)) || { echo 'error: flags of launch.train follow after start' >&2; exit 2; }
    if running; then
      echo "the training runs already (process $(cat "$state/pid"))"
      exit 0
    fi
    rm -f "$state/exit"
    touch "$state/log"
    wc -c <"$state/log" | tr -d ' ' >"$state/from"
    # shellcheck disable=SC2016  # expanded by the inner shell
    PYTHONUNBUFFERED=1 nohup setsid bash -c '
      trap : TERM # the training gets it too; this shell writes how it ended
      state=$1
      shift
      code=0
      .venv/bin/python -m launch.train "$@" || code=$?
      echo "$code" >"$state/exit.new"
      mv "$state/exit.new" "$state/exit"' launch.train "$state" "$@" \
      </dev/null >>"$state/log" 2>&1 &
    echo "$!" >"$state/pid"
    until running || [[ -e $state/exit ]]; do sleep 0.05; done
    echo "the training is process $!"
    ;;
  follow)
    from=$(cat "$state/from")
    if [[ ${2-} == again ]]; then
      tail -n 20 "$state/log"
      from=$(wc -c <"$state/log")
    fi
    ended=''
    while [[ -z $ended ]]; do
      running || ended=1 # then the log is whole: print the rest of it
      size=$(wc -c <"$state/log")
      tail -c "+$((from + 1))" "$state/log" | head -c "$((size - from))" || true
      from=$size
      [[ $ended ]] || sleep 0.2
    done
    ;;
  finish) finish "$2" ;;
  holds) if [[ -e $2 ]]; then echo hax_jax_holds=yes; else echo hax_jax_holds=no; fi ;;
  stop)
    if running; then kill -TERM -- "-$(cat "$state/pid")" 2>/dev/null || true; fi
    finish "$2"
    ;;
  --help | -h) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" ;;
  *)
    echo "error: '${1-}' is not one of install, start, follow, finish, holds, stop" >&2
    exit 2
    ;;
esac
