"""Every shape of a row that other tools write, to the same pair."""

import dataclasses
import json
import pathlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.fields import near_fields
from data_pipeline.reading import inputs, reader
from hax_jax import errors

Q, A, NO = 'Who sings at night?', 'Tom does, and loudly.', 'Not I.'
USER, BOT = {'role': 'user', 'content': Q}, {'role': 'assistant', 'content': A}
WORSE = {'role': 'assistant', 'content': NO}
HUMAN, GPT = {'from': 'human', 'value': Q}, {'from': 'gpt', 'value': A}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def read(*rows: Any) -> tuple:
    pathlib.Path('a.jsonl').write_text(''.join(json.dumps(r) + '\n' for r in rows))
    return reader.read(['a.jsonl'])


def parts(text: str) -> list[dict[str, str]]:
    return [{'type': 'text', 'value': text}]


@pytest.mark.parametrize(
    'row',
    [
        {'prompt': Q, 'completion': A},
        {'prompt': [USER], 'completion': [BOT]},
        {'prompt': [USER], 'completion': [BOT], 'label': True},
        {'prompt': [USER], 'chosen': [BOT], 'rejected': [WORSE]},
        {'prompt': Q, 'chosen': A, 'rejected': NO},
        {'prompt': Q, 'chosen': [USER, BOT], 'rejected': [USER, WORSE]},
        {'chosen': [USER, BOT], 'rejected': [USER, WORSE]},
        {'chosen': f'\n\nHuman: {Q}\n\nAssistant: {A}', 'rejected': NO},
        {'text': f'### Human: {Q}### Assistant: {A}'},
        {'text': f'A chat. The bot is kind. USER: {Q} ASSISTANT: {A}</s>'},
        {'text': f'USER: {Q}\nASSISTANT: {A}'},
        {'text': f'User: {Q}\n\nBot: {A}'},
        {'text': f'User: {Q}\n\nAI: {A}'},
        {'text': f'Q: {Q}\n\nA: {A}'},
        {'chat': f'<|USER|>{Q}<|ASSISTANT|>{A}'},
        {'text': f'<|prompter|>{Q}<|endoftext|><|assistant|>{A}<|endoftext|>'},
        {'text': f'GPT4 Correct User: {Q}<|end_of_turn|>'
                 f'GPT4 Correct Assistant: {A}<|end_of_turn|>'},
        {'text': f'<｜begin▁of▁sentence｜><｜User｜>{Q}'
                 f'<｜Assistant｜>{A}<｜end▁of▁sentence｜>'},
        {'text': f'<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>{Q}'
                 '<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>'
                 f'{A}<|END_OF_TURN_TOKEN|>'},
        {'dialog': [{'speaker': 'client', 'text': Q},
                    {'speaker': 'therapist', 'text': A}]},
        {'turns': [{'speaker': 'USER', 'utterance': Q},
                   {'speaker': 'SYSTEM', 'utterance': A}]},
        {'id': 'c1', 'utterances': [{'speaker': 'customer', 'text': Q},
                                    {'speaker': 'agent', 'text': A}]},
        {'anchor': Q, 'positive': A, 'negative': NO},
        {'Question': Q, 'Answers': [{'Answer': A, 'Author': 'Bo'}]},
        {'question': Q, 'answer': {'text': A, 'author': 'Bo'}},
        {'conversations': [HUMAN], 'chosen': GPT, 'rejected': {**GPT, 'value': NO}},
        {'instruction': Q, 'input': '', 'chosen': A, 'rejected': NO},
        {'input': {'messages': [USER]}, 'preferred_output': [BOT]},
        {'messages': [USER, {**BOT, 'content': None, 'tool_calls': [{}]},
                      {'role': 'tool', 'content': '42'}, BOT]},
        {'messages': [{'role': 'user', 'content': parts(Q)},
                      {'role': 'assistant', 'content': parts(A), 'loss_weight': 1.0}]},
        {'chosen_messages': [USER, BOT], 'rejected_messages': [USER, WORSE]},
        {'contents': [{'role': 'user', 'parts': [{'text': Q}]},
                      {'role': 'model', 'parts': [{'text': A}]}]},
        {'conversations': [Q, A]},
        {'conversation': [{'human': Q, 'assistant': A}]},
        {'conversation': [{'system': 'x', 'input': Q, 'output': A}]},
        {'conversations': [Q, A, 'Why?', 'He can.'], 'source': 'x'},
        {'segments': [{'label': False, 'text': f'<s>[INST] {Q} [/INST] '},
                      {'label': True, 'text': f'{A}</s>'}]},
        {'prompt': {'role': 'prompter', 'text': Q, 'replies': [
            {'role': 'assistant', 'text': NO, 'rank': 1, 'replies': []},
            {'role': 'assistant', 'text': A, 'rank': 0, 'replies': []}]}},
        {'question': Q, 'answers': {'text': [A, A], 'answer_start': [0, 9]}},
        {'question': Q, 'answers': [{'text': A, 'answer_start': 0}]},
        {'title': Q, 'selftext': '', 'answers': {'text': [NO, A], 'score': [1, 5]}},
        {'question': Q,
         'answers': [{'text': NO, 'score': 9}, {'text': A, 'selected': 1}]},
        {'question': Q, 'answer': {'value': A, 'aliases': ['Tom']}},
        {'question': Q, 'answer': [A, NO]},
        {'paragraphs': [{'context': '', 'qas': [{'question': Q, 'answers': [
            {'text': A, 'answer_start': 0}]}]}], 'title': 't'},
        {'questionID': 4, 'questionText': Q, 'answerText': A, 'answerID': 5},
        {'Q': Q, 'A': A},
        {'Question_Body': Q, 'best_answer': A},
        {'Context': Q, 'Response': A},
        {'human': Q, 'assistant': A},
        {'faq_question': Q, 'faq_answer': A},
        {'inputs': Q, 'targets': A},
        {'input': [USER], 'ideal': A},
        {'text': f'### Human: {Q}\n### Assistant: {A}'},
        {'text': f'User: {Q}\nAssistant: {A}'},
        {'text': f'QUESTION: {Q}\n\nANSWER: {A}'},
        {'text': f'Below is an instruction.\n\n### Instruction:\n{Q}\n\n### Input:'
                 f'\n\n### Response:\n{A}'},
        {'text': f'<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n{Q}'
                 f'<|im_end|>\n<|im_start|>assistant\n{A}<|im_end|>\n'},
        {'text': f'<|start_header_id|>user<|end_header_id|>\n\n{Q}<|eot_id|>'
                 f'<|start_header_id|>assistant<|end_header_id|>\n\n{A}<|eot_id|>'},
        {'text': f'<s>[INST] <<SYS>>Be kind.<</SYS>> {Q} [/INST] {A} </s>'},
        {'instruction': Q, 'input': '', 'output': A,
         'text': f'### Instruction:\n{Q}!\n\n### Response:\n{A}!'},
        {'conversation': f'[USER] {Q}\n[ASSISTANT] {A}'},
        {'messages': [USER], 'answer': A},
        {'prompt': [USER], 'answer': A},
        {'prompt': f'\n\nHuman: {Q}\n\nAssistant:', 'chosen': f' {A}', 'rejected': NO},
        {'prompt': f'Do it.\n\n### Instruction:\n{Q}\n\n### Response:\n',
         'completion': A},
        {'prompt': f'<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n',
         'response': A},
        {'prompt': f'[INST] {Q} [/INST]', 'response': A},
        {'prompt': f'\n\nHuman: {Q}\n\nAssistant: ', 'turns': 1, 'answers': [
            {'answer': NO, 'rank': 2.0}, {'answer': A, 'rank': 1.0}]},
        {'source': 'x', 'instruction': Q, 'correct_answers': ['He'], 'completions': [
            {'response': NO, 'overall_score': 10, 'fine-grained_score': 1.5},
            {'response': A, 'overall_score': 7.5, 'fine-grained_score': 4.5}]},
        {'instruction': Q, 'completions': [
            {'response': NO, 'annotations': {'honesty': {'Rating': '2'},
                                             'helpfulness': {'Rating': 'N/A'}}},
            {'response': A, 'annotations': {'honesty': {'Rating': '3'}}},
            {'response': NO, 'annotations': {}}]},
        {'post_id': 'p1', 'history': Q, 'score_A': 9, 'score_B': 20,
         'human_ref_A': NO, 'human_ref_B': A, 'labels': 0, 'score_ratio': 2.2},
        {'history': Q, 'human_ref_A': A, 'human_ref_B': NO, 'labels': '1'},
        {'prompt': Q, 'response_0': NO, 'response_1': A, 'better_response_id': 1,
         'safer_response_id': 0},
        {'context': [USER], 'response1': A, 'response2': NO, 'overall_preference': -2},
        {'context': [USER], 'response1': NO, 'response2': A, 'overall_preference': 1},
        {'prompt': Q, 'candidate_a': A, 'candidate_b': NO, 'winner': 'a'},
        {'prompt': Q, 'responseA': NO, 'responseB': A, 'preferred': 'response B'},
        {'conversation_a': [USER, WORSE], 'conversation_b': [USER, BOT],
         'winner': 'model_b'},
        {'messages': [USER, BOT], 'rejected_response': NO},
        {'query': Q, 'response': A, 'rejected_response': NO},
        {'instruction': Q, 'instances': [{'input': '', 'output': A}]},
        {'question': Q, 'chosen_response': A, 'rejected_response': NO},
        {'question': Q, 'chosen_response': A, 'rejected_response': None},
        {'history': Q, 'human_ref_B': NO, 'human_ref_A': A, 'labels': True},
        {'history': Q, 'human_ref_A': NO, 'human_ref_B': A, 'labels': False},
        # ultrafeedback_binarized: the chosen chat stands in messages once more.
        {'prompt': Q, 'messages': [USER, BOT], 'chosen': [USER, BOT],
         'rejected': [USER, WORSE]},
        {'messages': [USER, {**BOT, 'content': {'content_type': 'text',
                                                'parts': [A]}}]},
        # Other names in small letters are the same.
        {'Messages': [{'Role': 'user', 'Content': Q},
                      {'Role': 'assistant', 'Content': A}]},
        {'CONVERSATIONS': [HUMAN, GPT]},
        {'Prompt': Q, 'Chosen': A, 'Rejected': NO},
        {'Prompt': [USER], 'Completion': [BOT]},
        # Cells of a table that are empty are not there.
        {'messages': None, 'conversations': [HUMAN, GPT]},
        {'messages': None, 'question': Q, 'answer': A},
        {'id': '1', 'data': [Q, A]},
        {'question': Q, 'answer': A, 'data': [NO, NO]},
        # A cell of a table as JSON with other names, as Python or numpy writes it.
        {'messages': json.dumps([{'Role': 'user', 'Content': Q},
                                 {'Role': 'assistant', 'Content': A}])},
        {'messages': repr([USER, BOT])},
        {'messages': repr([USER, BOT]).replace('}, {', '}\n {')},
    ],
)  # fmt: skip
def test_a_row_of_each_shape_is_the_pair(row: dict[str, Any]) -> None:
    pairs, _ = read(row, row)
    assert [(p.question, p.answer) for p in pairs] == [(Q, A)] * 2


