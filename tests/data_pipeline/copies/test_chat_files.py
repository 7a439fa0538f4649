"""Text files of conversations with the marks of a chat template, and what is none."""

import pathlib

import pytest

from data_pipeline.chat_texts import chat_files, transcripts
from data_pipeline.reading import reader
from hax_jax import errors

PAIRS = [('Why 0?', 'So 0.'), ('Why 1?', 'So 1.\n\nAnd more.'), ('Why 2?', 'So.')]
CHATML = '<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>\n'
SYSTEM = '<|im_start|>system\nYou help.<|im_end|>\n'
AND = ('And?', 'Yes.')


def read(text: str, folder: pathlib.Path) -> list[tuple[str, ...]]:
    path = folder / 'a.txt'
    path.write_text(text)
    pairs, _ = reader.read([str(path)])
    return [(pair.question, pair.answer, *pair.more) for pair in pairs]


@pytest.mark.parametrize(
    'form',
    [
        CHATML,
        SYSTEM + CHATML,
        '<|system|>\nYou help.</s>\n<|user|>\n{}</s>\n<|assistant|>\n{}</s>\n',
        '<|user|>\n{}</s>\n<|assistant|>\n{}</s>\n\n',
        '<s>[INST] {} [/INST] {} </s>\n',
        '<s>[INST] <<SYS>>\nYou help.\n<</SYS>>\n\n{} [/INST] {} </s>\n',
        '<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>'
        '<|start_header_id|>assistant<|end_header_id|>\n\n{}<|eot_id|>\n',
        '<start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n{}<end_of_turn>\n',
        '<|user|>\n{}<|end|>\n<|assistant|>\n{}<|end|>\n<|endoftext|>\n',
        '<|user|>{}<|assistant|>{}<|end|>\n',
        '<|question|>{}<|answer|>{}<|endoftext|>\n',
        'A chat between a user and an assistant. USER: {} ASSISTANT: {}</s>\n',
        'USER: {} ASSISTANT: {}</s>\n',
        '<|startoftext|>Question: {}\nAnswer: {}<|endoftext|>\n',
        'Q: {}\nA: {}<|endoftext|>',
        'Below is a task. Do it.\n\n### Instruction:\n{}\n\n### Response:\n{}</s>\n\n',
    ],
)
def test_a_file_of_a_chat_template_is_its_conversations(
    form: str, tmp_path: pathlib.Path
) -> None:
    text = ''.join(form.format(*pair) for pair in PAIRS)
    assert read(text, tmp_path) == PAIRS
    assert read(text.replace('\n', '\r\n'), tmp_path) == PAIRS


@pytest.mark.parametrize(
    ('begin', 'turn', 'end'),
    [
        (SYSTEM, CHATML, ''),
        ('', CHATML, '\n'),
        ('', CHATML, '<|endoftext|>'),
        ('', '<s>[INST] {} [/INST] {} </s>', '\n'),
        ('A chat of two.\n\n', 'USER: {} ASSISTANT: {}</s>', '\n\n'),
        ('', '<|user|>\n{}<|end|>\n<|assistant|>\n{}<|end|>\n', '<|endoftext|>\n'),
    ],
)
def test_later_turns_stay_in_their_conversation(
    begin: str, turn: str, end: str, tmp_path: pathlib.Path
) -> None:
    text = ''.join(
        begin + turn.format(*pair) + turn.format(*AND) + end for pair in PAIRS
    )
    assert read(text, tmp_path) == [(*pair, *AND) for pair in PAIRS]


def test_questions_that_nothing_parts_are_conversations_and_a_note_says_so() -> None:
    found, note = chat_files.rows(''.join(CHATML.format(*pair) for pair in PAIRS))
    assert (len(found), note) == (3, chat_files.NOTE)


def test_a_text_of_unknown_tokens_is_no_table(tmp_path: pathlib.Path) -> None:
    text = ''.join(f'<|a|>Why {i}?<|b|>So {i}.<|c|>\n' for i in range(4))
    with pytest.raises(errors.InputError, match='of no known layout'):
        read(text, tmp_path)


@pytest.mark.parametrize(
    'text',
    [
        'Q: What is <|user|>?\nA: A mark, as <|assistant|> is.\n',
        'Why is <s>it</s> so?\n\nBecause of [INST] and [/INST].',
        'QUESTION: Why?\nANSWER: So.\n\nThe cake\nQUESTION: Who?\nANSWER: Tom.</s>\n',
    ],
)
def test_words_about_marks_are_no_conversations(text: str) -> None:
    assert chat_files.rows(text) == ([], '')


@pytest.mark.parametrize(
    'text',
    [
        '### Instruction:\nWhy?\n\n### Response:\nSo.\n\n### End',
        'User: Why?\n\nAssistant: So.<｜end▁of▁sentence｜>',
        '<|startoftext|>Q: Why?\nA: So.<|endoftext|>',
        'Human: Why?\n\nAssistant: So.</s>',
    ],
)
def test_a_token_that_ends_a_labelled_turn_is_no_word_of_it(text: str) -> None:
    assert transcripts.turns(text) == [('user', 'Why?'), ('assistant', 'So.')]


def test_a_token_that_an_answer_names_stays() -> None:
    said = transcripts.turns('Q: What ends it?\nA: The mark </s>')
    assert said[-1] == ('assistant', 'The mark </s>')
