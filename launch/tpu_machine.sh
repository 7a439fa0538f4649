# shellcheck shell=bash
# Sourced by launch/tpu_vm.sh: one TPU machine, created, looked at, listed, deleted.

name='' zone='' type='' version='' project='' spot='' queued='' dry_run='' # its options
state='' owner='' made=''
poll=${HAX_JAX_POLL_SECONDS:-30}
folder=$(mktemp -d) # for what the calls print
trap 'rm -rf "$folder"' EXIT

say() { echo "tpu_vm: $*"; }
fail() {
  echo "error: $*" >&2
  exit 2
}
quoted() { # the words as a shell reads them
  local word words=()
  for word in "$@"; do
    if [[ $word == *\'* ]]; then
      printf -v word %q "$word"
    elif [[ ! $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]]; then
      word="'$word'"
    fi
    words+=("$word")
  done
  echo "${words[*]}"
}

child=''
call() { # prints a command and runs it, so that a signal ends the wait for it
  echo "\$ $(quoted "$@")"
  [[ $dry_run ]] && return 0
  local code=0
  set -m # in a group of its own: Ctrl-C does not cut a creation in two
  "$@" </dev/null &
  child=$!
  set +m
  wait "$child" || code=$?
  child=''
  return "$code"
}
tpu() { # tpu-vm|queued-resources VERB NAME FLAGS...
  call gcloud compute tpus "$@" "--zone=$zone" ${project:+"--project=$project"} --quiet
}
pause() {
  [[ $dry_run ]] && return 0
  sleep "$1" >/dev/null 2>&1 &
  wait "$!" || true
}

# The owner is a label: a script deletes the machine that it made, never another's.
me=$(printf '%s' "${USER:-user}-${HOSTNAME:-host}" | tr '[:upper:]' '[:lower:]' | tr -c 'a-z0-9' - | cut -c1-40)-$$

look() { # sets state (READY, NONE, UNKNOWN or Google's word) and owner
  local kind='tpu-vm' format='value(state,labels.hax_jax_owner)' out
  if [[ $queued ]]; then
    kind='queued-resources'
    format='value(state.state,tpu.nodeSpec[0].node.labels.hax_jax_owner)'
  fi
  state='' owner=''
  if [[ $dry_run ]]; then
    tpu "$kind" describe "$name" "--format=$format"
    state=NONE
  elif out=$(gcloud compute tpus "$kind" describe "$name" "--format=$format" "--zone=$zone" \
    ${project:+"--project=$project"} --quiet 2>"$folder/error" </dev/null); then
    read -r state owner <<<"$out" || true
    [[ $state != ACTIVE ]] || state=READY
  elif grep -q NOT_FOUND "$folder/error"; then
    state=NONE
  else
    state=UNKNOWN
    say "gcloud does not say how $name is: $(tail -n 1 "$folder/error")"
  fi
}

look_twice() { # in the queue, whose entry owns its machine, then for a machine alone
  queued=1
  look
  [[ $state == NONE ]] || return 0
  queued=''
  look
}

create() { # returns when the machine is READY
  local labels="--labels=hax_jax=$name,hax_jax_owner=$me" last=''
  made=1
  if [[ -z $queued ]]; then
    tpu tpu-vm create "$name" "--accelerator-type=$type" "--version=$version" \
      ${spot:+--spot} "$labels" || return 1
    return 0
  fi
  tpu queued-resources create "$name" "--node-id=$name" "--accelerator-type=$type" \
    "--runtime-version=$version" ${spot:+--spot} "$labels" || return 1
  while :; do
    look
    [[ $dry_run ]] && return 0
    [[ $state == "$last" ]] || say "$name in the queue: $state"
    last=$state
    case $state in
      READY) return 0 ;;
      FAILED | SUSPENDING | SUSPENDED | NONE) return 1 ;;
    esac
    pause "$poll"
  done
}

remedy() { echo "bash launch/tpu_vm.sh delete $name --zone=$zone${project:+ --project=$project}"; }

delete() { # tries until the machine is gone, or says what still costs money
  local try kind='tpu-vm' force='' absent=0
  [[ $queued ]] && kind='queued-resources' force=--force
  for ((try = 1; try <= 10; try++)); do
    look
    if [[ $dry_run ]]; then
      tpu "$kind" delete "$name" $force
      return 0
    elif [[ $state == NONE ]]; then
      absent=$((absent + 1)) # a creation that was cut off may show itself late
      if [[ $made != cut_off ]] || ((absent > 2)); then
        say "$name does not exist (any more)"
        return 0
      fi
    elif [[ $made && $state != UNKNOWN && $owner != "$me" ]]; then
      say "$name belongs to another start (${owner:-without a label}) and is left alone"
      return 0
    elif [[ $state != UNKNOWN ]] && tpu "$kind" delete "$name" $force; then
      absent=2
      continue
    fi
    pause "$poll"
  done
  say "NOT DELETED: $name ($state) costs money until: $(remedy)" >&2
  return 1
}

list() { # the machines and queue entries with our label, in all zones
  local where=('--zone=-' ${project:+"--project=$project"}) found='' label
  call gcloud compute tpus tpu-vm list "${where[@]}" '--filter=labels.hax_jax:*' \
    '--format=value(name.basename(),name.segment(-3),acceleratorType.basename(),state)' >"$folder/machines"
  call gcloud compute tpus queued-resources list "${where[@]}" \
    '--format=value(name.basename(),name.segment(-3),tpu.nodeSpec[0].node.acceleratorType.basename(),state.state,tpu.nodeSpec[0].node.labels.hax_jax)' >"$folder/queue"
  if [[ $dry_run ]]; then
    cat "$folder/machines" "$folder/queue"
    return 0
  fi
  sed -i.call '/^\$ /d' "$folder/machines" "$folder/queue"
  # A queue's machine is in the first list too. Of the queue, entries with our label count.
  while read -r name zone type state label; do
    [[ $label && $found != *" $name@$zone "* ]] || continue
    found+=" $name@$zone "
    echo "$name  $zone  $type  $state  costs money until: $(remedy)"
  done < <(sed 's/$/ machine/' "$folder/machines"; cat "$folder/queue")
  [[ $found ]] || echo 'nothing that launch/tpu_vm.sh made is there'
}