NEXT = (
    {'role': 'user', 'content': 'And by day?'},
    {'role': 'assistant', 'content': 'He naps.'},
)
TALK = [(Q, A, 1.0), ('And by day?', 'He naps.', 1.0)]
LATER = [(Q, A, 0.0), TALK[1]]


@pytest.mark.parametrize(
    ('row', 'expected'),
    [
        ({'messages': [USER, BOT, *NEXT]}, TALK),
        ({'conversations': [Q, A, 'And by day?', 'He naps.']}, TALK),
        ({'conversation': [{'human': Q, 'assistant': A},
                           {'human': 'And by day?', 'assistant': 'He naps.'}]}, TALK),
        ({'conversation': [{'question': Q, 'answer': A},
                           {'question': 'And by day?', 'answer': 'He naps.'}]}, TALK),
        ({'text': f'### Human: {Q}### Assistant: {A}### Human: And by day?'
                  '### Assistant: He naps.'}, TALK),
        ({'text': f'[INST] {Q} [/INST] {A}</s><s>[INST] And by day? [/INST] He naps.'},
         TALK),
        ({'instruction': 'And by day?', 'input': '', 'output': 'He naps.',
          'history': [[Q, A]]}, TALK),
        ({'segments': [{'label': False, 'text': f'<s>[INST] {Q} [/INST] '},
                       {'label': True, 'text': f'{A}</s>'},
                       {'label': False, 'text': '[INST] And by day? [/INST]'},
                       {'label': True, 'text': 'He naps.</s>'}]}, TALK),
        ({'prompt': {'role': 'prompter', 'text': Q, 'replies': [
            {'role': 'assistant', 'text': A, 'rank': 0, 'replies': [
                {'role': 'prompter', 'text': 'And by day?', 'replies': [
                    {'role': 'assistant', 'text': 'He naps.', 'replies': []}]}]},
            {'role': 'assistant', 'text': NO, 'rank': 1, 'replies': []}]}}, TALK),
        ({'prompt': [USER, BOT, NEXT[0]], 'completion': [NEXT[1]]}, LATER),
        ({'prompt': [USER, BOT, NEXT[0]], 'chosen': [NEXT[1]],
          'rejected': [WORSE]}, LATER),
        ({'chosen': [USER, BOT, *NEXT], 'rejected': [USER, BOT, NEXT[0], WORSE]},
         LATER),
        ({'chosen': f'\n\nHuman: {Q}\n\nAssistant: {A}\n\nHuman: And by day?'
                    '\n\nAssistant: He naps.', 'rejected': NO}, LATER),
        ({'messages': [USER, BOT, *NEXT], 'rejected_response': NO}, LATER),
        ({'conversations': [HUMAN, GPT, {'from': 'human', 'value': 'And by day?'}],
          'chosen': {'from': 'gpt', 'value': 'He naps.'}, 'rejected': GPT}, LATER),
    ],
)  # fmt: skip
def test_the_turns_of_each_shape_are_the_conversation(
    row: dict[str, Any], expected: list[tuple[str, str, float]]
) -> None:
    pairs, report = read(row, row)
    for pair in pairs:
        assert [dataclasses.astuple(each) for each in pair.exchanges] == expected
    assert report.counts['conversations'] == 2
    assert report.counts['conversations exchanges'] == 4
    assert '\n  conversations: 4 exchanges, 2 conversations' in report.summary()


