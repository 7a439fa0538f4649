"""Asks a run's model at the terminal, with follow-up questions.

    python -m launch.chat --workdir=runs/lora
    printf 'Is it rude?\nWhy?\n' | python -m launch.chat --workdir=runs/lora

A line is a question; one that ends in a backslash goes on in the next line. Answers are
streamed. Ctrl-C stops an answer, not the program; Ctrl-D or /quit ends it. /help shows
the commands. A follow-up sees the earlier turns, as far as the model's positions reach.
"""

from absl import flags

from data_pipeline import program
from hax_jax import config, mesh, runtime
from launch import chat_session, models, sampling_flags

_WORKDIR = flags.DEFINE_string('workdir', '', "A run's folder, or FOLDER@STEP.")
_STEP = flags.DEFINE_integer(
    'step', None, 'Which checkpoint; the best by validation loss, else the latest.'
)
_BASE = flags.DEFINE_string(
    'base', '', 'Where the pretrained model lies now, if it moved since the run began.'
)
_TRANSCRIPT = flags.DEFINE_string(
    'transcript', '', 'Markdown file of the conversation, written after each answer.'
)
_TENSOR = flags.DEFINE_integer('tensor', 1, 'Devices that share the model.')


def main() -> None:
    settings = sampling_flags.settings()
    config.check_sampling(settings)
    runtime.start()
    workdirs = [_WORKDIR.value] if _WORKDIR.value else []
    [chosen] = models.choose(workdirs, _STEP.value)
    on = mesh.make_mesh(config.MeshConfig(tensor=_TENSOR.value))
    model = models.load(chosen, base=_BASE.value, on=on)
    chat_session.say(
        f'{chosen.workdir} at step {chosen.step} ({chosen.why}); /help shows commands'
    )
    session = chat_session.Session(model, settings, transcript=_TRANSCRIPT.value)
    session.run()


if __name__ == '__main__':
    program.run(main)
