"""Writes a run's model as a folder for other software.

    python -m launch.export --workdir=runs/full --format=hf --output=exported
    python -m launch.export --workdir=runs/lora --format=merged --output=exported
    python -m launch.export --workdir=runs/lora --format=peft --output=adapter
    python -m launch.export --workdir=runs/lora --format=gguf --output=advice

hf is the full Hugging Face folder of a run that trained every parameter; merged is that
of a LoRA run, its adapters merged into the base; peft is the LoRA run's adapter alone;
gguf is for llama.cpp and Ollama, of any run, with a Modelfile.
The folder is read back and its logits are compared with the run's own before it gets
its name; if they differ it is kept as OUTPUT.mismatch, and the exit code is 1.
"""

from __future__ import annotations

import pathlib
import shlex
import sys

from absl import flags

from hax_jax import errors, places
from hax_jax.config import export_request
from hax_jax.program import entry, later, output_file, results
from launch import shared_flags

with later.imports():
    from hax_jax.devices import runtime
    from hax_jax.runs import export, run_folder

_WORKDIR = flags.DEFINE_string('workdir', '', "The run's folder.")
_FORMAT = flags.DEFINE_string(
    'format',
    '',
    'hf: a full folder of a run that trained every parameter. merged: a full folder of '
    'a LoRA run. peft: the adapter of a LoRA run. gguf: any run, for llama.cpp.',
)
_DTYPE = flags.DEFINE_string(
    'dtype',
    'float32',
    'What the weights are stored in: float32, float16 or bfloat16; with --format=gguf '
    'q8_0 too. The training itself has float32.',
)
_MAX_SHARD_SIZE = flags.DEFINE_string(
    'max_shard_size', '5GB', 'A model that is larger is written as several files.'
)
_LICENSE = flags.DEFINE_string(
    'license', '', "The model's license in its card, as the hub names it: mit."
)
_OUTPUT = flags.DEFINE_string('output', '', 'The folder to make; it must not exist.')
_STEP = shared_flags.define_step()
_BASE = shared_flags.define_base()
_NEXT = {
    'gguf': """\
  llama-server -m {output}/model.gguf --jinja
  cd {output} && ollama create advice -f Modelfile && ollama run advice""",
    'peft': """\
  in Python: peft.PeftModel.from_pretrained(base, ...), as in its README.md
  if the base is a run of hax_jax, export the base first, with --format=hf""",
    'full': """\
  in Python: transformers.AutoModelForCausalLM.from_pretrained(...),
  as in its README.md
  as the base of another run: python -m launch.train \
--config.model.pretrained={output} ...""",
}


def main() -> int:
    _check()
    workdir = places.path(_WORKDIR.value)
    if not places.is_remote(workdir):
        run_folder.read_run(workdir)  # whether it is one, before JAX is imported
    runtime.start()
    try:
        written = export.write(
            _WORKDIR.value,
            _OUTPUT.value,
            _request(),
            step=_STEP.value,
            base=_BASE.value,
        )
    except errors.MismatchError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'{_WORKDIR.value} at step {written.parts.step} ({written.parts.why})')
    output = pathlib.Path(_OUTPUT.value).expanduser()
    print(f'wrote {output}:')
    for file in sorted(output.iterdir()):
        print(f'  {file.stat().st_size:>13,} bytes  {file.name}')
    print(
        "largest difference of its logits from the run's own: "
        f'{written.comparison.largest:.2g} (up to {written.comparison.tolerance:.2g} '
        'is accepted)'
    )
    if written.rounding:
        print(
            f'as {_DTYPE.value} they differ by up to {written.rounding:.2g} from those '
            'of the run in float32'
        )
    for note in written.notes:
        print(f'note: {note.splitlines()[0]} (see README.md there)')
    results.give(
        {
            'output': output,
            'step': written.parts.step,
            'largest_difference': written.comparison.largest,
            'rounding': written.rounding,
            'notes': written.notes,
        }
    )
    print(
        'next:\n'
        + _NEXT.get(_FORMAT.value, _NEXT['full']).format(
            output=shlex.quote(str(output))
        )
    )
    return 0


def _request() -> export_request.Request:
    return export_request.Request(
        format=_FORMAT.value,
        dtype=_DTYPE.value,
        max_shard_size=_MAX_SHARD_SIZE.value,
        license=_LICENSE.value,
    )


def _check() -> None:
    """Raises InputError, naming every flag that is wrong, before anything is read."""
    problems = []
    if not _WORKDIR.value:
        problems.append('--workdir is missing; give the folder of a run.')
    problems += _request().conflicts()
    if not _OUTPUT.value:
        problems.append('--output is missing; give the folder to make.')
    else:
        path = pathlib.Path(_OUTPUT.value).expanduser()
        problems += output_file.new_folder('output', path)
    errors.refuse(problems)


if __name__ == '__main__':
    entry.run(main, smaller='use a machine with more memory', in_one_process=True)