@pytest.mark.parametrize(
    'form',
    [
        '\n\nHuman: {}\n\nAssistant: {}',
        '<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>\n',
        '<s>[INST] {} [/INST] {} </s>',
        '<|user|>\n{}</s>\n<|assistant|>\n{}</s>\n',
        '<start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n{}<end_of_turn>',
    ],
)
def test_a_mark_of_another_template_is_a_word_of_the_text(form: str) -> None:
    marks = ['[INST]', '<|im_start|>user', '<|user|>', '<end_of_turn>', '<|im_end|>']
    for mark in marks:
        if mark in form:
            continue
        asked, answered = f'What does {mark} mean, and why?', f'{mark} opens a turn.'
        pairs, _ = read({'text': form.format(asked, answered)})
        assert [(p.question, p.answer) for p in pairs] == [(asked, answered)]
    asked, answered = 'Is <s>this</s> struck?', 'Yes, <s>this</s> is.'
    if '</s>' not in form:
        (pair,), _ = read({'text': form.format(asked, answered)})
        assert (pair.question, pair.answer) == (asked, answered)


@pytest.mark.parametrize(
    ('form', 'mark'),
    [
        ('<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}', '<|im_end|>'),
        ('<s>[INST] {} [/INST] {} </s>', '</s>'),
        ('<s>[INST] {} [/INST] {} </s>', '[INST]'),
        (
            '<start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n{}',
            '<end_of_turn>',
        ),
    ],
)
def test_a_mark_of_its_own_template_within_a_line_is_a_word(
    form: str, mark: str
) -> None:
    answered = f'The mark {mark} parts the turns.'
    pairs, _ = read({'text': form.format('Why?', answered)})
    assert [(pair.question, pair.answer) for pair in pairs] == [('Why?', answered)]


