#!/usr/bin/env bash
# Runs one command as N processes of one run on this machine.
set -euo pipefail

usage() {
  cat <<'END'
Runs COMMAND as N processes of one run on this machine, and ends with the exit code of the
first process that failed, else with 0; with 75 (start it again) if one was killed and the
others said so.

  bash launch/local.sh [--dry_run] N COMMAND...
  bash launch/local.sh 2 python -m launch.train --config=... --workdir=runs/two

Each process gets JAX_COORDINATOR_ADDRESS (a free port of 127.0.0.1), JAX_NUM_PROCESSES and
JAX_PROCESS_ID; each line that it prints begins with its number. When one has failed, the
others get 30 s to end by themselves, then SIGTERM, then after 60 s SIGKILL. Ctrl-C and
SIGTERM, SIGHUP, SIGUSR1 go to all processes, and the script waits until they have saved.

  --dry_run   print the calls, run nothing

HAX_JAX_GRACE_SECONDS (30) and HAX_JAX_KILL_SECONDS (60) set the two waits.
END
}
say() { echo "$*" >&2 || true; } # nobody may read any more
fail() {
  echo "error: $*" >&2
  exit 2
}

dry_run=
while [[ ${1-} == -* ]]; do
  case $1 in
    --dry_run) dry_run=1 ;;
    --help | -h) usage; exit 0 ;;
    *) fail "$1 is not an option; N and the command come first. Try --help." ;;
  esac
  shift
done
[[ ${1-} =~ ^[1-9][0-9]{0,3}$ ]] || fail "'${1-}' is not a number of processes; try --help."
number=$1
shift
(($#)) || fail "there is no command after $number; e.g. python -m launch.train --config=..."
grace=${HAX_JAX_GRACE_SECONDS:-30} kill_after=${HAX_JAX_KILL_SECONDS:-60}
[[ $grace$kill_after =~ ^[0-9]+$ ]] || fail 'HAX_JAX_GRACE_SECONDS and HAX_JAX_KILL_SECONDS are whole numbers of seconds.'

port=PORT
if [[ -z $dry_run ]]; then
  python=${PYTHON:-python3}
  port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])') ||
    fail "$python does not run; name one: PYTHON=python3.12 bash $0 ..."
fi
address=127.0.0.1:$port

if [[ -n $dry_run ]]; then
  for ((i = 0; i < number; i++)); do
    printf 'JAX_COORDINATOR_ADDRESS=%s JAX_NUM_PROCESSES=%s JAX_PROCESS_ID=%s' "$address" "$number" "$i"
    printf ' %q' "$@"
    echo
  done
  exit 0
fi

folder=$(mktemp -d)
processes=() readers=() code=0 told='' left=$number failed_at=''
signal_all() { # a process is the leader of its group, which gets the signal
  local process
  for process in "${processes[@]}"; do kill "-$1" -- "-$process" 2>/dev/null || true; done
}
# shellcheck disable=SC2329  # called by the trap
end() {
  ((!left)) || signal_all KILL
  rm -rf "$folder"
}
trap end EXIT
trap '' PIPE # Ctrl-C ends "| tee log" as well
for name in INT TERM HUP USR1; do
  # shellcheck disable=SC2064  # the name of now
  trap "told=$name; signal_all $name" "$name"
done

prefix() { # PROCESS: standard input with its number before each line, until it ends
  local line
  trap '' INT TERM HUP USR1 PIPE
  # Where nobody reads any more it reads on, so that the process can still save.
  while IFS= read -r line || [[ -n $line ]]; do
    printf '[%s] %s\n' "$1" "$line" 2>/dev/null || true
  done
}
mkfifo "$folder/ended"
exec 3<>"$folder/ended"
set -m # each process in a group of its own: Ctrl-C reaches it once, from here
for ((i = 0; i < number; i++)); do
  mkfifo "$folder/$i.out" "$folder/$i.err"
  prefix "$i" <"$folder/$i.out" 3>&- &
  readers+=("$!")
  prefix "$i" <"$folder/$i.err" >&2 3>&- &
  readers+=("$!")
  (
    ended=0
    trap - PIPE
    trap : INT TERM HUP USR1 # the command gets them; this shell reports how it ended
    JAX_COORDINATOR_ADDRESS=$address JAX_NUM_PROCESSES=$number JAX_PROCESS_ID=$i \
      "$@" 3>&- </dev/null >"$folder/$i.out" 2>"$folder/$i.err" || ended=$?
    echo "$i $ended" >&3
  ) &
  processes+=("$!")
done
set +m

while ((left)); do
  if read -r -t 1 i ended <&3; then
    left=$((left - 1))
    if ((ended)) && [[ -z $failed_at ]]; then
      failed_at=$SECONDS code=$ended
      say "process $i ended with $ended; waiting for the others"
    fi
  fi
  [[ -n $failed_at ]] || continue
  ((code != 137 || ended != 75)) || code=75
  waited=$((SECONDS - failed_at))
  if ((waited >= grace + kill_after)); then
    say "$left process(es) still run after SIGTERM and are killed"
    signal_all KILL
    break
  elif ((waited >= grace)) && [[ $told != TERM ]]; then
    say "$left process(es) still run after $grace s and get SIGTERM"
    told=TERM
    signal_all TERM
  fi
done
{ wait "${processes[@]}" "${readers[@]}" || true; } 2>/dev/null # all lines are printed
exit "$code"
