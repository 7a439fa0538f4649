import pytest

from data_pipeline import settings
from data_pipeline.pair_stages import cleaning, reasoning, stages
from hax_jax.data import records


@pytest.mark.parametrize(
    ('answer', 'left'),
    [
        ('<think>\nHe is sad.\n\nSo.\n</think>\n\nAsk him.', 'Ask him.'),
        ('<think>\n\n</think>\n\nAsk him.', 'Ask him.'),
        ('<Thinking>He is sad.</Thinking> Ask him.', 'Ask him.'),
        ('<reasoning>Sad.</reasoning>\n<answer>\nAsk him.\n</answer>', 'Ask him.'),
        ('He is sad.\n</think>\n\nAsk him.', 'Ask him.'),
        ('[THINK]He is sad.[/THINK]Ask him.', 'Ask him.'),
        ('Ask.\n<think>Or not?</think>\nThen go.', 'Ask.\n\nThen go.'),
        (
            '<|begin_of_thought|>\nSad.\n<|end_of_thought|>\n\n'
            '<|begin_of_solution|>\nAsk him.\n<|end_of_solution|>',
            'Ask him.',
        ),
        (
            '<|channel|>analysis<|message|>Sad.<|end|><|start|>assistant'
            '<|channel|>final<|message|>Ask him.<|return|>',
            'Ask him.',
        ),
        ('Ask him. <think>Is it right? Yes.</think>', 'Ask him.'),
        ('He is sad.</think>Ask him.', 'Ask him.'),
        ('◁think▷He is sad.◁/think▷Ask him.', 'Ask him.'),
        ('<think>He is sad. Ask', ''),
        ('<think>He is sad.</think>', ''),
    ],
)
def test_reasoning_is_cut_off_an_answer(answer: str, left: str) -> None:
    assert reasoning.without(answer) == (left, 1)


@pytest.mark.parametrize(
    'answer',
    [
        'Models write <think> before they answer.',
        'Close it with `</think>`\nand go on.',
        'Write `x`:\n<think>\nlike this.',
        '<answer>Ask him.</answer>',
        'I think so.',
        'Close it with </think> and go on.',
        'Put <think> and </think>\naround it.',
    ],
)
def test_a_text_about_such_marks_stays(answer: str) -> None:
    assert reasoning.without(answer) == (answer, 0)


def test_unfinished_reasoning_is_no_answer_and_both_are_named() -> None:
    def cleaned(answer: str, **chosen: bool) -> stages.Outcome:
        given = records.QaPair('p', 'p', 'pairs', 'a', 1, '', '', 'Why?', answer)
        return cleaning.stage(settings.CleanSettings(**chosen)).apply(given)

    found = cleaned('<think>Hm.</think>Ask him.')
    assert found.pair.answer == 'Ask him.'
    assert [change.name for change in found.changes] == ['reasoning cut']
    dropped = cleaned('<think>Hm. Ask')
    assert dropped.reason == 'nothing is left of the answer'
    whole = '<think>Hm.</think>Ask him.'
    assert cleaned(whole, reasoning=False, html=False).pair.answer == whole