@pytest.mark.parametrize('last', ['<eos>', ' <|endoftext|>', '<|end_of_text|></s>'])
def test_marks_behind_the_end_of_a_turn_are_no_words(last: str) -> None:
    turns = '<start_of_turn>{}\n{}<end_of_turn>'
    form = f'{turns.format("user", "Why?")}\n{turns.format("model", "So.")}{last}'
    (pair,), _ = read({'text': form})
    assert (pair.question, pair.answer) == ('Why?', 'So.')


def test_rows_of_other_names_in_one_file_are_read_by_their_own() -> None:
    rows = [
        {'question': Q, 'answer': A},
        {'prompt': Q, 'completion': A},
        {'instruction': Q, 'input': '', 'output': A},
        {'question': None, 'answer': None, 'prompt': Q, 'completion': A},
        {'question': Q, 'answer': '', 'comment': NO},  # its answer is empty
    ]
    pairs, report = read(*rows)
    assert [(p.question, p.answer) for p in pairs] == [(Q, A)] * 4
    assert report.counts['rows with other names of fields than the first rows'] == 3
    assert report.counts['pairs rows without answer'] == 1
    rows = [{'question': Q, 'best_answer': A}, {'Question': Q, 'Answer': A}]
    pairs, _ = read(*rows)
    assert [(p.question, p.answer) for p in pairs] == [(Q, A)] * 2


def test_words_of_a_chat_within_a_chosen_answer_are_its_own() -> None:
    answer = 'I wrote:\nUSER: May I?\nASSISTANT: No.\nSo be it.'
    row = {'system': '', 'question': Q, 'chosen': answer, 'rejected': NO}
    (pair,), _ = read(row)
    assert (pair.question, pair.answer) == (Q, answer)
    said = {**row, 'chosen': f'\n\nHuman: {Q}\n\nAssistant: {A}'}
    (pair,), _ = read(said)
    assert (pair.question, pair.answer) == (Q, A)


@pytest.mark.parametrize('other', ['response', 'output', 'comment', 'reply'])
@pytest.mark.parametrize('asked', [Q, [{'role': 'user', 'content': Q}]])
def test_the_chosen_of_two_answers_is_meant_beside_any_other(
    other: str, asked: Any
) -> None:
    answers: list[Any] = [A, NO]
    if isinstance(asked, list):
        answers = [[{'role': 'assistant', 'content': each}] for each in answers]
    row = {other: 'A text.', 'prompt': asked, 'chosen': answers[0]}
    (pair,), _ = read({**row, 'rejected': answers[1]})
    assert (pair.question, pair.answer) == (Q, A)


@pytest.mark.parametrize('prompt', [Q, f'\n\nHuman: {Q}\n\nAssistant:', 'A song'])
def test_a_chosen_chat_beside_its_prompt_is_read_as_one(prompt: str) -> None:
    chosen, rejected = (f'\n\nHuman: {Q}\n\nAssistant: {each}' for each in (A, NO))
    (pair,), _ = read({'prompt': prompt, 'chosen': chosen, 'rejected': rejected})
    assert (pair.question, pair.answer) == (Q, A)


def test_a_number_of_answers_or_of_comments_is_no_text() -> None:
    answers = [{'text': NO, 'score': 1}, {'text': A, 'score': 2}]
    (pair,), _ = read({'question': Q, 'comment': 2, 'answers': answers})
    assert (pair.question, pair.answer) == (Q, A)
    (pair,), _ = read({'title': 'A song', 'body': Q, 'answers': 2, 'comment': A})
    assert (pair.question, pair.answer) == (f'A song\n\n{Q}', A)


