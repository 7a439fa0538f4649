"""Asks a run's model at the terminal, with follow-up questions.

    python -m launch.chat --workdir=runs/lora
    printf 'Is it rude?\nWhy?\n' | python -m launch.chat --workdir=runs/lora

A line is a question; one that ends in a backslash goes on in the next line. Answers are
streamed. Ctrl-C stops an answer, not the program; Ctrl-D or /quit ends it. /help shows
the commands. A follow-up sees the earlier turns, as far as the model's positions reach.
"""

from __future__ import annotations

import dataclasses
import pathlib

from absl import flags

from hax_jax import errors
from hax_jax.program import entry, later, output_file, results
from launch import sampling_flags, shared_flags

with later.imports():
    from hax_jax.devices import runtime
    from launch import chat_session, models

flags.adopt_module_key_flags(sampling_flags)  # in its --help
_WORKDIR = flags.DEFINE_string('workdir', '', "A run's folder, or FOLDER@STEP.")
_STEP = shared_flags.define_step()
_BASE = shared_flags.define_base()
_TRANSCRIPT = flags.DEFINE_string(
    'transcript',
    '',
    'Markdown file of the conversation, written after each answer; text that the file '
    'has stays, and the conversation follows it.',
)
_TENSOR = flags.DEFINE_integer('tensor', 1, 'Devices that share the model.')


def main() -> None:
    _check()
    models.check([_WORKDIR.value], _STEP.value)
    runtime.start()
    [chosen] = models.choose([_WORKDIR.value], _STEP.value)
    on = models.devices(_TENSOR.value)
    model = models.load(chosen, base=_BASE.value, on=on)
    entry.say(
        f'{chosen.workdir} at step {chosen.step} ({chosen.why}); /help shows commands'
    )
    settings, transcript = sampling_flags.settings(), _TRANSCRIPT.value
    session = chat_session.Session(model, settings, transcript=transcript)
    session.run()
    turns = [dataclasses.asdict(turn) for turn in session.conversation.turns]
    results.give({'workdir': chosen.workdir, 'step': chosen.step, 'turns': turns})


def _check() -> None:
    """Raises InputError, naming every flag that is wrong, before anything is read."""
    problems = sampling_flags.problems()
    if not _WORKDIR.value:
        problems.append('--workdir is missing; give the folder of a run.')
    problems += shared_flags.no_sizes(_TENSOR)
    if _TRANSCRIPT.value:
        path = pathlib.Path(_TRANSCRIPT.value)
        problems += output_file.problems('transcript', path)
    errors.refuse(problems)


if __name__ == '__main__':
    entry.run(
        main, smaller='cut the model over devices with --tensor', in_one_process=True
    )
