"""One conversation at a terminal or through a pipe: lines in, answers streamed."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import signal
import sys
import types
from collections.abc import Iterator

from data_pipeline.pages import characters
from hax_jax import errors, files
from hax_jax.config import convert, schema
from hax_jax.program import entry, interrupts
from hax_jax.sampling import chat, generation
from launch import models

_HELP = """\
/help           this
/settings       all settings; /NAME VALUE changes one: /temperature 0.9
/stop TEXT      one more stop string; /stop off has none
/reset          forget the conversation
/retry          answer the last question again, with other random bits
/save FILE      write the conversation to a Markdown file
/quit           end (so does Ctrl-D); Ctrl-C stops an answer"""


class Session:
    """One conversation and the settings of its next answer."""

    def __init__(
        self, model: models.Model, settings: schema.SamplingConfig, *, transcript: str
    ) -> None:
        """`transcript` is a file that is written after each answer, '' for none.

        Its earlier text, and conversations before a /reset, stay in it.

        Raises:
          InputError: it is no text.
        """
        self._model = model
        self._transcript = transcript
        self._before = _read(transcript) if transcript else ''
        self._saved: set[pathlib.Path] = set()
        self.settings = settings
        self._start()

    def _start(self) -> None:
        self.conversation = chat.Conversation(
            self._model.tokenizer, n_positions=self._model.n_positions
        )
        self._num_answers = 0

    def run(self) -> None:
        """Reads until /quit or the end of input; prints errors and goes on."""
        for line in _lines():
            try:
                if line.startswith('/'):
                    if not self._command(line[1:]):
                        return
                elif line.strip():
                    self._ask(line)
            except BrokenPipeError:
                raise  # nobody reads the answers any more
            except (errors.InputError, OSError) as error:
                entry.say(f'error: {errors.cause(error)}')

    def _command(self, line: str) -> bool:
        """Does a command, and returns whether to go on."""
        name, _, value = line.strip().partition(' ')
        name, value = name.lower(), value.strip()
        if name in ('quit', 'exit'):
            return False
        if name == 'help':
            entry.say(_HELP)
        elif name == 'settings':
            for setting, its_value in dataclasses.asdict(self.settings).items():
                entry.say(f'/{setting} {convert.shown(its_value) or "off"}')
        elif name == 'reset':
            entry.say(f'forgot {len(self.conversation.turns)} turns')
            if self.conversation.turns:
                self._before = self._whole_transcript()
            self._start()
        elif name == 'retry':
            self._retry()
        elif name == 'save':
            self._save(value)
        else:
            self.settings = change(self.settings, name, value)
            now = convert.shown(getattr(self.settings, name)) or 'off'
            entry.say(f'{name} is {now}')
        return True

    def _retry(self) -> None:
        if not self.conversation.turns:
            raise errors.InputError('there is no question yet to answer again.')
        last = self.conversation.turns.pop()
        try:
            self._ask(last.question)
        except errors.InputError:
            self.conversation.turns.append(last)
            raise

    def _ask(self, line: str) -> None:
        question = characters.clean(line).strip()
        if question != line.strip():
            entry.say('note: cleaned of odd spaces, entities or invisible characters')
        prepared = self.conversation.prepare(
            question, self.settings, sample=self._num_answers
        )
        if prepared.num_forgotten:
            entry.say(
                f'note: {prepared.num_forgotten} earliest of '
                f'{len(self.conversation.turns)} turns left out: no room in '
                f'n_positions={self._model.n_positions}'
            )
        if prepared.question_tokens_cut:
            entry.say(
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
        if self._transcript:
            files.write_text(self._transcript, self._whole_transcript())

    def _whole_transcript(self) -> str:
        """The earlier text of the file, then the conversation."""
        between = '\n---\n\n' if self._before else ''
        return self._before + between + self.conversation.transcript()

    def _tell(self, sample: generation.Sample) -> None:
        """Prints how an answer ended, unless it ended itself."""
        if sample.finish_reason in ('length', 'n_positions', 'interrupted'):
            entry.say(f'({sample.finish_reason} after {sample.num_tokens} tokens)')

    def _save(self, value: str) -> None:
        if not value:
            raise errors.InputError('/save needs the name of a file.')
        try:
            path = pathlib.Path(value).expanduser().resolve()
        except RuntimeError as error:  # ~NAME of no user
            raise errors.InputError(f'/save {value}: {error}; give a path.') from error
        if path.exists() and path not in self._saved:
            raise errors.InputError(f'{path} is there already; give another name.')
        files.write_text(path, self.conversation.transcript())
        self._saved.add(path)
        entry.say(f'wrote {len(self.conversation.turns)} turns to {path}')


def change(
    settings: schema.SamplingConfig, name: str, text: str
) -> schema.SamplingConfig:
    """`settings` with one field read from `text`; `stop` adds one, or `off` has none.

    Raises:
      InputError: there is no such field, or it does not accept the value.
    """
    values = dataclasses.asdict(settings)
    if name not in values:
        near = convert.nearest(name, values)
        meant = f'; did you mean /{near}?' if near else '.'
        raise errors.InputError(
            f'/{name} is neither a command nor a setting{meant} /help shows all.'
        )
    if not text:
        now = convert.shown(values[name]) or 'off'
        raise errors.InputError(f'/{name} needs a value; it is {now} now.')
    if name == 'stop':
        values[name] = () if text == 'off' else (*settings.stop, text)
    else:
        values[name] = convert.from_text(text, values[name])
    return convert.from_dict(values, schema.SamplingConfig)


def _read(transcript: str) -> str:
    """The file's text; '' if there is no file."""
    path = pathlib.Path(transcript)
    if not path.exists():
        return ''
    try:
        before = path.read_text('utf-8')
    except UnicodeDecodeError as error:
        raise errors.InputError(
            f'--transcript={transcript} is not UTF-8 text; give another file.'
        ) from error
    if before:
        entry.say(
            f'note: {transcript} is there already; this conversation goes to its end'
        )
    return before


def _lines() -> Iterator[str]:
    """The lines of the terminal or a pipe; Ctrl-C drops the one that is being typed.

    Raises:
      InputError: the input is not text.
    """
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
            interrupts.went_on()
            begun = ''
            entry.say('\n/quit or Ctrl-D ends')
            continue
        except UnicodeDecodeError as error:
            raise errors.InputError(
                f'standard input is not {error.encoding} text '
                f'({error.reason}); save it as UTF-8.'
            ) from error
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
    """A list that Ctrl-C fills; a second Ctrl-C is a KeyboardInterrupt."""
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
