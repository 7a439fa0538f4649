#!/usr/bin/env bash
# Trains on a TPU VM or slice, from its creation to its deletion.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/tpu_machine.sh
source launch/tpu_machine.sh

usage() {
  cat <<'END'
Trains on a TPU VM or slice: creates it, copies code and data, installs, starts launch.train
on all its workers, shows the log, fetches the run, deletes the machine. Starts the training
again after exit code 75 or 143, on a new machine where a spot one was taken away, until the
run has ended, and exits with the training's code (1: the machine failed).

  bash launch/tpu_vm.sh run NAME --zone=ZONE --type=TYPE [options] -- FLAGS OF launch.train
  bash launch/tpu_vm.sh list [--project=P]          what is there and costs money
  bash launch/tpu_vm.sh delete NAME --zone=ZONE

  --type=TYPE     v5litepod-8, v6e-16, v5p-32, ... (gcloud compute tpus accelerator-types list)
  --spot          cheaper; Google may take it away, then a new one goes on with the run
  --queued        wait in Google's queue until the machine is free (a queued resource)
  --version=V     software of the machine; follows from TYPE
  --copy=PATH     copy this file or folder of the checkout too; may be given again. Paths of
                  the checkout in --config, --config.data.path, --config.model.pretrained,
                  --config.tokenizer.path and --workdir are copied by themselves
  --project=P     by default gcloud's own
  --attach        NAME is there already (this script was killed): follow it to its end
  --keep          do not delete the machine at the end
  --dry_run       print every call, run nothing

Ctrl-C: the run saves, then the machine is deleted; a second Ctrl-C does not wait for it.
The machine stays only with --keep, or if its own disk holds a run that can't be fetched.
JAX_COMPILATION_CACHE_DIR, XLA_FLAGS and LIBTPU_INIT_ARGS go along if they are set.
END
}

action='' attach='' keep='' copies=() flags=()

parse() {
  while (($#)); do
    case $1 in
      --) shift; flags=("$@"); return ;;
      --zone=?*) zone=${1#*=} ;;
      --type=?*) type=${1#*=} ;;
      --version=?*) version=${1#*=} ;;
      --project=?*) project=${1#*=} ;;
      --copy=?*) copies+=("${1#*=}") ;;
      --spot | --queued | --attach | --keep | --dry_run) printf -v "${1#--}" 1 ;;
      --help | -h) usage; exit 0 ;;
      -*) fail "$1 is not an option; values are given as --zone=ZONE, and flags of launch.train follow after --. Try --help." ;;
      *)
        if [[ -z $action ]]; then action=$1
        elif [[ -z $name ]]; then name=$1
        else fail "'$1' is one name too many; flags of launch.train follow after --."; fi
        ;;
    esac
    shift
  done
}

check_name() {
  [[ $name =~ ^[a-z]([-a-z0-9]{0,60}[a-z0-9])?$ ]] ||
    fail "NAME '$name' must be of small letters, digits and -, e.g. bash launch/tpu_vm.sh $action advice-1 --zone=ZONE"
  [[ $zone ]] || fail '--zone is missing; gcloud compute tpus locations list shows them.'
}

below_checkout() { # FLAG PATH
  case /$2/ in
    //* | */../*) fail "$1=$2 is not a path below this checkout; move it there, or give a gs:// folder." ;;
  esac
}

