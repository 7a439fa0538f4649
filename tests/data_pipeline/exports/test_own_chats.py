"""ChatGPT's and Claude's exports: the branch that was kept, without what is hidden."""

import json
import pathlib
from typing import Any

import pytest

from data_pipeline.reading import reader
from hax_jax import errors

Q, A, MORE, LAST = 'Who sings?', 'Tom does, and loudly.', 'And who hums?', 'Ann hums.'


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def said(*chats: Any) -> tuple[list[list[tuple[str, str]]], dict[str, int]]:
    """(the exchanges of each conversation, the counts)."""
    pathlib.Path('conversations.json').write_text(json.dumps(chats, indent=1))
    pairs, report = reader.read(['conversations.json'])
    made = [[(e.question, e.answer) for e in p.exchanges if e.weight] for p in pairs]
    return made, report.counts


def message(
    role: str, *parts: Any, kind: str = 'text', **fields: Any
) -> dict[str, Any]:
    content = {'content_type': kind, 'parts': [*parts]}
    return {'author': {'role': role}, 'content': content, **fields}


def chat(*nodes: tuple[str, str | None, Any], current: str | None) -> dict[str, Any]:
    """A chat of ChatGPT's: (id, parent's id, message) of each node."""
    mapping = {
        key: {'id': key, 'message': each, 'parent': parent, 'children': []}
        for key, parent, each in nodes
    }
    return {'title': 'Song', 'mapping': mapping, 'current_node': current, 'id': 'c1'}


def line(*messages: dict[str, Any]) -> dict[str, Any]:
    """A chat of one branch."""
    nodes = [('0', None, None)]
    nodes += [(str(i), str(i - 1), each) for i, each in enumerate(messages, start=1)]
    return chat(*nodes, current=str(len(messages)))


def test_a_row_with_a_mapping_of_its_own_stays_a_row() -> None:
    pathlib.Path('a.json').write_text(
        json.dumps([{'mapping': {'u': {'message': 'x'}}, 'question': Q, 'answer': A}])
    )
    ((pair,), _) = reader.read(['a.json'])
    assert (pair.question, pair.answer) == (Q, A)


def test_the_branch_that_was_kept_is_read_whatever_the_order_of_its_nodes() -> None:
    nodes = [
        ('left', 'ask', message('assistant', 'Left behind.')),
        ('end', 'more', message('assistant', LAST)),
        ('root', None, None),
        ('kept', 'ask', message('assistant', A)),
        ('ask', 'root', message('user', Q)),
        ('more', 'kept', message('user', MORE)),
        ('then', 'left', message('user', 'Left too.')),
    ]
    pairs, counts = said(chat(*nodes, current='end'))
    assert pairs == [[(Q, A), (MORE, LAST)]]
    assert counts['messages turns of other branches, left out'] == 2


def test_a_tree_that_does_not_say_which_branch_was_kept_is_no_chat() -> None:
    nodes = [('ask', None, message('user', Q)), ('one', 'ask', message('assistant', A))]
    assert said(chat(*nodes, current=None))[0] == [[(Q, A)]]
    nodes.append(('two', 'ask', message('assistant', 'No.')))
    with pytest.raises(errors.InputError, match='mapping'):
        said(chat(*nodes, current=None))


@pytest.mark.parametrize(
    ('extra', 'counted'),
    [
        (message('user', 'I am 40.', metadata={
            'is_visually_hidden_from_conversation': True}), 'that are hidden'),
        (message('user', 'I am 40.', kind='user_editable_context'),
         'of other kinds than text'),
        (message('user', 'Be kind.', weight=0), 'of weight 0'),
        (message('assistant', 'search("x")', kind='code', recipient='web'),
         'that call a tool'),
        (message('tool', 'A page.'), 'of tools'),
        (message('assistant', 'Hm.', kind='thoughts'), 'of thinking'),
        (message('assistant', 'Hm.', channel='commentary'), 'of thinking'),
        (message('assistant', 'I look it up.'), 'before the last text of an answer'),
    ],
)  # fmt: skip
def test_what_the_page_does_not_show_is_left_out_and_counted(
    extra: dict[str, Any], counted: str
) -> None:
    pairs, counts = said(line(message('user', Q), extra, message('assistant', A)))
    assert pairs == [[(Q, A)]]
    assert counts[f'messages turns {counted}, left out'] == 1


