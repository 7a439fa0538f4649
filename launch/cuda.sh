#!/usr/bin/env bash
# Checks driver, GPUs and jax's CUDA wheels, sets XLA's flags, and starts launch.train.
set -euo pipefail

usage() {
  cat <<'END'
Checks driver, GPUs and jax's CUDA wheels, one line for each fault with the command that
mends it; then sets XLA's flags and starts launch.train on all GPUs of this machine.

  bash launch/cuda.sh [--check] [--dry_run] -- FLAGS OF launch.train

  --check     only check; exit code 0, or 2 if something is wrong
  --dry_run   print the calls, run nothing

.venv/bin/python runs it if it is there, else python3; PYTHON names another. Your own
XLA_FLAGS and JAX_PLATFORMS stay as they are. On several machines call it on each
(launch/slurm.sbatch does).
END
}
fail() {
  echo "error: $*" >&2
  exit 2
}

check='' dry_run=''
while (($#)); do
  case $1 in
    --) shift; break ;;
    --check) check=1 ;;
    --dry_run) dry_run=1 ;;
    --help | -h) usage; exit 0 ;;
    *) fail "$1 is not an option; flags of launch.train follow after --. Try --help." ;;
  esac
  shift
done
[[ $check ]] || (($#)) || fail 'flags of launch.train follow after --, e.g. -- --config=... --workdir=...'
cd "$(dirname "$0")/.."
python=${PYTHON:-}
[[ $python ]] || { [[ -x .venv/bin/python ]] && python=.venv/bin/python || python=python3; }

# jax's own advice, https://docs.jax.dev/en/latest/gpu_performance_tips.html. An unknown flag
# ends a program at its start, so each was tried on jaxlib 0.10.2.
wanted=(
  # Communication between GPUs overlaps with computation.
  --xla_gpu_enable_latency_hiding_scheduler=true
  # Each matmul takes the faster of the Triton and the cuBLAS kernel.
  --xla_gpu_triton_gemm_any=true
)
flags=${XLA_FLAGS-}
if [[ -z $flags || $flags == -* ]]; then # else it is the name of a file of flags
  for flag in "${wanted[@]}"; do
    [[ " $flags" == *" ${flag%%=*}="* ]] || flags+="${flags:+ }$flag"
  done
fi
export XLA_FLAGS=$flags
# Without it JAX computes on the CPU, with a mere warning, where CUDA does not start.
export JAX_PLATFORMS=${JAX_PLATFORMS:-cuda,cpu}

versions='
import importlib.metadata
for name in "jaxlib", "jax-cuda13-plugin", "jax-cuda12-plugin":
    try:
        print(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        print(name, "none")
'
query=(nvidia-smi '--query-gpu=driver_version,compute_cap,name' '--format=csv,noheader')
if [[ $dry_run ]]; then
  printf '%q ' "${query[@]}"
  echo
  echo "$python -c 'import importlib.metadata ...'  # jaxlib, jax-cuda13-plugin, jax-cuda12-plugin"
  [[ $check ]] && exit
  printf '%q ' "XLA_FLAGS=$XLA_FLAGS" "JAX_PLATFORMS=$JAX_PLATFORMS" "$python" -m launch.train "$@"
  echo
  exit
fi

faults=0
wrong() {
  echo "wrong: $1" >&2
  echo "  mend: $2" >&2
  faults=$((faults + 1))
}
install="$python -m pip install -r launch/requirements-cuda.txt"

jaxlib=none cuda13=none cuda12=none
if found=$("$python" -c "$versions" 2>&1); then
  read -r jaxlib cuda13 cuda12 <<<"$(cut -d' ' -f2 <<<"$found" | tr '\n' ' ')"
  if [[ $jaxlib == none ]]; then
    wrong "$python has no jaxlib" "$install"
  elif [[ $cuda13 == none && $cuda12 == none ]]; then
    wrong "jaxlib $jaxlib has no CUDA plugin and would compute on the CPU" "$install"
  elif [[ $cuda13 != none && $cuda12 != none ]]; then
    wrong "both CUDA plugins are installed, $cuda13 (13) and $cuda12 (12)" "$python -m pip uninstall jax-cuda12-plugin jax-cuda12-pjrt"
  else
    plugin=$cuda13 of=13
    [[ $cuda13 != none ]] || plugin=$cuda12 of=12
    [[ $plugin == "$jaxlib" ]] ||
      wrong "the CUDA plugin is of version $plugin and jaxlib of $jaxlib" "$python -m pip install 'jax[cuda$of]==$jaxlib'"
  fi
else
  wrong "$python does not run: $(tail -n 1 <<<"$found")" "PYTHON=python3.12 bash launch/cuda.sh ..."
fi

# https://docs.jax.dev/en/latest/installation.html: CUDA 13 needs a driver of 580 and GPUs
# from Turing (7.5) on, CUDA 12 a driver of 525 and Maxwell (5.2).
needs=580 oldest=7.5 cuda=13
[[ $cuda12 == none || $cuda13 != none ]] || needs=525 oldest=5.2 cuda=12
if ! command -v nvidia-smi >/dev/null; then
  wrong 'nvidia-smi is not here: no NVIDIA driver' 'sudo apt-get install nvidia-driver-580-server, then restart the machine (in a container: docker run --gpus all)'
elif ! gpus=$("${query[@]}" 2>&1) || [[ -z $gpus ]]; then
  wrong "nvidia-smi fails: $(tail -n 1 <<<"$gpus")" 'sudo modprobe nvidia, or restart the machine'
else
  count=0 first=''
  while IFS=, read -r driver capability name; do
    count=$((count + 1)) capability=${capability# }
    if [[ $capability =~ ^([0-9]+)\.([0-9]+)$ ]] &&
      ((BASH_REMATCH[1] * 10 + BASH_REMATCH[2] < ${oldest/./})); then
      mend="a newer GPU"
      ((cuda == 12)) || mend="$python -m pip uninstall jax-cuda13-plugin jax-cuda13-pjrt; $python -m pip install 'jax[cuda12]'"
      wrong "GPU $((count - 1)),$name, has compute capability $capability; CUDA $cuda needs $oldest" "$mend"
    fi
    [[ -z $first ]] || continue
    first=1
    if ((${driver%%.*} < needs)); then
      if ((cuda == 13 && ${driver%%.*} >= 525)); then
        wrong "driver $driver is too old for CUDA 13 (580)" "sudo apt-get install nvidia-driver-580-server; or $python -m pip uninstall jax-cuda13-plugin jax-cuda13-pjrt; $python -m pip install 'jax[cuda12]'"
      else
        wrong "driver $driver is too old for CUDA $cuda ($needs)" 'sudo apt-get install nvidia-driver-580-server, then restart the machine'
      fi
    fi
  done <<<"$gpus"
fi
case ${CUDA_VISIBLE_DEVICES-all} in
  '' | -1 | NoDevFiles) wrong "CUDA_VISIBLE_DEVICES='$CUDA_VISIBLE_DEVICES' hides every GPU" 'unset CUDA_VISIBLE_DEVICES' ;;
esac
if [[ ${LD_LIBRARY_PATH-} == *cuda* ]]; then
  wrong "LD_LIBRARY_PATH=$LD_LIBRARY_PATH puts another CUDA before that of jax's wheels" 'unset LD_LIBRARY_PATH'
fi
((faults == 0)) || fail "$faults of the machine's settings are wrong (above); nothing was started."
echo "$count GPU(s),${gpus##*,}, driver ${gpus%%,*}, jaxlib $jaxlib with CUDA $cuda"
[[ -z $check ]] || exit 0
echo "XLA_FLAGS=$XLA_FLAGS"
exec "$python" -m launch.train "$@"