workdir=''
check_run() {
  local i flag value
  [[ $type =~ ^[a-z0-9]+-[0-9]+$ ]] || fail "--type=$type must be like v5litepod-8 or v6e-16."
  if [[ -z $version ]]; then # https://cloud.google.com/tpu/docs/runtimes
    case $type in
      v6e-*) version=v2-alpha-tpuv6e ;;
      v5p-*) version=v2-alpha-tpuv5 ;;
      v5litepod-*) version=v2-alpha-tpuv5-lite ;;
      v[234]-*) version=tpu-ubuntu2204-base ;;
      *) fail "--version is missing for $type; https://cloud.google.com/tpu/docs/runtimes lists them." ;;
    esac
  fi
  for ((i = 0; i < ${#flags[@]}; i++)); do
    flag=${flags[i]%%=*} value=${flags[i]#*=}
    [[ ${flags[i]} == *=* ]] || value=${flags[i + 1]-}
    case $flag in
      --dry_run | --topology | --replay) fail "$flag makes no run; give it to python -m launch.train here." ;;
      --workdir)
        while [[ $value == ?*/ && $value != *:// ]]; do value=${value%/}; done # the shell completes runs/full/
        workdir=$value
        if [[ ${flags[i]} == *=* ]]; then flags[i]=--workdir=$value; else flags[i + 1]=$value; fi
        ;;
      --config)
        if [[ ! -f $value ]]; then # launch.train knows those of configs/ by their name
          [[ -f configs/$value.py ]] || fail "$flag=$value is not here; configs/ has some."
        elif [[ $value != configs/* ]]; then copies+=("$value"); fi
        ;;
      --config.data.path) [[ $value == *://* || -d $value ]] || fail "$flag=$value is not here; build it, or give a gs:// folder." ;;
      --config.model.pretrained | --config.tokenizer.path) ;;
      *) continue ;;
    esac
    if [[ $flag != --config && $value != *://* && -e $value ]]; then copies+=("$value"); fi
  done
  for value in ${copies[@]+"${copies[@]}"}; do
    below_checkout --copy "$value"
    [[ -e $value ]] || fail "--copy=$value is not here."
  done
  case $workdir in
    '') fail '--workdir is missing after --, e.g. -- --config=... --workdir=gs://BUCKET/runs/full' ;;
    gs://?*/?*) return ;;
    *://*) fail "--workdir=$workdir: give gs://BUCKET/RUN or a folder of the checkout." ;;
  esac
  below_checkout --workdir "$workdir"
  [[ $workdir =~ ^[A-Za-z0-9_./-]+$ ]] || fail "--workdir='$workdir': scp needs a name of letters, digits, . _ - and /."
  [[ -z $spot ]] || fail "--spot: the machine's disk goes with it; give --workdir=gs://BUCKET/RUN."
  ((${type##*-} <= 8)) || fail "$type has several workers, whose disks are not shared; give --workdir=gs://BUCKET/RUN."
}

environment='' # env NAME=value ..., before the remote command
on() { # WORKER COMMAND...: runs launch/tpu_worker.sh there
  local worker=$1
  shift
  # Without ServerAlive a machine that is taken away leaves the connection open for hours.
  tpu tpu-vm ssh "$name" "--worker=$worker" '--ssh-flag=-o ServerAliveInterval=30' \
    "--command=${environment}bash hax_jax/launch/tpu_worker.sh $(quoted "$@")"
}

set_up() { # code, data and Python packages, on all workers
  call tar -chzf "$folder/hax_jax.tgz" hax_jax data_pipeline configs launch requirements.txt \
    ${copies[@]+"${copies[@]}"} &&
    tpu tpu-vm scp "$folder/hax_jax.tgz" "$name:hax_jax.tgz" --worker=all &&
    tpu tpu-vm ssh "$name" --worker=all \
      '--command=mkdir -p hax_jax && tar -xzf hax_jax.tgz -C hax_jax && bash hax_jax/launch/tpu_worker.sh install'
}

started='' outcome='' # outcome: the training's exit code, or lost
follow() { # until the training has ended on all workers; sets outcome
  local again='' failures=0 try code
  while ! on 0 follow $again; do
    look
    [[ $state != READY ]] || failures=$((failures + 1))
    if [[ $state != READY && $state != UNKNOWN ]] || ((failures == 10)); then
      outcome=lost
      return 0
    fi
    say "the connection to $name ($state) broke; trying again in $poll s"
    again=again
    pause "$poll"
  done
  # A worker that still runs after the first has ended gets two minutes.
  for ((try = 1; try <= 3; try++)); do
    if on all finish 120 >"$folder/codes"; then break; fi
    pause "$poll"
  done
  cat "$folder/codes"
  outcome=lost
  [[ -z $dry_run ]] || outcome=0
  while read -r code; do
    case $code in
      0) [[ $outcome != lost ]] || outcome=0 ;;
      75 | 143) outcome=$code ;;
      *) outcome=$code; return ;; # one that starting again does not cure
    esac
  done < <(sed -n 's/^.*hax_jax_exit=//p' "$folder/codes")
}

fetch() { # the run, from the machine's own disk
  local number=1 answer
  [[ $workdir != gs://* && $started ]] || return 0
  answer=$(on 0 holds "$workdir") || return 1
  echo "$answer"
  [[ $answer != *hax_jax_holds=no* ]] || return 0
  [[ $dry_run ]] || { rm -rf "$workdir.fetched" && mkdir -p "$(dirname "$workdir")"; } || return 1
  tpu tpu-vm scp "$name:hax_jax/$workdir" "$workdir.fetched" --recurse --worker=0 || return 1
  [[ -z $dry_run ]] || return 0
  if [[ -e $workdir ]]; then
    while [[ -e $workdir.$number ]]; do number=$((number + 1)); done
    mv "$workdir" "$workdir.$number" || return 1
    say "$workdir, as it was before, is $workdir.$number now"
  fi
  mv "$workdir.fetched" "$workdir" && say "the run is in $workdir"
}

signal='' # the exit code of the one that ended the script
second_signal() {
  say 'not waiting for the run to save'
  [[ -z $child ]] || kill -- "-$child" 2>/dev/null || true
}
# shellcheck disable=SC2329  # called by the trap
clean_up() {
  local code=${signal:-$?} kept=$keep # $? may be 2 where bash was within a $(...)
  trap - EXIT
  trap second_signal INT TERM HUP
  set +e
  if [[ $child ]]; then
    kill -- "-$child" 2>/dev/null
    [[ $started ]] || made=${made:+cut_off}
  fi
  if [[ $started && -z $outcome ]]; then
    say 'stopping: the run saves first'
    on all stop 600
  fi
  trap '' INT TERM HUP # nothing but kill -9 stops the deletion
  if [[ $made ]]; then
    if ! fetch; then
      look
      [[ $state != READY && $state != UNKNOWN ]] || kept=1
      say "hax_jax/$workdir could not be fetched from $name ($state)" >&2
      ((code)) || code=1
    fi
    if [[ $kept ]]; then
      say "$name is kept and costs money until: $(remedy)"
    elif ! delete; then
      ((code)) || code=1
    fi
  fi
  rm -rf "$folder"
  exit "$code"
}

begin() { # a machine of that name must not be there, or with --attach must
  local wants_queue=$queued
  look_twice
  if [[ $attach ]]; then
    [[ -z $dry_run ]] || state=READY
    [[ $state == READY ]] || fail "$name is not there to attach to: it is $state."
    made=1 started=1 me=$owner
    return 0
  fi
  case $state in
    NONE) queued=$wants_queue ;;
    UNKNOWN) fail 'gcloud does not answer (above); try gcloud auth login and gcloud config set project PROJECT.' ;;
    *) fail "$name is there already ($state${owner:+, made by $owner}). Follow it with --attach, or delete it: $(remedy)" ;;
  esac
}

run() {
  local has_machine=$attach has_code=$attach was_there=$attach tries=0 quick=0 begun=0 variable
  for variable in JAX_COMPILATION_CACHE_DIR XLA_FLAGS LIBTPU_INIT_ARGS; do
    [[ -z ${!variable-} ]] || environment+="$(quoted "$variable=${!variable}") "
  done
  environment=${environment:+env $environment}
  trap clean_up EXIT
  trap '' PIPE # Ctrl-C ends "| tee log" as well, and the machine is deleted all the same
  trap 'signal=130; exit 130' INT
  trap 'signal=143; exit 143' TERM
  trap 'signal=129; exit 129' HUP
  begin
  while :; do
    if [[ -z $has_machine ]] && ! create; then
      if [[ -z $was_there ]]; then
        say "$name can't be created (above). --queued waits for a free machine."
        exit 1
      fi
      say "no new machine yet; trying again in $poll s"
      delete || exit 1
      pause "$poll"
      continue
    fi
    has_machine=1 was_there=1
    if { [[ $has_code ]] || set_up; } && started=1 outcome='' && on all start "${flags[@]}"; then
      has_code=1 tries=0 begun=$SECONDS
      follow
    else
      has_code='' tries=$((tries + 1)) outcome=lost
      look
      if [[ $state == READY || $state == UNKNOWN ]]; then
        if ((tries == 3)); then
          say "$name can't be set up (above)"
          exit 1
        fi
        say "trying again in $poll s"
        pause "$poll"
        continue
      fi
    fi
    case $outcome in
      75 | 143)
        # Five times in a row within two minutes: starting again does not cure it.
        quick=$((SECONDS - begun < ${HAX_JAX_QUICK_SECONDS:-120} ? quick + 1 : 0))
        if ((quick == 5)); then
          say "the training ended with $outcome five times within two minutes each; giving up"
          exit "$outcome"
        fi
        say "the training ended with $outcome; starting it again"
        ;;
      lost)
        say "$name was taken away or does not answer ($state)"
        if [[ $workdir != gs://* && $started ]]; then exit 1; fi # its disk held the run
        delete || exit 1
        has_machine='' has_code=''
        ;;
      *) exit "$outcome" ;;
    esac
  done
}

parse "$@"
[[ $action =~ ^(run|list|delete)$ ]] || fail "'$action' is not one of run, list, delete. Try --help."
[[ $dry_run ]] || command -v gcloud >/dev/null || fail 'gcloud is not here; https://cloud.google.com/sdk/docs/install.'
[[ $action == list ]] || check_name
[[ $action != run ]] || check_run
[[ $action != delete ]] || look_twice
"$action"