def test_an_answer_that_goes_on_is_whole_and_one_that_was_stopped_is_not_learned() -> (
    None
):
    cut = {'finish_details': {'type': 'max_tokens'}}
    stopped = {'finish_details': {'type': 'interrupted'}}
    pairs, _ = said(
        line(
            message('user', Q),
            message('assistant', 'Tom does, ', metadata=cut),
            message('assistant', 'and loudly.'),
            message('user', 'Why?'),
            message('assistant', 'He', metadata=stopped),
            message('user', MORE),
            message('assistant', LAST),
        )
    )
    assert pairs == [[(Q, A), (MORE, LAST)]]


def test_marks_of_sources_are_no_words_and_speech_is_text() -> None:
    answer = 'Tom does,\ue200cite\ue202turn0search1\ue201 and loudly.【3†source】'
    spoken = {'content_type': 'audio_transcription', 'text': Q, 'direction': 'in'}
    sound = {'content_type': 'real_time_user_audio_video_asset_pointer'}
    pairs, _ = said(
        line(
            message('user', spoken, sound, kind='multimodal_text'),
            message('assistant', answer),
        )
    )
    assert pairs == [[(Q, A)]]


@pytest.mark.parametrize(
    'asked',
    [
        message('user', {'content_type': 'image_asset_pointer'}, Q,
                kind='multimodal_text'),
        message('user', Q, metadata={'attachments': [{'name': 'a.pdf'}]}),
    ],
)  # fmt: skip
def test_a_question_about_a_file_that_is_not_there_makes_no_pair(
    asked: dict[str, Any],
) -> None:
    whole = line(message('user', MORE), message('assistant', LAST))
    pairs, counts = said(whole, line(asked, message('assistant', A)))
    assert pairs == [[(MORE, LAST)]]
    assert counts['messages rows that need a picture or a sound'] == 1


def claude(sender: str, text: str, **fields: Any) -> dict[str, Any]:
    parts = [{'type': 'text', 'text': text}]
    return {'sender': sender, 'text': text, 'content': parts, 'files': [], **fields}


def test_claudes_answer_is_the_text_behind_its_last_tool() -> None:
    parts = [
        {'type': 'thinking', 'thinking': 'Hm.'},
        {'type': 'text', 'text': 'I look it up.'},
        {'type': 'tool_use', 'name': 'web'},
        {'type': 'tool_result', 'content': []},
        {'type': 'text', 'text': A},
    ]
    asked, answered = claude('human', Q), claude('assistant', 'x', content=parts)
    old = claude('human', MORE, content=[]), claude('assistant', LAST, content=None)
    pairs, _ = said({'chat_messages': [asked, answered, *old]})
    assert pairs == [[(Q, A), (MORE, LAST)]]


def test_claudes_chat_is_the_branch_of_its_last_message() -> None:
    messages = [
        claude('human', 'Who sinks?', uuid='a', parent_message_uuid='0'),
        claude('assistant', 'The ship.', uuid='b', parent_message_uuid='a'),
        claude('human', Q, uuid='c', parent_message_uuid='0'),
        claude('assistant', A, uuid='d', parent_message_uuid='c'),
    ]
    pairs, counts = said({'chat_messages': messages})
    assert pairs == [[(Q, A)]]
    assert counts['messages turns of other branches, left out'] == 2


def test_the_text_of_an_attached_file_belongs_to_the_question() -> None:
    attached = [{'file_name': 'a.txt', 'extracted_content': 'Do, re, mi.'}]
    files = [{'file_name': 'a.txt'}]
    read = claude('human', Q, attachments=attached, files=files)
    unread = claude('human', Q, files=[{'file_name': 'b.png'}])
    pairs, counts = said(
        {'chat_messages': [read, claude('assistant', A)]},
        {'chat_messages': [unread, claude('assistant', A)]},
    )
    assert pairs == [[(f'{Q}\n\nDo, re, mi.', A)]]
    assert counts['messages rows that need a picture or a sound'] == 1
