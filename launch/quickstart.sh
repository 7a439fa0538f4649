#!/usr/bin/env bash
# From raw text to samples, on the sample corpus: no download but the packages, no
# account. What an earlier call finished is kept; --fresh begins anew.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
  '') ;;
  --fresh) rm -rf data/sample runs/sample runs/sample_lora ;;
  *) echo "error: $1 is not an option; there is only --fresh" >&2; exit 2 ;;
esac
source launch/environment.sh requirements.txt
begun=$SECONDS
run() { echo; echo "\$ python $*"; .venv/bin/python "$@"; }

echo
echo '1 of 4: the dataset, from the raw files in data_pipeline/sample_corpus'
if [ -f data/sample/manifest.json ]; then
  echo 'data/sample is there already'
else
  run -m data_pipeline.build --input='data_pipeline/sample_corpus/*.md' \
    --output=data/sample --validation_share=0.2
fi

echo
echo '2 of 4: a small GPT-2 from scratch, with a tokenizer of its own'
run -m launch.train --config=configs/scratch_small.py \
  --config.data.path=data/sample --workdir=runs/sample

echo
echo '3 of 4: LoRA on top of it'
run -m launch.train --config=configs/scratch_small_lora.py \
  --config.model.pretrained=runs/sample \
  --config.data.path=data/sample --workdir=runs/sample_lora

echo
echo '4 of 4: answers to five questions'
run -m launch.sample --workdir=runs/sample_lora \
  --prompts=data_pipeline/sample_corpus/questions.txt \
  --max_new_tokens=120 --output=runs/sample_lora/answers.jsonl

.venv/bin/python - "$((SECONDS - begun))" <<'END'
import json
import pathlib
import sys


def summary(run):
    lines = (pathlib.Path('runs') / run / 'metrics.jsonl').read_text().splitlines()
    return [row for row in map(json.loads, lines) if row['kind'] == 'summary'][-1]


scratch, adapted = summary('sample'), summary('sample_lora')
answers = pathlib.Path('runs/sample_lora/answers.jsonl').read_text(encoding='utf-8')
first = json.loads(answers.splitlines()[0])
print(f"""
Done in {int(sys.argv[1])} s.
  dataset   data/sample            (from data_pipeline/sample_corpus)
  run       runs/sample            validation loss {scratch['best_validation_loss']:.3f}
  with LoRA runs/sample_lora       validation loss {adapted['best_validation_loss']:.3f}
  answers   runs/sample_lora/answers.jsonl
Nats per token that token frequencies alone would cost (the corpus' unigram entropy):
{scratch['unigram_entropy']:.3f}. The first answer:

{first['text'].strip()}

The model has learned the shape of an answer, not to give advice: 3.8 million parameters
and 17,000 words are too few to be fluent. What would make it so is a pretrained GPT-2
(--config=configs/gpt2_lora.py) and some thousand real questions and answers; README.md
says how.""")
END