def segments(*parts: tuple[bool, str]) -> dict[str, Any]:
    return {'segments': [{'label': label, 'text': text} for label, text in parts]}


IM = '<|im_start|>{}\n{}<|im_end|>\n'.format


@pytest.mark.parametrize(
    ('row', 'expected'),
    [
        # An answer of label false is context, whatever marks the turns.
        (segments((False, f'<s>[INST] {Q} [/INST] {A}</s>[INST] And by day? [/INST]'),
                  (True, ' He naps.</s>')), LATER),
        (segments((False, IM('system', 'Be kind.') + IM('user', Q)),
                  (False, IM('assistant', A)), (False, IM('user', 'And by day?')),
                  (True, IM('assistant', 'He naps.'))), LATER),
        (segments((False, '<|im_start|>user\n' + Q + '<|im_end|>\n'),
                  (False, '<|im_start|>assistant\n'), (False, A + '<|im_end|>\n'),
                  (False, IM('user', 'And by day?') + '<|im_start|>assistant\n'),
                  (True, 'He naps.<|im_end|>')), LATER),
        (segments((False, '<|begin_of_text|><|start_header_id|>user<|end_header_id|>'
                          f'\n\n{Q}<|eot_id|>'
                          '<|start_header_id|>assistant<|end_header_id|>\n\n'),
                  (False, f'{A}<|eot_id|>'),
                  (False, '<|start_header_id|>user<|end_header_id|>\n\nAnd by day?'),
                  (True, 'He naps.')), LATER),
        (segments((False, f'<start_of_turn>user\n{Q}<end_of_turn>\n'
                          f'<start_of_turn>model\n{A}<end_of_turn>\n'
                          '<start_of_turn>user\nAnd by day?<end_of_turn>\n'),
                  (True, '<start_of_turn>model\nHe naps.<end_of_turn>')), LATER),
        (segments((False, f'### Human: {Q}\n### Assistant: {A}\n### Human: And by day?'
                          '\n### Assistant:'), (True, ' He naps.')), LATER),
        (segments((False, f'### Instruction:\n{Q}\n\n### Response:\n{A}\n\n'
                          '### Instruction:\nAnd by day?\n'),
                  (True, 'He naps.')), LATER),
        (segments((False, f'USER: {Q}\n'), (False, f'ASSISTANT: {A}\n'),
                  (False, 'USER: And by day?\n'), (True, 'He naps.')), LATER),
        # All answers are to be learned; pieces of one are joined with their blanks.
        (segments((False, f'[INST] {Q} [/INST]'), (True, 'Tom does,'), (True, ' '),
                  (True, 'and loudly.</s>'), (False, '[INST] And by day? [/INST] '),
                  (True, 'He naps.')), TALK),
        # Without marks, the labels are all there is.
        (segments((False, Q), (True, A), (False, 'And by day?'), (True, 'He naps.')),
         TALK),
        # A word opens a learned text too; those in another form are the text's own.
        (segments((False, f'<s>User: {Q}\n'), (True, f'Assistant: {A}</s>\n'),
                  (False, 'User: And by day?\n'), (True, 'Assistant: He naps.</s>')),
         TALK),
        (segments((False, 'User: Read this.\nUSER: me\nASSISTANT: 5\n'),
                  (True, 'Assistant: Ok.\nUSER: you\nASSISTANT: 6')),
         [('Read this.\nUSER: me\nASSISTANT: 5', 'Ok.\nUSER: you\nASSISTANT: 6', 1.0)]),
        (segments((False, 'Read this.\nUSER: me\nASSISTANT: 5\nOk?'), (True, 'Ok.')),
         [('Read this.\nUSER: me\nASSISTANT: 5\nOk?', 'Ok.', 1.0)]),
        # Words within a text are no marks.
        (segments((False, 'Read this.\nUser: me\nOutput: 5'),
                  (True, 'User: you.\nOk?')),
         [('Read this.\nUser: me\nOutput: 5', 'User: you.\nOk?', 1.0)]),
        (segments((False, 'Human: My note:\nUser: me\nPass: 5\n\nAssistant:'),
                  (True, ' Ok.\n\n')),
         [('My note:\nUser: me\nPass: 5', 'Ok.', 1.0)]),
    ],
)  # fmt: skip
def test_segments_of_label_false_are_the_turns_that_they_hold(
    row: dict[str, Any], expected: list[tuple[str, str, float]]
) -> None:
    (pair, _), _ = read(row, row)
    assert [dataclasses.astuple(each) for each in pair.exchanges] == expected


