"""Asks a run's model at the terminal, with follow-up questions.

    python -m launch.chat --workdir=runs/lora
    printf 'Is it rude?\nWhy?\n' | python -m launch.chat --workdir=runs/lora

A line is a question; one that ends in a backslash goes on in the next line. Answers are
streamed. Ctrl-C stops an answer, not the program; Ctrl-D or /quit ends it. /help shows
the commands. A follow-up sees the earlier turns, as far as the model's positions reach.
"""

import contextlib
import pathlib
import signal
import sys
import types
from collections.abc import Iterator

from absl import flags

from data_pipeline import clean, program
from hax_jax import (
    chat,
    chat_settings,
    config,
    files,
    generate,
    mesh,
    runtime,
)
from launch import models, sampling_flags

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
_HELP = """\
/help           this
/settings       all settings; /NAME VALUE changes one: /temperature 0.9
/stop TEXT      one more stop string; /stop off has none
/reset          forget the conversation
/retry          answer the last question again, with other random bits
/save FILE      write the conversation to a Markdown file
/quit           end (so does Ctrl-D); Ctrl-C stops an answer"""


def main() -> None:
    settings = sampling_flags.settings()
    config.check_sampling(settings)
    runtime.start()
    workdirs = [_WORKDIR.value] if _WORKDIR.value else []
    [chosen] = models.choose(workdirs, _STEP.value)
    on = mesh.make_mesh(config.MeshConfig(tensor=_TENSOR.value))
    model = models.load(chosen, base=_BASE.value, on=on)
    _say(f'{chosen.workdir} at step {chosen.step} ({chosen.why}); /help shows commands')
    Session(model, settings).run()


class Session:
    """One conversation and the settings of its next answer."""

    def __init__(self, model: models.Model, settings: config.SamplingConfig) -> None:
        self._model = model
        self.settings = settings
        self._start()

    def _start(self) -> None:
        self.conversation = chat.Conversation(
            self._model.tokenizer, n_positions=self._model.n_positions
        )
        self._num_answers = 0

    def run(self) -> None:
        """Reads until /quit or the end of input. What is wrong is said; it goes on."""
        for line in _lines():
            try:
                if line.startswith('/'):
                    if not self._command(line[1:]):
                        return
                elif line.strip():
                    self._ask(line)
            except (config.InputError, OSError) as error:
                _say(f'error: {error}')

    def _command(self, line: str) -> bool:
        """Does a command; whether to go on."""
        name, _, value = line.strip().partition(' ')
        name, value = name.lower(), value.strip()
        if name in ('quit', 'exit'):
            return False
        if name == 'help':
            _say(_HELP)
        elif name == 'settings':
            _say(chat_settings.listing(self.settings))
        elif name == 'reset':
            _say(f'forgot {len(self.conversation.turns)} turns')
            self._start()
        elif name == 'retry':
            self._retry()
        elif name == 'save':
            self._save(value)
        else:
            self.settings = chat_settings.change(self.settings, name, value)
            _say(f'{name} is {getattr(self.settings, name)!r}')
        return True

    def _retry(self) -> None:
        if not self.conversation.turns:
            raise config.InputError('there is no question yet to answer again.')
        question = self.conversation.turns.pop().question
        self._ask(question)

    def _ask(self, line: str) -> None:
        question = clean.text(line).strip()
        if question != line.strip():
            _say('note: cleaned of odd spaces, entities or invisible characters')
        prepared = self.conversation.prepare(
            question, self.settings, sample=self._num_answers
        )
        if prepared.num_forgotten:
            _say(
                f'note: {prepared.num_forgotten} earliest of '
                f'{len(self.conversation.turns)} turns left out: no room in '
                f'n_positions={self._model.n_positions}'
            )
        if prepared.question_tokens_cut:
            _say(
                f'note: {prepared.question_tokens_cut} tokens cut from the middle of '
                'the question'
            )
        self._num_answers += 1
        with _interruptible() as interrupted:

            def show(piece: str) -> bool:
                print(piece, end='', flush=True)
                return not interrupted

            sample = self.conversation.answer(
                self._model.generator, prepared, self.settings, on_text=show
            )
        print(flush=True)
        self._tell(sample)
        if _TRANSCRIPT.value:
            files.write_text(_TRANSCRIPT.value, self.conversation.transcript())

    def _tell(self, sample: generate.Sample) -> None:
        """How an answer ended, unless it ended itself."""
        if sample.finish_reason in ('length', 'n_positions', 'interrupted'):
            _say(f'({sample.finish_reason} after {sample.num_tokens} tokens)')

    def _save(self, value: str) -> None:
        if not value:
            raise config.InputError('/save needs the name of a file.')
        path = pathlib.Path(value).expanduser()
        files.write_text(path, self.conversation.transcript())
        _say(f'wrote {len(self.conversation.turns)} turns to {path}')


def _lines() -> Iterator[str]:
    """The lines of the terminal or a pipe; Ctrl-C drops the one that is being typed."""
    begun = ''
    if sys.stdin.isatty():
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 (gives input() its history and editing)
    while True:
        try:
            if sys.stdin.isatty():
                line = input('... ' if begun else '> ')
            else:
                line = sys.stdin.readline()
                if not line:
                    raise EOFError
                line = line.rstrip('\n')
        except KeyboardInterrupt:
            begun = ''
            _say('\n/quit or Ctrl-D ends')
            continue
        except EOFError:
            if begun:
                yield begun
            return
        if line.endswith('\\'):
            begun += line[:-1] + '\n'
            continue
        yield begun + line
        begun = ''


@contextlib.contextmanager
def _interruptible() -> Iterator[list[int]]:
    """A list that Ctrl-C fills, in place of ending the program; twice, it does that."""
    received: list[int] = []

    def handle(number: int, _: types.FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == '__main__':
    program.run(main)
