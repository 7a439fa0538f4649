"""The prompt template as Jinja and as a Modelfile: the ids that training saw."""

import json
import pathlib

import numpy as np
import pytest
import transformers

from hax_jax.config import schema
from hax_jax.data import packing, records, text
from hax_jax.formats import chat_template, hf_tokenizer
from hax_jax.sampling import chat

_TURNS = [
    ('Is it rude to leave at nine?', 'No. Thank the host.'),
    ('  And at\neight?\n', 'Yes, "rude" it is: {{ eos_token }}.'),
]


@pytest.fixture(
    scope='module', params=['gpt2_tokenizer_folder', 'sentencepiece_folder']
)
def tokenizer(request: pytest.FixtureRequest) -> text.Tokenizer:
    return text.load_tokenizer(str(request.getfixturevalue(request.param)))


@pytest.fixture(scope='module')
def theirs(
    tokenizer: text.Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> transformers.PreTrainedTokenizerFast:
    folder = tmp_path_factory.mktemp('written')
    (folder / 'config.json').write_text('{"model_type": "gpt2"}')
    assert not hf_tokenizer.write(folder, tokenizer, n_positions=512)
    settings = json.loads((folder / 'tokenizer_config.json').read_text())
    assert settings['chat_template'] == chat_template.JINJA
    return transformers.AutoTokenizer.from_pretrained(folder)


def _messages(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [
        {'role': role, 'content': content}
        for turn in turns
        for role, content in zip(('user', 'assistant'), turn, strict=False)
    ]


def test_a_prompt_has_the_ids_of_training(
    tokenizer: text.Tokenizer, theirs: transformers.PreTrainedTokenizerFast
) -> None:
    question = 'My  aunt\u2019s cat \u2026 \U0001f600\n\nWhy?'
    pieces = text.template(tokenizer)
    prompt = text.prompt(pieces, tokenizer.encode([question])[0], max_length=512)
    for content in (question, [{'type': 'text', 'text': question}]):
        found = theirs.apply_chat_template(
            [{'role': 'user', 'content': content}], add_generation_prompt=True
        )
        assert found['input_ids'] == prompt.ids


def test_a_conversation_has_the_ids_of_chat(
    tokenizer: text.Tokenizer, theirs: transformers.PreTrainedTokenizerFast
) -> None:
    ours = chat.Conversation(tokenizer, n_positions=512)
    for question, answer in _TURNS:
        ours.turns.append(chat.Turn(question.strip(), answer, 'eos'))
    row = ours.prepare('So?', schema.SamplingConfig(max_new_tokens=8), sample=0).row
    messages = [
        {'role': 'system', 'content': 'Be kind.'},
        *_messages(*_TURNS, ('So?',)),
    ]
    found = theirs.apply_chat_template(messages, add_generation_prompt=True)
    assert found['input_ids'] == row.prompt.ids
    assert found['input_ids'].count(tokenizer.eos_id) == len(_TURNS)


def test_a_packed_conversation_has_the_ids_of_chat_and_of_the_template(
    tokenizer: text.Tokenizer, theirs: transformers.PreTrainedTokenizerFast
) -> None:
    turns = [(question.strip(), answer) for question, answer in _TURNS]
    exchanges = [records.Exchange(*turn) for turn in (*turns, ('So?', 'No.'))]
    pair = records.QaPair('p', 'p', 'chat', 'f', 1, '', '', '', '')
    pair = pair.with_exchanges(exchanges)
    made = packing.tokenize([pair], tokenizer, seq_len=511, long_answers='drop')
    [packed] = made.pairs

    found = theirs.apply_chat_template(
        _messages(*turns, ('So?', 'No.')),
        return_assistant_tokens_mask=True,
        return_dict=True,
    )
    assert found['input_ids'] == packed.ids.tolist()
    learned = np.zeros(len(packed.ids), int)
    for start, end, _ in packed.answers:
        learned[start:end] = 1
    assert found['assistant_masks'] == learned.tolist()

    ours = chat.Conversation(tokenizer, n_positions=512)
    ours.turns += [chat.Turn(*turn, 'eos') for turn in turns]
    row = ours.prepare('So?', schema.SamplingConfig(max_new_tokens=8), sample=0).row
    assert row.prompt.ids == packed.ids.tolist()[: packed.answers[-1][0]]


def test_what_trl_learns_is_the_answer_and_its_end(
    tokenizer: text.Tokenizer, theirs: transformers.PreTrainedTokenizerFast
) -> None:
    found = theirs.apply_chat_template(
        _messages(_TURNS[0]), return_assistant_tokens_mask=True, return_dict=True
    )
    learned = [
        i
        for i, mask in zip(found['input_ids'], found['assistant_masks'], strict=True)
        if mask
    ]
    assert learned == [*tokenizer.encode([_TURNS[0][1]])[0], tokenizer.eos_id]
    assert found['input_ids'][-1] == tokenizer.eos_id


def test_questions_that_follow_each_other_are_one(
    theirs: transformers.PreTrainedTokenizerFast,
) -> None:
    messages = [{'role': 'user', 'content': each} for each in ('One?', 'Two?')]
    found = theirs.apply_chat_template(messages, tokenize=False)
    assert found == f'{text.HEAD}One?\n\nTwo?{text.TAIL}'


@pytest.mark.parametrize(
    ('roles', 'says'),
    [(['assistant'], 'follow a question'), (['user', 'tool'], 'not tool')],
)
def test_turns_that_training_never_had_are_refused(
    theirs: transformers.PreTrainedTokenizerFast, roles: list[str], says: str
) -> None:
    with pytest.raises(Exception, match=says):
        theirs.apply_chat_template([{'role': role, 'content': 'a'} for role in roles])


def test_a_modelfile_names_the_file_the_template_and_the_stop(
    tmp_path: pathlib.Path,
) -> None:
    made = chat_template.modelfile('model.gguf', eos='</s>', n_positions=512)
    assert made.startswith('FROM ./model.gguf\nTEMPLATE """')
    template = made.split('"""')[1]
    # The Go template of one question, its strings put in by hand.
    assert '{{ "QUESTION:\\n" }}{{ .Content }}{{ "\\n\\nANSWER:\\n" }}' in template
    assert '{{ .Content }}{{ "</s>" }}' in template
    assert 'PARAMETER stop "</s>"\nPARAMETER num_ctx 512\n' in made
    assert 'PARAMETER num_predict 256\n' in made