def test_an_answer_that_is_learned_in_part_is_context() -> None:
    in_part = {**BOT, 'train_detail': [
        {'begin_offset': 0, 'end_offset': 4, 'train': False},
        {'begin_offset': 4, 'end_offset': 9, 'train': True}]}  # fmt: skip
    rows = [
        segments((False, f'[INST] {Q} [/INST]'), (False, 'Tom does,'),
                 (True, ' and loudly.</s>'), (False, '[INST] And by day? [/INST]'),
                 (True, 'He naps.')),
        {'messages': [USER, in_part, *NEXT]},
        segments((False, f'<start_of_turn>user\n{Q}<end_of_turn>\n'
                         '<start_of_turn>model\nTom does,'), (True, ' and loudly.'),
                 (False, '<start_of_turn>user\nAnd by day?'), (True, 'He naps.')),
    ]  # fmt: skip
    pairs, report = read(*rows)
    for pair in pairs:
        assert [dataclasses.astuple(each) for each in pair.exchanges] == LATER
    assert report.counts['messages answers to be learned in part, not learned'] == 3


@pytest.mark.parametrize(
    ('given', 'weight'),
    [('0.5', 0.5), ('2', 2.0), ('1', 1.0), (True, 1.0), (None, 1.0), ('', 1.0)],
)
def test_the_weight_of_a_turn_may_be_a_text(given: Any, weight: float) -> None:
    (pair,), report = read({'messages': [USER, {**BOT, 'weight': given}, *NEXT]})
    assert [each.weight for each in pair.exchanges] == [weight, 1.0]
    assert 'messages weights of turns out of range' not in report.counts
    (pair,), report = read({'messages': [USER, {**BOT, 'weight': 'much'}]})
    assert report.counts['messages weights of turns out of range'] == 1


@pytest.mark.parametrize(
    'mark',
    [
        *({'train': False}, {'training': False}, {'weight': 0}, {'weight': 0.0}),
        *({'loss': False}, {'learn': 'no'}, {'label': 0}, {'train': '0'}),
        *({'training': 'false'}, {'loss_weight': 0}),
    ],
)
def test_a_turn_says_in_many_ways_that_it_is_not_to_be_learned(
    mark: dict[str, Any],
) -> None:
    pairs, report = read({'messages': [USER, {**BOT, **mark}, *NEXT]})
    assert [dataclasses.astuple(each) for each in pairs[0].exchanges] == LATER
    assert report.counts['messages answers marked as not to be learned'] == 1


def test_turns_as_columns_are_turns(tmp_path: pathlib.Path) -> None:
    def columns(turns: list[dict[str, Any]]) -> dict[str, list[Any]]:
        return {key: [turn[key] for turn in turns] for key in turns[0]}

    talk = [USER, BOT, *NEXT]
    said = columns([{'from': t['role'], 'value': t['content']} for t in talk])
    rows = [
        {'messages': columns(talk)},
        {'conversations': said},
        {'dialog': columns(talk)},
        {'messages': json.dumps(talk)},
    ]
    for row in rows:
        pairs, _ = read(row)
        assert [dataclasses.astuple(each) for each in pairs[0].exchanges] == TALK
    rows = [
        {'prompt': columns([USER, BOT, NEXT[0]]), 'completion': columns([NEXT[1]])},
        {'prompt': columns([USER, BOT, NEXT[0]]), 'chosen': columns([NEXT[1]]),
         'rejected': columns([WORSE])},
        {'chosen': columns(talk), 'rejected': columns([*talk[:3], WORSE])},
        {'messages': columns([USER, BOT, NEXT[0]]), 'chosen': columns([NEXT[1]])},
        {'segments': columns([{'label': i == 3, 'text': IM(t['role'], t['content'])}
                              for i, t in enumerate(talk)])},
        {'input': {'messages': columns([USER, BOT, NEXT[0]])},
         'preferred_output': columns([NEXT[1]])},
    ]  # fmt: skip
    for row in rows:
        pairs, _ = read(row)
        assert [dataclasses.astuple(each) for each in pairs[0].exchanges] == LATER
    # datasets' Sequence of a dict is a struct of lists in Parquet.
    table = pa.Table.from_pylist([{'messages': columns(talk)}] * 2)
    pq.write_table(table, 'a.parquet')
    pairs, _ = reader.read(['a.parquet'])
    assert [dataclasses.astuple(each) for each in pairs[1].exchanges] == TALK
    unequal = {'role': ['user'], 'content': [Q, A]}
    _, report = read({'messages': unequal}, {'messages': columns(talk)})
    assert "'messages' is a dict, not a list" in report.unknown_lines[0]


def test_each_pattern_of_an_intent_is_a_question() -> None:
    intent = {'tag': 'song', 'id': 7, 'patterns': [Q, 'Who is that?'], 'responses': [A]}
    pairs, _ = read(intent, {'tag': 'x', 'patterns': [Q], 'responses': [NO, A]})
    assert [(p.question, p.answer, p.group) for p in pairs] == [
        (Q, A, '7'),
        ('Who is that?', A, '7'),
        (Q, NO, 'x'),
    ]
    assert len({pair.id for pair in pairs}) == len(pairs)


