"""Conversations, and launch.chat's session over a pipe, with a tiny random model."""

import dataclasses
import io
import os
import pathlib
import signal

import pytest
import test_generation

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.sampling import chat, generation, prompt_fitting
from launch import chat_session, models

SETTINGS = schema.SamplingConfig(
    max_new_tokens=6, temperature=1.5, top_k=10, top_p=0.95, seed=3
)


@pytest.fixture(scope='module')
def model(sentencepiece_folder: pathlib.Path) -> models.Model:
    tokenizer = text.load_tokenizer(str(sentencepiece_folder))
    made = test_generation.make_model(tokenizer)
    generator = generation.Generator(made, tokenizer, mesh=test_generation.one_device())
    return models.Model(generator, tokenizer, n_positions=128)


def conversation(model: models.Model) -> chat.Conversation:
    return chat.Conversation(model.tokenizer, n_positions=128)


def turn_ids(tokenizer: text.Tokenizer, question: str, answer: str | None) -> list[int]:
    """A turn's ids from the template's pieces; without an answer, a prompt's."""
    ids = tokenizer.encode([text.HEAD, question, text.TAIL, answer or ''])
    end = [] if answer is None else [tokenizer.eos_id]
    return [i for piece in ids for i in piece] + end


def test_a_follow_up_s_prompt_is_the_turns_in_the_template(model: models.Model) -> None:
    talk = conversation(model)
    talk.turns = [chat.Turn('Why?', 'Ask her.', 'eos'), chat.Turn('Who?', 'No.', 'eos')]
    found = talk.prepare('Is it?', SETTINGS, sample=2)
    assert found.row.prompt.ids == [
        *turn_ids(model.tokenizer, 'Why?', 'Ask her.'),
        *turn_ids(model.tokenizer, 'Who?', 'No.'),
        *turn_ids(model.tokenizer, 'Is it?', None),
    ]
    assert (found.num_forgotten, found.question_tokens_cut) == (0, 0)
    assert found.row.sample == 2


def test_the_earliest_turns_are_left_out_when_positions_run_out(
    model: models.Model,
) -> None:
    talk = conversation(model)
    talk.turns = [chat.Turn(f'Why {i}?', 'Ask her once.', 'eos') for i in range(9)]
    found = talk.prepare('Is it?', SETTINGS, sample=0)
    kept = 9 - found.num_forgotten
    assert 0 < kept < 9
    expected = [
        i
        for turn in talk.turns[found.num_forgotten :]
        for i in turn_ids(model.tokenizer, turn.question, turn.answer)
    ]
    ids = found.row.prompt.ids
    assert ids == expected + turn_ids(model.tokenizer, 'Is it?', None)
    one_more = len(turn_ids(model.tokenizer, 'Why 0?', 'Ask her once.'))
    assert len(ids) + 6 <= 129 < len(ids) + one_more + 6
    # A long question has no room for any turn, and loses its middle.
    found = talk.prepare('word ' * 100, SETTINGS, sample=0)
    assert found.num_forgotten == 9
    assert found.question_tokens_cut > 0
    assert len(found.row.prompt.ids) + 6 == 129


def test_an_answer_is_streamed_and_becomes_a_turn(model: models.Model) -> None:
    def keep(piece: str) -> bool:
        pieces.append(piece)
        return True

    talk, pieces = conversation(model), []
    prepared = talk.prepare('Why?', SETTINGS, sample=0)
    sample = talk.answer(model.generator, prepared, SETTINGS, on_text=keep)
    assert ''.join(pieces) == sample.text
    assert talk.turns == [chat.Turn('Why?', sample.text, sample.finish_reason)]
    # It is what launch.sample answers to the same letter.
    [letter] = test_generation.questions(['Why?'])
    fitted = prompt_fitting.fit(
        [letter], model.tokenizer, n_positions=128, max_new_tokens=6
    )
    assert list(model.generator.samples(fitted, SETTINGS)) == [sample]
    expected = f'## Question 1\n\nWhy?\n\n## Answer 1 ({sample.finish_reason})\n\n'
    assert talk.transcript() == expected + sample.text + '\n'


def test_settings_are_changed_by_words() -> None:
    changed = chat_session.change(SETTINGS, 'temperature', '0.9')
    assert changed == dataclasses.replace(SETTINGS, temperature=0.9)
    assert chat_session.change(SETTINGS, 'top_k', '3').top_k == 3
    two = chat_session.change(chat_session.change(SETTINGS, 'stop', 'a b'), 'stop', 'c')
    assert two.stop == ('a b', 'c')
    assert chat_session.change(two, 'stop', 'off').stop == ()


@pytest.mark.parametrize(
    ('name', 'value', 'says'),
    [
        ('temprature', '1', '; did you mean /temperature? /help shows all.'),
        ('zebra', '', '/zebra is neither a command nor a setting. /help'),
        ('top_k', 'x', "top_k='x' is not accepted; use a whole number such as 8."),
        ('top_p', 'x', "top_p='x' is not accepted; use a number such as 0.1"),
        ('top_p', '', '/top_p needs a value; it is 0.95 now.'),
        ('top_p', '2', 'top_p=2.0 is not accepted; use over 0.0'),
        ('stop', '', '/stop needs a value; it is off now.'),
    ],
)
def test_a_wrong_setting_is_an_error(name: str, value: str, says: str) -> None:
    with pytest.raises(errors.InputError) as error:
        chat_session.change(SETTINGS, name, value)
    assert says in str(error.value)


