#!/usr/bin/env bash
# From raw text to an adapted model, on the sample corpus; it needs no account.
#
#   bash launch/quickstart.sh                 a small GPT-2 from scratch, then LoRA on it
#   bash launch/quickstart.sh --gpt2          LoRA on GPT-2 (124M) of the hub: a network
#   bash launch/quickstart.sh --gpt2=FOLDER   LoRA on the GPT-2 in a folder
#
# It keeps what an earlier call finished, and goes on with what was stopped; --fresh
# begins anew.
set -euo pipefail
gpt2='' again='bash launch/quickstart.sh'
for argument in "$@"; do
  case $argument in
    --help | -h)
      sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
      exit
      ;;
    --fresh) fresh=1 ;;
    --gpt2 | --gpt2=?*)
      again+=" $argument"
      gpt2=gpt2
      [[ $argument == --gpt2 ]] || gpt2=$(realpath -m -- "${argument#*=}")
      if [[ $argument != --gpt2 && ! -f $gpt2/config.json ]]; then
        echo "error: $argument is no folder with a config.json; --gpt2 alone takes it from the hub" >&2
        exit 2
      fi
      ;;
    *)
      echo "error: $argument is not an option; there are --gpt2, --gpt2=FOLDER, --fresh, --help" >&2
      exit 2
      ;;
  esac
done
cd "$(dirname "$0")/.."
[ -z "${fresh-}" ] || rm -rf data/sample_{base,column} runs/sample_{base,column} runs/gpt2_column
trap 'code=$?; ((code < 128)) || echo "stopped: $again goes on from here" >&2' EXIT

source launch/environment.sh requirements.txt
begun=$SECONDS
part() { echo; echo "== $*"; }
run() { echo "\$ python $*"; .venv/bin/python "$@"; }
build() { # OUTPUT SHARE INPUT...; a build is written whole or not at all
  if [ -f "$1/manifest.json" ]; then
    echo "$1 is there already"
  else
    run -m data_pipeline.build "${@:3}" --output="$1" --validation_share="$2" --test_share=0
  fi
}
corpus=data_pipeline/sample_corpus

if [ "$gpt2" ]; then
  base=(--pretrained="$gpt2") adapted=runs/gpt2_column
  more=(--config=configs/gpt2_lora.py --config.data.seq_len=512 --config.train.batch_size=2
    --config.train.num_steps=40 --config.train.eval_every_steps=20)
  echo 'from here 5 to 10 minutes on two cores; GPT-2 is 550 MB to download'
else
  base=(--workdir=runs/sample_base) adapted=runs/sample_column
  more=(--config=configs/scratch_small_lora.py)
  echo 'from here 2 to 4 minutes on two cores'
  part 'a small GPT-2 from scratch learns posts and chats (1 to 2 minutes)'
  build data/sample_base 0.1 --input="$corpus/reddit_*.md" --input="$corpus/chat_*.md"
  run -m launch.train --config=configs/scratch_small.py \
    --config.data.path=data/sample_base --workdir=runs/sample_base
fi

part 'LoRA adapters on it learn the letters of a columnist'
build data/sample_column 0.25 --input="$corpus/column_*.md"
run -m launch.train "${more[@]}" \
  --config.model.pretrained="${base[0]#*=}" \
  --config.data.path=data/sample_column --workdir="$adapted"

part 'both answer for letters that neither has seen'
run -m launch.evaluate "${base[@]}" --workdir="$adapted" --data=data/sample_column \
  --output="$adapted/compared.json"

part "done in $((SECONDS - begun)) s"
.venv/bin/python - "$adapted" <<'END'
import json
import pathlib
import sys
import textwrap

run = pathlib.Path(sys.argv[1])
compared = json.loads((run / 'compared.json').read_text())
before, after = (model['by']['all']['answer'] for model in compared['models'])
gain = compared['comparison']['by']['all']
step = compared['models'][1]['step']
rows = (run / 'samples.jsonl').read_text(encoding='utf-8').splitlines()
answers = {}
for row in map(json.loads, rows):
    answers.setdefault(row['step'], row)  # the first letter of each step
told = f"{gain['mean']:.3f} {gain['unit']} (95% interval {gain['low']:.3f} to {gain['high']:.3f})"


def shown(text):
    lines = filter(None, (line.strip() for line in text.splitlines()))
    return '\n'.join(textwrap.fill(line, 76, initial_indent='  ', subsequent_indent='  ') for line in lines)


print(f"""
the base    {before['nll']:.3f} nats an answer token, perplexity {before['perplexity']:.0f}
adapted     {after['nll']:.3f} nats an answer token, perplexity {after['perplexity']:.0f} (step {step})
{'gain        ' if gain['better'] == 'B' else 'NO GAIN     '}{told}, on {gain['num_pairs']} letters of the validation split

A letter of that split:

{shown(answers[0]['prompt'])}

The base answers:

{shown(answers[0]['text'])}

The adapted model answers:

{shown(answers[step]['text'])}
""")
END
if [ "$gpt2" ]; then
  echo "More steps go on with the same run: the same command of launch.train with --config.train.num_steps=200."
else
  cat <<'END'
So small a model on 39,000 words learns the sound of its texts, and writes no sense.
For that: bash launch/quickstart.sh --gpt2, then your own text (README.md says how).
END
fi
echo "Its curves: $adapted/report.html. Ask it: .venv/bin/hax chat --workdir=$adapted"
