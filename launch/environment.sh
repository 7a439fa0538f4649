# shellcheck shell=bash
# Sourced by the scripts beside it: makes .venv once and installs a requirements file
# and the project, which gives `hax`, into it, again only when that file has changed.
# Stopped anywhere, it goes on from there at the next call. It removes no .venv but its
# own, and one in which nothing is installed.
#
#   source launch/environment.sh requirements.txt

python=${PYTHON:-python3}
made_here=.venv/made-by-environment.sh

# 'PYTHON VERSION', or nothing if it does not run, is under 3.11, or lacks what it imports.
version() { # PYTHON [MODULE]
  "$1" -c "import sys${2:+, $2}; assert sys.version_info >= (3, 11); print('Python %d.%d' % sys.version_info[:2])" 2>/dev/null
}
# The folder whose `hax` is in .venv; nothing if none is.
checkout() {
  .venv/bin/python -I -c "import importlib.metadata, json; print(json.loads(importlib.metadata.distribution('hax_jax').read_text('direct_url.json'))['url'].removeprefix('file://'))" 2>/dev/null || true
}
nothing_installed() { # in .venv, beside pip and setuptools
  ! find .venv/ -name '*.dist-info' ! -name 'pip-*' ! -name 'setuptools-*' 2>/dev/null |
    grep -q .
}

if [ -e .venv ] || [ -L .venv ]; then
  wrong=
  if ! there=$(version .venv/bin/python pip); then
    wrong="it has no Python from 3.11 on that runs, or no pip"
  elif [ -e "$made_here" ] && [ ! -s "$made_here" ]; then
    wrong="it was interrupted when it was made"
  elif [ -n "${PYTHON:-}" ] && [ "$there" != "$(version "$PYTHON")" ]; then
    wrong="it is of $there, and PYTHON=$PYTHON is $("$PYTHON" --version 2>&1 || true)"
  fi
  if [ "$wrong" ]; then
    if [ ! -e "$made_here" ] && ! nothing_installed; then
      echo "error: .venv can not be used: $wrong. It holds packages that another program installed; if you don't need them: rm -rf .venv" >&2
      exit 2
    fi
    echo "making .venv anew: $wrong"
  fi
fi
if [ ! -e .venv ] || [ "$wrong" ]; then
  if ! version "$python" >/dev/null; then
    echo "error: $python is not Python 3.11 or newer; name one, e.g. PYTHON=python3.12 bash $0" >&2
    exit 2
  fi
  echo "making .venv with $("$python" --version) (10 s)"
  outside=$("$python" -c 'import sys; print(sys._base_executable)') # $python may be in it
  rm -rf .venv
  mkdir .venv
  : >"$made_here" # empty until .venv is whole
  "${outside:-$python}" -m venv .venv
  echo 'remove .venv to have it made anew' >"$made_here"
fi
wanted=$(cat requirements.txt "$1" | .venv/bin/python -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
if [ ! -f ".venv/installed-$wanted" ]; then
  echo "installing $1 into .venv: about 600 MB and 2 to 5 minutes the first time"
  before=$(checkout)
  if [ -t 1 ]; then
    .venv/bin/python -m pip install --disable-pip-version-check -r "$1" -e .
  else # a line for each download, without bars
    (
      set -o pipefail
      PYTHONUNBUFFERED=1 .venv/bin/python -m pip install --disable-pip-version-check --progress-bar=off -r "$1" -e . |
        sed -nuE 's/^ *((Downloading|Using cached) [^ ]+\.(whl|gz) \([^)]*\)).*/  \1/p; s/^(Installing) collected.*/  \1/p'
    )
  fi
  touch ".venv/installed-$wanted"
  if [ "$before" ] && [ "$before" != "$(checkout)" ]; then # a .venv that two checkouts share
    echo "hax in .venv was that of $before, and is that of $(checkout) now"
  fi
else
  echo "reusing .venv"
fi