def test_answers_to_one_post_have_ids_of_their_own() -> None:
    pairs, _ = read(
        {'question_id': 5, 'question': Q, 'answer': A},
        {'question_id': 5, 'question': Q, 'answer': NO},
    )
    assert [pair.group for pair in pairs] == ['5', '5']
    assert pairs[0].id != pairs[1].id


def test_of_two_equal_answers_none_is_taken() -> None:
    tie = {'prompt': Q, 'answer_a': A, 'answer_b': NO, 'winner': 'tie (both bad)'}
    pairs, report = read({'prompt': Q, 'chosen': A, 'rejected': NO}, tie)
    assert [pair.answer for pair in pairs] == [A]
    assert report.counts['pairs rows with two answers that are tied'] == 1
    even = {'context': [USER], 'response1': A, 'response2': NO}
    rows = [{**even, 'overall_preference': number} for number in (-1, 0, 0)]
    pairs, report = read(*rows)
    assert [pair.answer for pair in pairs] == [A]
    assert report.counts['messages rows with two answers that are tied'] == 2


@pytest.mark.parametrize('label', [2, '', None, 'A', 0.5, 'missing'])
def test_labels_that_name_no_answer_are_counted_as_such(label: Any) -> None:
    row = {'history': Q, 'human_ref_A': A, 'human_ref_B': NO, 'labels': 1}
    other = {**row, 'labels': label}
    if label == 'missing':
        del other['labels']
    pairs, report = read(row, other, other)
    assert [pair.answer for pair in pairs] == [A]
    why = 'two answers, neither named the better'
    if label == 'missing':
        why = 'two answers and no labels to name the better'
    assert report.counts[f'pairs rows with {why}'] == 2
    assert report.dropped[0].endswith(f': {Q} (pairs rows with {why})')
    assert report.unknown_lines == []


def test_a_winner_of_the_lower_score_is_counted_and_its_word_counts() -> None:
    row = {'history': Q, 'human_ref_A': A, 'human_ref_B': NO, 'score_A': 3}
    rows = [
        {**row, 'labels': 1, 'score_B': 9},  # against its scores
        {**row, 'labels': 1, 'score_B': 2},
        {**row, 'labels': 1, 'score_B': None},
        {'prompt': [USER], 'chosen': [BOT], 'rejected': [WORSE], 'score_chosen': '1',
         'score_rejected': 4},  # so is this one
    ]  # fmt: skip
    for some, number in ((rows[:3], 1), (rows[3:], 1), (rows[1:3], 0)):
        pairs, report = read(*some)
        assert {pair.answer for pair in pairs} == {A}
        name = 'rows with the lower score for the answer named better'
        assert report.counts.get(name, 0) == number


@pytest.mark.parametrize(
    'row',
    [
        {'prompt': Q, 'answer_a': A, 'answer_b': NO, 'winner': 'Tom'},
        {'prompt': Q, 'answer_a': A, 'answer_b': NO, 'winner': 1},
        {'prompt': Q, 'answer_1': A, 'answer_2': NO, 'winner': 0},
        {'prompt': Q, 'answer_a': A, 'answer_b': NO, 'labels': 1},
    ],
)
def test_a_winner_that_names_neither_answer_is_not_guessed(row: dict[str, Any]) -> None:
    with pytest.raises(errors.InputError, match='which of its fields'):
        read(row)


def test_turns_in_cells_with_the_names_of_a_pair_are_turns() -> None:
    cells = [json.dumps([each]).replace('"', '""') for each in (USER, BOT)]
    pathlib.Path('a.csv').write_text(f'prompt,completion\n"{cells[0]}","{cells[1]}"\n')
    [pair], _ = reader.read(['a.csv'])
    assert (pair.question, pair.answer) == (Q, A)


def test_two_answers_in_a_table_are_read() -> None:
    header = 'history,human_ref_A,human_ref_B,labels\n'
    pathlib.Path('a.csv').write_text(f'{header}{Q},"{A}",{NO},1\n{Q},{NO},"{A}",0\n')
    pairs, _ = reader.read(['a.csv'])
    assert [(pair.question, pair.answer) for pair in pairs] == [(Q, A)] * 2


@pytest.mark.parametrize(
    'text',
    [
        f'<image>\n{Q}',
        f'<image>{Q}',
        f'{Q} <video>',
        f'{Q}\n<audio>\nSay it.',
        f'<|image_1|>\n{Q}',
        'See:\n```\n<b>\n```\n<image>',
        [{'type': 'text', 'text': Q}, {'type': 'image_url', 'image_url': {'url': 'x'}}],
        [{'type': 'input_audio', 'input_audio': {}}, {'type': 'text', 'text': Q}],
    ],
)
def test_what_needs_a_picture_makes_no_pair_and_is_counted(text: Any) -> None:
    other = {'messages': [USER, BOT]}
    rows = [{'messages': [{'role': 'user', 'content': text}, BOT]}]
    rows += [{'messages': [USER, BOT, {'role': 'user', 'content': text}, BOT]}]
    pairs, report = read(other, *rows, {'prompt': f'<image> {Q}', 'completion': A})
    assert [turn.question for pair in pairs for turn in pair.exchanges] == [Q]
    assert report.counts['messages rows that need a picture or a sound'] == 3