def give(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr('sys.stdin', io.StringIO('\n'.join(lines)))


@pytest.fixture
def session(model: models.Model, tmp_path: pathlib.Path) -> chat_session.Session:
    return chat_session.Session(model, SETTINGS, transcript=str(tmp_path / 'all.md'))


def test_a_session_reads_questions_and_commands_from_a_pipe(
    session: chat_session.Session,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: pathlib.Path,
) -> None:
    file = tmp_path / 'new' / 'talk.md'
    give(
        monkeypatch,
        'Is it\\',
        'rude?',
        '',
        '/temperature 0',
        '/Top_P two',
        'Why?&amp;',
        f'/save {file}',
        '/retry',
        '/save',
        '/help',
        '/settings',
        '/quit',
        'never asked',
    )
    session.run()
    shown = capsys.readouterr()
    turns = session.conversation.turns
    assert [turn.question for turn in turns] == ['Is it\nrude?', 'Why?&']
    # Greedy: asked again, the answer is the same.
    assert shown.out == f'{turns[0].answer}\n{turns[1].answer}\n{turns[1].answer}\n'
    assert file.read_text() == session.conversation.transcript()
    assert (tmp_path / 'all.md').read_text() == session.conversation.transcript()
    for part in (
        'temperature is 0.0',
        "error: top_p='two' is not accepted; use a number",
        'note: cleaned of odd spaces',
        f'wrote 2 turns to {file}',
        'error: /save needs the name of a file.',
        '/reset          forget the conversation',
        '/max_new_tokens 6',
    ):
        assert part in shown.err
    give(monkeypatch, '/reset', '/retry')
    session.run()
    error = capsys.readouterr().err
    assert 'forgot 2 turns' in error
    assert 'error: there is no question yet to answer again.' in error


def test_a_transcript_loses_nothing_that_was_in_its_file(
    model: models.Model,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: pathlib.Path,
) -> None:
    file = tmp_path / 'talk.md'
    file.write_text('My notes.\n')
    talk = chat_session.Session(model, SETTINGS, transcript=str(file))
    assert 'goes to its end' in capsys.readouterr().err
    give(monkeypatch, 'Why?', '/reset', '/reset', 'Who?', 'Where?')
    talk.run()
    written = file.read_text()
    assert written.startswith('My notes.\n\n---\n\n## Question 1\n\nWhy?\n')
    assert written.endswith('\n---\n\n' + talk.conversation.transcript())
    assert written.count('## Answer 1 ') == 2
    assert written.count('## Answer 2 ') == 1
    file.write_bytes(b'\xff')
    with pytest.raises(errors.InputError, match='is not UTF-8 text'):
        chat_session.Session(model, SETTINGS, transcript=str(file))


def test_save_replaces_only_what_it_wrote(
    session: chat_session.Session,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: pathlib.Path,
) -> None:
    old, new = tmp_path / 'letters.txt', tmp_path / 'talk.md'
    old.write_text('My letters.')
    give(
        monkeypatch,
        'Why?',
        f'/save {old}',
        f'/save {new}',
        'Who?',
        f'/save {new}',
        '/save ~no_such_user/talk.md',
    )
    session.run()
    assert old.read_text() == 'My letters.'
    assert new.read_text() == session.conversation.transcript()
    said = capsys.readouterr().err
    assert f'error: {old} is there already; give another name.' in said
    assert 'error: /save ~no_such_user/talk.md: ' in said


def test_a_retry_that_is_refused_keeps_the_turn(
    session: chat_session.Session,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    turn = chat.Turn('word ' * 200, 'No.', 'eos')
    session.conversation.turns = [turn]
    session.settings = dataclasses.replace(SETTINGS, max_new_tokens=6)
    refuse = errors.InputError('no room')
    monkeypatch.setattr(
        session.conversation, 'prepare', lambda *_, **__: (_ for _ in ()).throw(refuse)
    )
    give(monkeypatch, '/retry')
    session.run()
    assert session.conversation.turns == [turn]
    assert 'error: no room' in capsys.readouterr().err


def test_standard_input_that_is_no_text_is_one_error(
    session: chat_session.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.TextIOWrapper(io.BytesIO(b'caf\xe9?\n'), encoding='utf-8')
    monkeypatch.setattr('sys.stdin', raw)
    with pytest.raises(errors.InputError, match='standard input is not utf-8 text'):
        session.run()


def test_ctrl_c_stops_the_answer_and_not_the_program(
    session: chat_session.Session,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Terminal(io.StringIO):
        def write(self, piece: str) -> int:
            if piece.strip() and not self.getvalue():
                os.kill(os.getpid(), signal.SIGINT)
            return super().write(piece)

    out = Terminal()
    before = signal.getsignal(signal.SIGINT)
    session.settings = dataclasses.replace(
        SETTINGS, max_new_tokens=60, min_new_tokens=60
    )
    monkeypatch.setattr('sys.stdout', out)
    give(monkeypatch, 'Why?', '/max_new_tokens 60', '/temperature 0.5', 'Who?')
    session.run()
    first, second = session.conversation.turns
    assert first.finish_reason == 'interrupted'
    assert second.finish_reason in ('length', 'n_positions')
    assert len(second.answer) > len(first.answer)
    assert out.getvalue() == f'{first.answer}\n{second.answer}\n'
    assert '(interrupted after ' in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