@pytest.mark.parametrize(
    'text',
    [
        'How do I close an <image> in SVG?',
        'What does `<image>` mean, or this?\n```\n<image>\n```',
        'Why does <imagery> fail?\n<images>',
    ],
)
def test_what_speaks_of_a_picture_stays(text: str) -> None:
    [pair], _ = read({'prompt': text, 'completion': A})
    assert pair.question == text


def test_a_chat_with_pictures_beside_it_needs_them() -> None:
    pairs, report = read(
        {'messages': [USER, BOT], 'images': ['1.jpg']},
        {'messages': [USER, BOT], 'images': [], 'videos': None},
    )
    assert len(pairs) == 1
    assert report.counts['messages rows that need a picture or a sound'] == 1


def test_questions_that_follow_each_other_are_no_answers() -> None:
    with pytest.raises(errors.InputError, match=r"which of its fields .*'turns'"):
        read({'question_id': 81, 'category': 'writing', 'turns': [Q, 'And by day?']})


def test_a_context_belongs_to_the_question() -> None:
    qas = [{'question': Q, 'id': str(i), 'answers': [{'text': A}]} for i in range(2)]
    document = {'data': [{'paragraphs': [{'context': 'Tom is loud.', 'qas': qas}]}]}
    pathlib.Path('a.json').write_text(json.dumps(document))
    pairs, _ = reader.read(['a.json'])
    assert [(p.id, p.question) for p in pairs] == [
        ('pairs:a:0', f'{Q}\n\nTom is loud.'),
        ('pairs:a:1', f'{Q}\n\nTom is loud.'),
    ]


def test_answers_that_are_left_out_are_counted() -> None:
    _, report = read(
        {'question': Q, 'answers': [A, NO, NO]},
        {'question': Q, 'answers': [A], 'rejected': NO, 'history': [['a', '']]},
        {'question': Q, 'answers': [A], 'history': 'Ann asked.'},
    )
    assert report.counts['answers beside the best, left out'] == 2
    assert report.counts['rows with a rejected answer, which was left out'] == 1
    assert report.counts['rows with a history, which was left out'] == 2


def test_pairs_among_chats_are_read() -> None:
    pairs, _ = read({'messages': [USER, BOT]}, {'prompt': NO, 'completion': A})
    assert [p.question for p in pairs] == [Q, NO]


def test_near_names_are_taken_and_said() -> None:
    names = [
        'questionID',
        'questionTitle',
        'questionText',
        'answerText',
        'answer_start',
    ]
    assert near_fields.near(names) == {
        'question': ('questionTitle', 'questionText'),
        'answer': ('answerText',),
    }
    assert near_fields.near(['question_type', 'answer id', 'Quality', 'a_id']) == {}
    names = ['input_question', 'target_answer', 'answer_a', 'question_answer']
    assert near_fields.near(names) == {
        'question': ('input_question',),
        'answer': ('target_answer',),
    }
    pathlib.Path('a.csv').write_text('Question (English),FinalAnswer\nWho?,Tom.\n')
    assert inputs.describe(inputs.find(['a.csv'])) == [
        'fields of a.csv: question=Question (English), answer=FinalAnswer '
        '(--fields changes them)'
    ]


def test_chats_in_cells_of_a_table_and_in_a_document_are_read() -> None:
    cell = json.dumps([USER, BOT]).replace('"', '""')
    pathlib.Path('a.csv').write_text(f'id,messages\n7,"{cell}"\n')
    chats = {'conversations': [{'id': 1, 'messages': [USER, BOT]}]}
    pathlib.Path('b.json').write_text(json.dumps(chats))
    pairs, _ = reader.read(['a.csv', 'b.json'])
    assert [(p.id, p.question, p.answer) for p in pairs] == [
        ('csv:a:7', Q, A),
        ('messages:b:1', Q, A),
    ]


def test_another_speaker_within_an_answer_is_its_text(tmp_path: pathlib.Path) -> None:
    said = 'A play:\n\nBot: Hello.\n\nAI: Good day.'
    file = tmp_path / 'a.jsonl'
    file.write_text(
        json.dumps({'text': f'User: Write one.\n\nAssistant: {said}'}) + '\n'
    )
    (pair,) = reader.read([str(file)])[0]
    assert (pair.question, pair.answer) == ('Write one.', said)


@pytest.mark.parametrize('history', [['Why?'], '[]'])
def test_a_history_of_nothing_before_the_question_is_none_left_out(
    history: list[str] | str,
) -> None:
    row = {'question': 'Why?', 'answer': 'So it is.', 'history': history}
    pairs, report = read(row)
    assert [each.question for each in pairs[0].exchanges] == ['Why?']
    assert 'rows with a history, which was left out' not in report.counts
