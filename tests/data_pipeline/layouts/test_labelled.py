"""Texts with labels of any spelling, sets of the old trainer, and letters."""

import pytest

from data_pipeline.layouts import detection, labelled
from data_pipeline.pages import page

PAIRS = [('Who sings?\n\nTom?', 'He does.\n\nLoudly.'), ('Who pays?', 'You.')]


def parsed(text: str, layout: str = 'qa') -> page.Page:
    assert detection.detect(text) == layout
    return detection.PARSERS[layout](text, file='a/f.md')


def texts(found: page.Page) -> list[tuple[str, str]]:
    return [(pair.question, pair.answer) for pair in found.pairs]


@pytest.mark.parametrize(
    'form',
    [
        'Q: {}\n\nA: {}\n\n',
        'q: {}\na: {}\n',
        'Q. {}\nA. {}\n\n',
        'Q1: {}\nA1: {}\n\n',
        '3. Q: {}\n   A: {}\n\n',
        'Question: {}\nAnswer: {}\n\n',
        '**Question:** {}\n\n**Answer:** {}\n\n---\n\n',
        '**Question**: {}\n**Answer**: {}\n\n***\n\n',
        '**Q**\n{}\n\n**A**\n{}\n\n',
        '> **Q:** {}\n\n**A:** {}\n\n',
        '1. **Q:** {}\n\n   **A:** {}\n\n',
        '## Question\n\n{}\n\n## Answer\n\n{}\n\n',
        '## Question 7\n{}\n### Answer:\n{}\n',
        '## QUESTION\n{}\n## ANSWER\n{}\n',
        '### Instruction:\n{}\n\n### Response:\n{}\n\n',
        'User: {}\nAssistant: {}\n\n',
        'QUESTION: {}\n\nRESPONSE: {}\n\n',
        'Q - {}\nA - {}\n\n',
        'Question 1 – {}\n\nAnswer – {}\n\n',
        '<question>{}</question><answer>{}</answer>\n',
        '<QUESTION>\n{}\n</QUESTION>\n\n<RESPONSE>\n{}\n</RESPONSE>\n\n',
        'Pregunta: {}\n\nRespuesta: {}\n\n',
        '**Frage:** {}\n**Antwort:** {}\n\n',
        '## Question\n{}\n\n## Réponse\n{}\n\n',
        'DOMANDA: {}\nRISPOSTA: {}\n',
        'Pergunta 3: {}\nResposta: {}\n\n',
        'Вопрос: {}\n\nОтвет: {}\n\n',
        '问：{}\n\n答：{}\n\n',
        '質問: {}\n回答: {}\n',
        'P: {}\n\nR: {}\n\n',
        'Q : {}\n\nR : {}\n\n',
        '**F:** {}\n**A:** {}\n\n',
        '* Q: {}\n* A: {}\n\n',
        'Patient: {}\nDoctor: {}\n\n',
        '## Problem\n{}\n## Solution\n{}\n',
        'Q.1 {}\nAns. {}\n\n',
        'Q.1) {}\nAns) {}\n\n',
        'Q.7: {}\nAns:- {}\n\n',
        'Question One: {}\n\nAnswer: {}\n\n',
        '**Q.**\n\n{}\n\n**A.**\n\n{}\n\n',
        '❓ Question: {}\n\n💡 Answer: {}\n\n',
        '❓ **Q:** {}\n✅ **A:** {}\n\n',
        'Q.No. 7 {}\nA.7 {}\n\n',
        'Q-7. {}\nA-7. {}\n\n',
        'Que 7: {}\nAns 7: {}\n\n',
        'Que. 7: {}\nAns.: {}\n\n',
        'Ques 7. {}\n\nSol. {}\n\n',
        'Q1. {}\nAns. {}\n\n',
        'Question 7. {}\nAnswer. {}\n\n',
        '**Q.7** {}\n\n**Ans.** {}\n\n',
        'Q7 {}\nA7 {}\n',
        '**Q7** {}\n\n**A7** {}\n\n',
    ],
)
def test_labels_of_every_spelling_make_pairs(form: str) -> None:
    found = parsed(''.join(form.format(*pair) for pair in PAIRS))
    assert texts(found) == PAIRS
    assert found.unknown == []
    assert found.pairs[0].id.startswith('qa:f:')


@pytest.mark.parametrize(
    'form',
    ['Q：{}\nA：{}\n', 'Q:{}\nA:{}\n', '<prompt>{}</prompt><response>{}</response>\n'],
)
def test_emphasis_that_opens_a_text_is_its_own(form: str) -> None:
    pairs = [('_Who_ sings?', '*He* does.'), ('Who pays?', '**You.**')]
    assert texts(parsed(''.join(form.format(*pair) for pair in pairs))) == pairs


def test_a_question_that_is_all_in_bold_loses_both_marks() -> None:
    assert texts(parsed('**Q: Who sings?**\n\nA: He does.\n')) == [
        ('Who sings?', 'He does.')
    ]


@pytest.mark.parametrize('form', ['1. Question: {}', '- Question: {}', 'Question: {}'])
def test_a_question_in_a_section_of_a_set_is_none(form: str) -> None:
    rows = [('Who sings?', 'He does.'), ('Who pays?', 'You.')]
    sets = [
        f'QUESTION: {q}\n\nDRAFT_RESPONSE: Hm.\n\nSCORE: 7\n\nWEAKNESSES:\n- Rude.\n'
        f'{form.format("why so long?")}\n\nREVISED_RESPONSE: {a}\n\n<END_OF_SET>\n'
        for q, a in rows
    ]
    unfinished = 'QUESTION: Why?\n\nDRAFT_RESPONSE: Hm.\n\nSCORE: 7\n\n'
    for above in ('', unfinished):
        assert texts(parsed(above + '\n'.join(sets), 'sets')) == rows


@pytest.mark.parametrize('line', ['Answer: no', '**Answer:** no', 'Score: 9'])
def test_labels_in_another_form_are_words_of_a_sets_texts(line: str) -> None:
    form = 'QUESTION: {}\n\nDRAFT_RESPONSE: Hm.\n\nSCORE: 7\n\nREVISED_RESPONSE: {}\n'
    rows = [('Who sings?', 'He does.'), (f'I said:\n{line}\nWhy?', f'So.\n{line}\nNo.')]
    rows += [('Who pays?', 'You.'), ('Me?', 'Once.\nSCORE: 9, I would say.')]
    text = ''.join(f'{form.format(*row)}<END_OF_SET>\n\n' for row in rows)
    assert texts(parsed(text, 'sets')) == rows


def test_the_signs_of_a_quote_that_is_all_of_a_question_are_cut() -> None:
    form = '**Question**\n\n{}\n\n**Answer**\n\n{}\n\n'
    rows = [('> Who sings?\n>\n> Tom?', '> He does.'), ('My sister:\n> Who?', 'You.')]
    found = parsed(''.join(form.format(*row) for row in rows))
    assert texts(found) == [('Who sings?\n\nTom?', '> He does.'), rows[1]]


def test_several_answered_letters_may_stand_below_sentences() -> None:
    form = 'Dear Amy: May I sing {0}?\n\n— Sad {0}\n\nDear Sad {0}: Sing {0} on.\n\n'
    above = 'Amy answers letters of all kinds.\n\n'
    names = ('Ann', 'Bob', 'Cal')
    found = parsed(above + ''.join(map(form.format, names)), 'letters')
    assert [answer for _, answer in texts(found)] == [f'Sing {n} on.' for n in names]
    assert detection.detect(above + form.format('Ann')) == ''


def test_a_time_behind_a_label_is_no_number_of_it() -> None:
    found = parsed('Q. When?\nA. 7:30 p.m.\n\nQ. Who?\nA. Tom.\n')
    assert texts(found) == [('When?', '7:30 p.m.'), ('Who?', 'Tom.')]


@pytest.mark.parametrize('form', ['Q. {} {}\nAns. {}\n', 'Q: {}. {}\nA: {}\n'])
def test_numbers_that_count_the_questions_are_none_of_their_words(form: str) -> None:
    rows = [*PAIRS, ('30 guests, or 3?', '3 friends.')]
    text = ''.join(form.format(i, *row) for i, row in enumerate(rows, start=7))
    assert texts(parsed(text)) == rows
    text = text.replace('9', '10')  # 7, 8, 10: they may be the askers'
    assert texts(parsed(text))[0][0].startswith('7')


def test_choices_are_no_answers() -> None:
    text = ''.join(f'Q{i}. Who?\nA. Tom\nB. Ann\nAns. B\n\n' for i in range(1, 4))
    assert texts(parsed(text)) == [('Who?\nA. Tom\nB. Ann', 'B')] * 3
    for choices in ('A. Tom  B. Ann', 'A. Tom,\nher son\nB. Ann', 'A. Tom\n\nB. Ann'):
        made = texts(parsed(text.replace('A. Tom\nB. Ann', choices)))
        assert made == [(f'Who?\n{choices}', 'B')] * 3
    assert detection.detect(text.replace('Ans. B', '')) == ''
    named = 'Q. Who?\nA. Ask Tom B. Smith.\n\nQ. When?\nA. Now.\n'
    assert texts(parsed(named))[0] == ('Who?', 'Ask Tom B. Smith.')


def test_an_answer_in_its_questions_line_is_cut_off() -> None:
    found = parsed('Q: Who sings? A: He does.\n\nQ: Is A: a label?\nA: No.\n')
    assert texts(found) == [('Who sings?', 'He does.'), ('Is A: a label?', 'No.')]
    bold = '**Question:** Who sings? **Answer:** He does.\n'
    assert texts(parsed(bold)) == [('Who sings?', 'He does.')]


def test_headings_above_pairs_are_topics_and_close_answers() -> None:
    text = '# All\n\nHello.\n\n'
    for topic, (question, answer) in zip(('Songs', 'Bills'), PAIRS, strict=True):
        text += f'# {topic}\n\n## Question\n{question}\n\n## Answer\n{answer}\n\n'
    found = parsed(text + '## Notes\n\nThe end.\n')
    assert texts(found) == PAIRS
    assert [pair.topic for pair in found.pairs] == ['Songs', 'Bills']
    assert ('left out', 'The end.') in [(w, t) for _, t, w in found.unknown]
    assert ('left out', 'Hello.') in [(w, t) for _, t, w in found.unknown]


@pytest.mark.parametrize(
    'title',
    [
        '== Of money',
        'Of money\n--------',
        '=== Money\n\nOf money\n========',
        '## Of money',
    ],
)
def test_titles_of_sections_are_no_part_of_the_answer_above(title: str) -> None:
    first, second = (f'Q: {asked}\n\nA: {answer}\n\n' for asked, answer in PAIRS)
    found = parsed(f'{first}{title}\n\n{second}')
    assert texts(found) == PAIRS
    assert found.pairs[1].topic == 'Of money'
    assert {piece.kind for piece in found.pieces} >= {'topic'}


@pytest.mark.parametrize(
    'end', ['She said:\nGo\n----', 'Yes\n\nOr no\n---', 'a == b', 'So\n-----']
)
def test_a_rule_below_a_text_makes_it_no_title(end: str) -> None:
    text = ''.join(f'Q: {asked}\n\nA: {end}\n\n' for asked, _ in PAIRS)
    answer = end.rstrip('-').rstrip()
    assert texts(parsed(text)) == [(asked, answer) for asked, _ in PAIRS]


def test_titles_in_capitals_are_no_part_of_the_answer_above() -> None:
    pairs = [f'Q: {q}\nA: {a}\n\n' for q, a in [*PAIRS, *PAIRS[::-1]]]
    text = f'FAQ\n\nMONEY\n\n{pairs[0]}{pairs[1]}LETTERS, AND WORDS\n\n{pairs[2]}'
    found = parsed(f'{text}\nYOUR CAR\n{pairs[3]}')
    assert texts(found) == [*PAIRS, *PAIRS[::-1]]
    assert [pair.topic for pair in found.pairs][2:] == [
        'LETTERS, AND WORDS',
        'YOUR CAR',
    ]
    assert found.counts['qa topics taken off answers'] == 2
    loud = text.replace('MONEY', 'Of money')  # nothing says that capitals are titles
    assert texts(parsed(loud))[1] == (
        PAIRS[1][0],
        f'{PAIRS[1][1]}\n\nLETTERS, AND WORDS',
    )
    for said in ('GOOD LUCK', 'NEVER!', 'MONEY'):
        shouted = text.replace('LETTERS, AND WORDS', said)
        assert texts(parsed(shouted))[1][1] == f'{PAIRS[1][1]}\n\n{said}'


@pytest.mark.parametrize('own', ['## Contact\n\nCall us.', '# Us\nAnn\n\n# You\n\nTom'])
def test_a_pages_own_section_below_its_last_answer_is_left_out(own: str) -> None:
    pairs = [*PAIRS, *PAIRS[::-1]]
    made = [f'Q: {q}\n\nA: {a}\n\n' for q, a in pairs]
    found = parsed(f'# FAQ\n\n{"".join(made)}{own}\n')
    assert texts(found) == pairs
    left = [line for _, line, _ in found.unknown]
    assert left == [*filter(None, own.split('\n'))]
    steps = '# One\n\nGo.\n\n# Two\n\nAsk.\n\n# Three\n\nStay.'
    long = parsed(''.join(made) + steps)
    assert texts(long)[-1] == (pairs[-1][0], f'{pairs[-1][1]}\n\n{steps}')
    among = f'{made[0]}## Note\n\nNo hurry.\n\n{"".join(made[1:])}'
    assert texts(parsed(f'{among}{own}\n'))[-1] == (
        pairs[-1][0],
        f'{pairs[-1][1]}\n\n{own}',
    )


@pytest.mark.parametrize('rule', ['▬▬▬▬▬▬ ', '——————', '~~~~~~~~~~', '++++++++++'])
def test_rules_of_any_sign_end_answers(rule: str) -> None:
    text = ''.join(f'Q: {asked}\n\nA:\n{answer}\n{rule}\n' for asked, answer in PAIRS)
    assert texts(parsed(text)) == PAIRS


def test_a_command_below_a_colon_is_no_heading() -> None:
    rows = [('How do I wake it?', 'Type this:\n# wake --now'), ('Why?', 'So.')]
    text = ''.join(f'Q: {asked}\nA: {answer}\n---\n' for asked, answer in rows)
    assert texts(parsed(text)) == rows


def test_blocks_above_all_questions_are_no_texts() -> None:
    rows = [*PAIRS, ('May I wait?', 'Do.\n\nFile: it there.')]
    head = 'File: {}.txt\nWay:\nHome\nHelp\n\n'
    blocks = [head.format(i) + f'Q: {a}\nA: {b}\n\n' for i, (a, b) in enumerate(rows)]
    found = parsed(''.join(blocks))
    assert texts(found) == rows
    assert found.counts['blocks file: above questions, left out'] == len(rows)
    assert found.unknown == []
    twice = ''.join(blocks[:2]) + 'File: kept\n\n' + blocks[2]
    assert 'Way:' in parsed(twice).pairs[0].answer


def test_other_labels_within_a_text_stay_there() -> None:
    choice = 'One.\nA: Or me.\nB: Or you.'
    found = parsed(f'Q: Which?\nA. One\nB. Two\nNote: no hurry.\nA: {choice}\n')
    assert texts(found) == [('Which?\nA. One\nB. Two\nNote: no hurry.', choice)]
    assert found.unknown == [(6, 'A: Or me.', 'kept in the answer')]


def test_a_second_answer_is_a_pair_of_the_same_group() -> None:
    first = 'Q: Who sings?\n\nA: He does.\n\nA: She does.\n\nA:\n\n'
    found = parsed(f'{first}Q: Why?\nA: So.\n')
    asked = 'Who sings?'
    assert texts(found) == [(asked, 'He does.'), (asked, 'She does.'), ('Why?', 'So.')]
    assert found.counts['qa further answers to a question'] == 2
    assert found.counts['qa questions unanswered'] == 1
    first, second, other = (pair.group for pair in found.pairs)
    assert first == second != other
    assert other == found.pairs[2].id


@pytest.mark.parametrize(
    'form',
    [
        'Input: {}\nOutput: {}\n\n',
        '[QUESTION]\n{}\n[ANSWER]\n{}\n\n',
        '[Q] {}\n[A] {}\n\n',
        'Question - {}\nAnswer - {}\n\n',
        'Question\n{}\n\nAnswer\n{}\n\n',
        'Question\n--------\n\n{}\n\nAnswer\n======\n\n{}\n\n',
        'QUESTION 1\n\n{}\n\nANSWER 1\n\n{}\n\n',
    ],
)
def test_labels_in_brackets_alone_or_of_input_and_output(form: str) -> None:
    asked = 'Is this it?\nA: Or that?\nA. Or those?'
    pairs = [*PAIRS, (asked, 'The answer\nis [A] that.'), (asked, 'All.')]
    found = parsed(''.join(form.format(*pair) for pair in pairs))
    assert texts(found) == pairs


def test_an_input_belongs_to_the_instruction_above_it() -> None:
    one = 'Instruction: Count.\nInput: 1, 2\nOutput: Two.\n\n'
    assert texts(parsed(one * 2))[0] == ('Count.\nInput: 1, 2', 'Two.')


@pytest.mark.parametrize(
    'text',
    [
        'Question\n\nThis is a chapter.\n\nNote\n\nSo is this.\n',
        'question\nWho?\nanswer\nMe.\n',
        'I said [a] this.\n[Q] is a letter.\n',
        'Answer\n\nIt is.\n\nQuestion\n\nWhy?\n',
        'Q: Who?\n\nAnswer\n\nMe.\n',
    ],
)
def test_words_of_prose_are_no_labels(text: str) -> None:
    assert labelled.kind(text) == ''


def test_questions_without_answers_are_counted() -> None:
    found = parsed('Q: Who?\n\nQ: Why?\nA: So.\n\nQ: When?\n')
    assert texts(found) == [('Why?', 'So.')]
    assert found.counts['qa questions'] == 3
    assert found.counts['qa questions unanswered'] == 2


def test_the_revised_response_of_a_set_is_the_answer() -> None:
    one = (
        'QUESTION: Who sings?\nDRAFT_RESPONSE: Tom.\nSCORE: 4/10\nSTRENGTHS:\n- short\n'
        'WEAKNESSES:\n- vague\nREVISED_RESPONSE: Tom does.\n\nAsk him.\n<END_OF_SET>\n'
    )
    two = 'QUESTION: Who pays?\nDRAFT_RESPONSE: You.\nSCORE: 2\n<END_OF_SET>\n'
    found = parsed(one + two, 'sets')
    assert texts(found) == [('Who sings?', 'Tom does.\n\nAsk him.')]
    assert found.counts['sets questions unanswered'] == 1
    assert found.counts['sets draft_response sections left out'] == 2
    assert found.counts['sets strengths sections left out'] == 1
    plain = 'QUESTION: Why?\nANSWER: So.\n<END_OF_SET>\n'
    both = plain.replace('<END', 'REVISED_RESPONSE: Because.\n<END')
    assert texts(parsed(one + plain + both, 'sets'))[1:] == [
        ('Why?', 'So.'),
        ('Why?', 'Because.'),
    ]
    asks = one.replace('Ask him.', 'Question: who else?')
    assert texts(parsed(asks + one, 'sets'))[0][1] == 'Tom does.\n\nQuestion: who else?'
    heads = one.replace(': ', ':\n\n').replace('\n', '\n\n')
    assert texts(parsed(heads, 'sets')) == [('Who sings?', 'Tom does.\n\nAsk him.')]


@pytest.mark.parametrize('salutation', ['DEAR {}: ', '**DEAR {}:** ', 'Dear {},\n\n'])
def test_letters_and_their_replies_are_pairs(salutation: str) -> None:
    text = ''
    for i, (question, answer) in enumerate(PAIRS):
        reader = ('Sad', 'Reader')[i]
        text += f'{salutation.format("Abby")}{question}\n\n-- {reader}\n\n'
        text += f'{salutation.format(reader)}{answer}\n\n'
    found = parsed(text, 'letters')
    assert texts(found) == [
        (f'{question}\n\n-- {name}', answer)
        for (question, answer), name in zip(PAIRS, ('Sad', 'Reader'), strict=True)
    ]


@pytest.mark.parametrize(
    'head', ['Abby:', '**Abby:**', 'Abby Vale:', 'Sad:', 'Sad in May:']
)
@pytest.mark.parametrize('gap', [' ', '\n\n'])
@pytest.mark.parametrize('end', ['\n', '\r'])
def test_a_reply_may_open_with_a_name_alone(head: str, gap: str, end: str) -> None:
    texts_of = [
        ('Who?\n\nTom: he sings.\n\n— Sad in May', 'He does.\n\nSad: no more.'),
        ('Why?\n— Glad in May', 'So.'),
    ]
    replies = [head, head.replace('Sad', 'Glad')]
    text = ''.join(
        f'Dear Abby:{gap}{question}\n\n{reply}{gap}{answer}\n\n'
        for (question, answer), reply in zip(texts_of, replies, strict=True)
    )
    found = parsed(text.replace('\n', end), 'letters')
    assert texts(found) == texts_of


@pytest.mark.parametrize(
    ('asked', 'answered'),
    [
        ('DEAR MISS MANNERS', 'GENTLE READER'),
        ('Dear Miss Manners', 'Gentle Reader'),
        ('Dear Miss Manners', 'GENTLE READER'),
    ],
)
def test_all_readers_may_be_gentle_ones(asked: str, answered: str) -> None:
    letters = ''.join(
        f'{asked}: {question}\n\n{answered}: {answer}\n\n' for question, answer in PAIRS
    )
    assert texts(parsed(letters, 'letters')) == PAIRS


@pytest.mark.parametrize('letter', ['DEAR ABBY: {}', 'DEAR ABBY:\n\n{}'])
def test_a_signature_with_a_comma_is_the_whole_name_of_the_reply(letter: str) -> None:
    text = ''.join(
        f'{letter.format(question)} -- BRIDE, {age}\n\nDEAR BRIDE, {age}: {answer}\n\n'
        for age, (question, answer) in enumerate(PAIRS, 29)
    )
    found = texts(parsed(text, 'letters'))
    assert [answer for _, answer in found] == [answer for _, answer in PAIRS]
    # Of another name, a comma ends the salutation.
    text = text.replace('DEAR BRIDE, ', 'DEAR BRIDE, so, ')
    assert texts(parsed(text, 'letters'))[0][1] == f'so, 29: {PAIRS[0][1]}'


def test_a_word_to_all_readers_answers_no_letter() -> None:
    found = parsed(
        'DEAR ABBY: Why? -- SAD\n\nDEAR SAD: So.\n\nDEAR READERS: Happy day.\n\n'
        'DEAR ABBY: Who? -- LOST\n\nDEAR ABBY: When?\n\nDEAR LATE: Now.\n',
        'letters',
    )
    assert texts(found) == [('Why? -- SAD', 'So.'), ('When?', 'Now.')]
    assert found.counts['letters questions unanswered'] == 1
    assert ('DEAR READERS: Happy day.') in [text for _, text, _ in found.unknown]


@pytest.mark.parametrize(
    'text',
    [
        'Dear diary,\n\nToday was dull.\n',
        'DEAR ABBY: Why?\n\nDEAR ABBY: Who?\n',
        'Questions and answers.\n\nA: an answer to nothing.\n',
        'Put it into <question> tags, then <answer> tags.\n\n<a>Here</a>\n',
        'Frage: wer?\n\nFrage: wo?\n\nQ - A quarter.\n',
        'Q: a question, and no more\n',
        'Q1 was good for us.\n\nA4 sheets sold well.\n\nQ2 Sales fell.\n',
    ],
)
def test_other_texts_are_of_no_layout(text: str) -> None:
    assert detection.detect(text) == ''
    assert labelled.kind(text) == ''


@pytest.mark.parametrize(
    ('form', 'layout'),
    [
        ('Q: {}\nA: {}\n\n', 'qa'),
        ('**Question:** {}\n\n**Answer:** {}\n\n', 'qa'),
        ('## Question\n{}\n## Answer\n{}\n\n', 'qa'),
        ('QUESTION: {}\nANSWER: {}\n\n', 'merged'),
        ('DEAR ABBY: {}\n\nDEAR SAD: {}\n\n', 'letters'),
    ],
)
def test_labels_within_a_fenced_block_are_text(form: str, layout: str) -> None:
    block = 'Write:\n\n```\nQ: why?\nA: so.\nQUESTION: why?\nANSWER: so.\n# Note\n```'
    pairs = [('How does it look?', block), ('And?', 'That is all.')]
    found = parsed(''.join(form.format(*pair) for pair in pairs), layout)
    assert texts(found) == pairs


def test_a_fence_that_is_not_closed_hides_no_labels() -> None:
    pairs = [('Who?', '```\nTom.'), ('Why?', 'Look:\n\n```python\nQ: x\n```')]
    assert texts(parsed(''.join(f'Q: {q}\nA: {a}\n\n' for q, a in pairs))) == pairs


@pytest.mark.parametrize(
    ('form', 'layout'),
    [
        ('Q: {}\nA: {}\n\n', 'qa'),
        ('QUESTION: {}\nANSWER: {}\n\n', 'merged'),
        ('DEAR ABBY: {}\n\nDEAR SAD: {}\n\n', 'letters'),
    ],
)
@pytest.mark.parametrize('below', ['---', '* * *', '=====', '---\n\n# Of money'])
def test_rules_and_headings_below_an_answer_are_not_of_it(
    form: str, layout: str, below: str
) -> None:
    found = parsed(f'{below}\n\n'.join(form.format(*pair) for pair in PAIRS), layout)
    assert texts(found) == PAIRS
    assert page.words(found.pieces)['answer'] == 4
    if layout != 'letters':
        assert found.pairs[1].topic == ('Of money' if 'money' in below else '')


def test_the_answer_of_a_line_has_a_label_like_its_questions() -> None:
    line = 'QUESTION: Is it A: yes? ANSWER: No.\n\nQUESTION: Why? ANSWER: So.\n'
    assert texts(parsed(line)) == [('Is it A: yes?', 'No.'), ('Why?', 'So.')]


def test_a_reply_above_a_word_to_all_has_no_headline() -> None:
    heads = [f'The Aunt of {name}' for name in ('Ann', 'Bob', 'Cid')]
    heads += ['DEAR READERS: Sing.'] * 4
    text = 'The Dog\n\n' + ''.join(
        f'DEAR ABBY: Why {i}? -- SAD\n\nDEAR SAD: So.\n\n{head}\n\n'
        for i, head in enumerate(heads)
    )
    found = parsed(text, 'letters')
    assert {answer for _, answer in texts(found)} == {'So.'}
    assert found.counts['letters topics taken off answers'] == 3


@pytest.mark.parametrize('above', ['# Of May', 'Ask Abby\nOctober 3, 2021'])
def test_a_heading_or_a_title_may_stand_above_letters(above: str) -> None:
    text = f'{above}\n\nDear Abby, who?\nSad\n\nDear Sad, Tom.\n'
    assert texts(parsed(text, 'letters')) == [('who?\nSad', 'Tom.')]


@pytest.mark.parametrize(
    'last',
    [
        'CONFIDENTIAL TO BLUE IN BOISE: Call him.',
        'Dear Abby is written by Ann Example, and was founded long ago.',
        'Write Dear Abby at www.example.com or P.O. Box 1.',
        '(You can email questions to askabby@example.com or by post.)',
    ],
)
def test_a_newspapers_lines_below_a_reply_are_not_of_it(last: str) -> None:
    text = f'DEAR ABBY: Who? -- SAD\n\nDEAR SAD: Tom.\n\n{last}\n\n'
    found = parsed(text + 'DEAR ABBY: Why? -- GLAD\n\nDEAR GLAD: So.\n', 'letters')
    assert texts(found) == [('Who? -- SAD', 'Tom.'), ('Why? -- GLAD', 'So.')]
    assert [text for _, text, _ in found.unknown] == [last]


@pytest.mark.parametrize(
    'form',
    [
        '## Question\n\n{}\n\n## Answer\n\n{}\n\n',
        '**Question:** {}\n\n**Answer:** {}\n\n',
    ],
)
def test_a_label_of_another_form_within_a_text_is_text_and_reported(form: str) -> None:
    pairs = [
        ('Who sings?\n\nQuestion: is it Tom?', 'He does.\n\nQuestion: who else?'),
        ('Who pays?\n\nAnswer: not me.', 'You.'),
        ('Who cooks?', 'She does.\n\nAnswer: for now.'),
    ]
    found = parsed(''.join(form.format(*pair) for pair in pairs))
    assert texts(found) == pairs
    assert len(found.unknown) == 4


OTHERS = 'Question: Who?\n\nAnswer: Tom.\n\n' * 6


@pytest.mark.parametrize('line', ['Question: is that so?', 'Answer: nobody knows.'])
def test_a_label_before_a_small_letter_that_parts_no_pair_is_text(line: str) -> None:
    found = parsed(f'{OTHERS}{line}\n\nYes.\n\n{OTHERS}')
    assert [pair.answer for pair in found.pairs] == [
        *['Tom.'] * 5,
        f'Tom.\n\n{line}\n\nYes.',
        *['Tom.'] * 6,
    ]
    assert [(text, where) for _, text, where in found.unknown] == [
        (line, 'kept in the answer')
    ]


@pytest.mark.parametrize('gap', [' ', '\n', '\n\n'])
def test_odd_labels_that_part_a_pair_are_reported(gap: str) -> None:
    found = parsed(f'{OTHERS}Question: is that so?{gap}Answer: no.\n\n{OTHERS}')
    assert texts(found)[6] == ('is that so?', 'no.')
    assert sorted(where for _, _, where in found.unknown) == [
        'read as a label of a question',
        'read as a label of an answer',
    ]
    heads = OTHERS.replace('Question:', '## Question\n').replace(
        'Answer:', '## Answer\n'
    )
    found = parsed(f'{heads}Question: is that so?{gap}Answer: no.\n\n{heads}')
    assert len(found.pairs) == 12
    assert 'Question: is that so?' in found.pairs[5].answer
    assert len(found.unknown) == 2


def test_few_further_answers_are_reported() -> None:
    found = parsed(f'{OTHERS}Answer: Or Ann.\n\n{OTHERS}')
    assert texts(found)[6] == ('Who?', 'Or Ann.')
    assert found.unknown == [(25, 'Answer: Or Ann.', 'read as a further answer')]


def test_questions_that_a_letter_counts_part_no_pair() -> None:
    letter = 'My aunt sings.\n\nQuestion 1: is it rude?\nQuestion 2: May I hum?'
    text = f'Question: {letter}\n\nAnswer: It is.\n\n' + OTHERS
    found = parsed(text)
    assert texts(found)[0] == (letter, 'It is.')
    assert {why for _, _, why in found.unknown} == {'kept in the question'}
    counted = 'Question 1: Who?\n\nQuestion 2: Why?\n\nAnswer 2: So.\n\n'
    assert texts(parsed(counted + 'Question 3: Me?\n\nAnswer 3: You.\n')) == [
        ('Why?', 'So.'),
        ('Me?', 'You.'),
    ]


def test_pairs_of_a_rarer_form_are_pairs() -> None:
    heads = ''.join('## Question\n{}\n\n## Answer\n{}\n\n'.format(*p) for p in PAIRS)
    found = parsed(f'{heads}Question: Who cooks?\n\nAnswer: She does.\n')
    assert texts(found) == [*PAIRS, ('Who cooks?', 'She does.')]


def test_a_set_may_stand_on_one_line() -> None:
    text = ''.join(
        f'QUESTION: {asked} DRAFT_RESPONSE: Hm. SCORE: 4 STRENGTHS: Short. '
        f'WEAKNESSES: Rude. REVISED_RESPONSE: {answer} <END_OF_SET>\n'
        for asked, answer in (('Who?', 'SCORE: none.'), ('Me?', 'STRENGTHS: all.'))
    )
    assert texts(parsed(text, 'sets')) == [
        ('Who?', 'SCORE: none.'),
        ('Me?', 'STRENGTHS: all.'),
    ]


@pytest.mark.parametrize(
    ('draft', 'revised'),
    [
        ('DRAFT_ANSWER', 'REVISED_ANSWER'),
        ('DRAFT', 'FINAL_RESPONSE'),
        ('INITIAL_RESPONSE', 'IMPROVED RESPONSE (v2)'),
    ],
)
def test_sections_of_a_set_may_have_other_names(draft: str, revised: str) -> None:
    pairs = [('Who?\n\nDraft: me.', 'Tom.\n\nFinal answer: Tom.'), ('Me?', 'You.')]
    text = ''.join(
        f'QUESTION:\n{asked}\n\n{draft}:\nHm.\n\nSCORE: 7.5\n\nWEAKNESSES:\n- rude\n\n'
        f'{revised}:\n{answer}\n<END_OF_SET>\n\n'
        for asked, answer in pairs
    )
    assert texts(parsed(text, 'sets')) == pairs
    odd = text.replace('You.', 'You.\nEDITOR_NOTE: good')
    assert parsed(odd, 'sets').unknown[-1][1] == 'EDITOR_NOTE: good'
    # Without sections they are words of a text.
    plain = 'QUESTION: Who?\nDRAFT: me.\nANSWER: Tom.\nFINAL_ANSWER: Tom.\n'
    assert texts(parsed(plain, 'merged')) == [
        ('Who?\nDRAFT: me.', 'Tom.\nFINAL_ANSWER: Tom.')
    ]


def test_the_names_of_sections_within_a_line_are_text() -> None:
    pairs = [('What is my SCORE: 3?', 'It is low. STRENGTHS: none.')] * 2
    form = 'QUESTION: {}\nDRAFT_RESPONSE: Hm.\nREVISED_RESPONSE: {}\n<END_OF_SET>\n'
    assert texts(parsed(''.join(form.format(*p) for p in pairs), 'sets')) == pairs


@pytest.mark.parametrize(
    ('own', 'other'),
    [
        ('QUESTION: {}\nANSWER: {}', 'Frage: {}\nAntwort: {}'),
        ('QUESTION: {}\nANSWER: {}', 'Q: {}\nA: {}'),
        ('## Question\n{}\n\n## Answer\n{}', 'Prompt: {}\nResponse: {}'),
    ],
)
def test_pairs_under_labels_of_another_form_are_reported(own: str, other: str) -> None:
    texts = ('Who waters plant {}?', 'You do, as you bought all {} of them.')
    made = [own.format(*texts).format(i, i) for i in range(9)]
    text = '\n\n'.join([*made[:5], other.format(*texts).format(9, 9), *made[5:]])
    layout = detection.detect(text)
    found = detection.parse(text, layout=layout, file='f.md')
    assert len(found.pairs) == 9
    ((_, line, where),) = found.unknown
    assert line == other.format(*texts).format(9, 9).split('\n')[0]
    assert where == 'a label of another form, kept in the answer'
    alone = '\n\n'.join([*made, 'Answer: a word that opens a paragraph.'])
    plain = detection.parse(alone, layout=layout, file='f.md').unknown
    assert not [each for each in plain if 'another form' in each[2]]


def test_marks_around_a_whole_line_go_with_its_label() -> None:
    below = '**Q: Who *sings*?\n\n**Tom**? Or __Ann__?**\n\nA: **He** does.\n\n'
    asked = 'Who *sings*?\n\n**Tom**? Or __Ann__?'
    found = parsed(below * 2)
    assert texts(found) == [(asked, '**He** does.')] * 2
    assert ''.join(piece.text for piece in found.pieces) == below.replace('\n', '') * 2
    for form in ('3. **Q: {}**\n\n   A: {}\n\n', '> **Q:** {}\n>\n> **A:** {}\n\n'):
        text = ''.join(form.format(*pair) for pair in [('Why?', 'So.')] * 2)
        assert texts(parsed(text)) == [('Why?', 'So.')] * 2


@pytest.mark.parametrize('layout', ['qa', 'merged'])
@pytest.mark.parametrize(
    'form',
    [
        'ID: 3\n{}: Who pays?\n{}: You.\n\n',
        '{}: Who pays?\nTags: money\n{}: You.\n\n',
        '{}: Who pays?\n{}: You.\nAnswered by: Tom\n\n',
        '{}: Who pays?\n{}: You.\n\n**Source:** a book\n\n---\n\n',
    ],
)
def test_lines_of_fields_that_stand_with_each_pair_are_counted(
    form: str, layout: str
) -> None:
    labels = ('QUESTION', 'ANSWER') if layout == 'merged' else ('Q', 'A')
    found = parsed(form.format(*labels) * 3, layout)
    assert texts(found) == [('Who pays?', 'You.')] * 3
    (counted,) = (name for name in found.counts if name.startswith('lines '))
    assert found.counts[counted] == 3


def test_a_line_of_a_field_in_one_answer_of_many_is_of_its_text() -> None:
    text = 'Q: Who pays?\nA: You.\n\n' * 3
    found = parsed(text + 'Q: Who says so?\nA: He does.\nSource: my sister.\n')
    assert texts(found)[3] == ('Who says so?', 'He does.\nSource: my sister.')


def test_letters_of_choices_and_of_speakers_are_no_labels() -> None:
    choice = 'Q: Which?\nA: Tom\nB: Ann\nC: Bob\nD: Sue\n'
    found = parsed(choice + '\nQ: Who?\nA: You.\nP: Not me.\n')
    assert texts(found)[1] == ('Who?', 'You.\nP: Not me.')
    assert found.unknown == []
    assert detection.detect('D: Why?\nA: So.\n\np: Why?\nr: So.\n') == ''


@pytest.mark.parametrize(
    ('form', 'layout'),
    [
        ('Q: {}\n\nA: {}\n\n', 'qa'),
        ('Question: {}\nAnswer: {}\n\n', 'qa'),
        ('DEAR ABBY: {}\n\nDEAR SAD: {}\n\n', 'letters'),
    ],
)
def test_a_headline_above_each_question_ends_no_answer(form: str, layout: str) -> None:
    heads = ['Wedding woes', '**Money again**', 'The lake house']
    text = ''.join(f'{head}\n\n' + form.format('Who pays?', 'You.') for head in heads)
    found = parsed(text, layout)
    assert texts(found) == [('Who pays?', 'You.')] * 3
    assert [pair.topic for pair in found.pairs[1:]] == ['Money again', 'The lake house']
    assert found.counts[f'{layout} topics taken off answers'] == 2
    for end in ('\n\nGood luck to all', '\nWith love', ''):
        own = ''.join(form.format('Who pays?', f'You {i}.{end}') for i in range(3))
        answers = [answer for _, answer in texts(parsed(own, layout))]
        assert answers == [f'You {i}.{end}' for i in range(3)]


def test_short_last_lines_are_no_headlines_where_the_first_pair_has_none() -> None:
    ends = ['\n\nAnyone else?', '\n\nReaders, what now?', '', '']
    answers = [f'You {i}.{end}' for i, end in enumerate(ends)]
    text = ''.join(f'Q: Who pays?\n\nA: {each}\n\n' for each in answers)
    assert [answer for _, answer in texts(parsed(text))] == answers
    form = 'QUESTION: Who?\nREVISED_RESPONSE: {}\n<END_OF_SET>\n'
    sets = '# Sets\n\n' + ''.join(map(form.format, answers))
    assert [answer for _, answer in texts(parsed(sets, 'sets'))] == answers


@pytest.mark.parametrize(
    'text',
    [
        'Q1: Who sings?\nQ2: Who pays?\nQ3: Why?\n\nA1: Tom.\nA2: You.\nA3: So.\n',
        'Q: Who sings?\n\nQ: Who pays?\n\nA: Tom does.\n\nA: You do.\n',
        'A: Tom does.\nQ: Who sings?\n\nA: You do.\nQ: Who pays?\n',
    ],
)
def test_questions_apart_from_their_answers_make_no_pairs(text: str) -> None:
    for each in (text, text.replace('Q:', 'QUESTION:').replace('A:', 'ANSWER:')):
        found = detection.parse(each, layout=detection.detect(each), file='f.md')
        assert texts(found) == [] and found.dropped


def test_a_second_answer_below_one_question_without_any_stays_a_pair() -> None:
    found = parsed('Q: Why?\n\nQ: Who?\nA: Tom.\n\nQ: When?\nA: Now.\nA: Never.\n')
    assert texts(found) == [('Who?', 'Tom.'), ('When?', 'Now.'), ('When?', 'Never.')]
    # A part of another file, whose pairs blank lines part.
    rest = parsed('A: Cut off.\n\nQ: Who?\nA: Tom.\n\nQ: When?\nA: Now.\n\nQ: Why?\n')
    assert texts(rest) == [('Who?', 'Tom.'), ('When?', 'Now.')]


@pytest.mark.parametrize('label', [('Q', 'A'), ('QUESTION', 'ANSWER')])
@pytest.mark.parametrize('line', ['Page {} of 4', 'From issue {} of our paper'])
def test_numbered_lines_below_all_answers_are_no_part_of_the_last(
    label: tuple[str, str], line: str
) -> None:
    asked, answered = label
    text = ''.join(
        f'{asked}: Who sings {i}?\n\n{answered}: Tom does {i}.\n\n{line.format(i)}\n\n'
        for i in range(1, 5)
    )
    found = detection.parse(text, layout=detection.detect(text), file='f.md')
    assert [pair.answer for pair in found.pairs] == [
        f'Tom does {i}.' for i in range(1, 5)
    ]


@pytest.mark.parametrize('label', [('Question', 'Answer'), ('QUESTION', 'ANSWER')])
def test_sections_beside_all_pairs_are_left_out_and_counted(
    label: tuple[str, str],
) -> None:
    asked, answered = label
    for section, place in (('Context', 0), ('Comment', 2), ('Wrong answer', 1)):
        text = ''
        for question, answer in PAIRS:
            parts = [f'{asked}: {question}', f'{answered}: {answer}']
            parts.insert(place, f'{section}: Tom sang.\n\nTwice.')
            text += '\n\n'.join(parts) + '\n\n'
        found = detection.parse(text, layout=detection.detect(text), file='f.md')
        assert texts(found) == PAIRS
        assert found.counts[f'sections {section.lower()}: of pairs, left out'] == 2


def test_a_section_of_one_pair_stays_a_text_of_it() -> None:
    text = ''.join(f'Question: {q}\nAnswer: {a}\n\n' for q, a in PAIRS * 4)
    text += 'Question: Why?\nAnswer: So.\nComment: I mean it.\n'
    assert texts(parsed(text))[-1] == ('Why?', 'So.\nComment: I mean it.')
    context = 'Question: Why?\nContext: It rains.\nAnswer: So.\n\n'
    assert texts(parsed(context * 3))[0] == ('Why?\nContext: It rains.', 'So.')


@pytest.mark.parametrize('words', ['Q A', 'Question Answer'])
def test_pairs_on_one_line_are_parted(words: str) -> None:
    asked, answered = words.split()
    pairs = [('Who sings?', 'Tom does.'), ('Why?', 'So “he” says.'), ('When?', 'Now')]
    line = ' '.join(f'{asked}: {q} {answered}: {a}' for q, a in pairs)
    assert texts(parsed(line + '\n')) == pairs
    within = f'{asked}: Why? {answered}: He wrote {asked}: why and {answered}: so.\n'
    assert len(texts(parsed(within))) == 1


@pytest.mark.parametrize(
    ('above', 'below'),
    [
        ('Q: {}\nA: {}\n\n', 'Question: {}\nAnswer: {}\n\n'),
        ('QUESTION: {}\n\nANSWER: {}\n\n', 'Q: {}\n\nA: {}\n\n'),
        ('## Question\n{}\n## Answer\n{}\n\n', '**Q:** {}\n\n**A:** {}\n\n'),
    ],
)
def test_a_file_put_behind_one_of_other_labels_is_read(above: str, below: str) -> None:
    rows = [(f'Who sings {i}?', f'Tom does {i}.') for i in range(6)]
    text = ''.join(above.format(*row) for row in rows[:3])
    lines = text.count('\n')
    text += ''.join(below.format(*row) for row in rows[3:])
    found = detection.parse(text, layout=detection.detect(text), file='f.md')
    assert texts(found) == rows and not found.unknown
    assert found.pairs[3].line == lines + 1
    whole: dict[int, str] = {}
    for piece in found.pieces:
        whole[piece.line] = whole.get(piece.line, '') + piece.text
    assert whole == {piece.line: piece.text for piece in page.raw_lines(text)}


@pytest.mark.parametrize('posts', [3, 9])
@pytest.mark.parametrize(
    'opening',
    ['', 'Marian ValeAdvice Columnist11:01 a.m.\nHello.\n95Press Enter to expand\n'],
)
def test_a_chat_put_behind_merged_pairs_is_read(posts: int, opening: str) -> None:
    rows = [(f'Who sings {i}?', f'Tom does {i}.') for i in range(4 + posts)]
    text = ''.join(f'QUESTION: {q}\nANSWER: {a}\n\n' for q, a in rows[:4])
    text += opening
    for i, (asked, answer) in enumerate(rows[4:]):
        text += (
            f'The song of {i}\nGuest11:0{i} a.m.\nQUESTION: {asked}\navatar\n'
            f'Marian Vale\nAdvice Columnist\nANSWER: {answer}\n'
            'Post has 0 replies and 9 Likes\n'
        )
    found = detection.parse(text, layout=detection.detect(text), file='f.md')
    assert texts(found) == rows and not found.unknown
    assert found.pairs[4].topic == 'The song of 0'


@pytest.mark.parametrize(
    'drafts', ['Tom.', 'Tom.\n\nEVALUATION:\nScore: 7.0\n\nToo short.']
)
@pytest.mark.parametrize('edges', ['<BEGIN_EXAMPLE> </END_EXAMPLE>', ' <END_OF_SET>'])
def test_drafts_between_questions_and_outputs_are_left_out(
    drafts: str, edges: str
) -> None:
    begins, ends = edges.split(' ')
    form = (
        f'{begins}\n\nINPUT:\nRevise the answer.\n\nRUBRIC:\n- Be kind.\n\n'
        'QUESTION:\n{}\n\n'
        f'DRAFT_RESPONSE:\n{drafts}\n\nOUTPUT: \n{{}}\n{ends}\n'
    )
    rows = [('Who sings?', 'Tom does.\n\nScore: 3 of 4.'), ('Who pays?', 'You.')]
    found = parsed(''.join(form.format(*row) for row in rows), 'sets')
    assert texts(found) == rows
    assert found.counts['sets draft_response sections left out'] == 2
    as_merged = form.replace('OUTPUT', 'ANSWER')
    assert (
        texts(parsed(''.join(as_merged.format(*row) for row in rows), 'sets')) == rows
    )


@pytest.mark.parametrize('labels', ['QUESTION ANSWER', 'Q A'])
@pytest.mark.parametrize('edges', ['<BEGIN_EXAMPLE>|</END_EXAMPLE>', '|<END OF SET>'])
def test_marks_of_sets_are_no_text(labels: str, edges: str) -> None:
    (begins, ends), (asked, answered) = edges.split('|'), labels.split()
    form = f'{begins}\n{asked}: {{}}\n{answered}: {{}}\n\n{ends}\n\n'
    rows = [('Who sings?', 'Tom does.'), ('Who pays?', 'You do.'), ('Why?', 'So.')]
    text = ''.join(form.format(*row) for row in rows)
    layout = detection.detect(text)
    assert texts(detection.parse(text, layout=layout, file='f.md')) == rows


def test_one_draft_in_an_answer_is_text_of_it() -> None:
    rows = [
        ('Who sings?', 'Tom.\nDRAFT_RESPONSE: Hm.'),
        ('Who?', 'Ann.'),
        ('Why?', 'So.'),
    ]
    text = ''.join(f'Question: {q}\nAnswer: {a}\n\n' for q, a in rows)
    assert texts(parsed(text)) == rows


def test_a_programs_output_answers_no_letter() -> None:
    text = '\tq4: (error) no file\n\tq4: (warning) none\n\n\toutput:\n\n\t  HASH\n'
    assert detection.detect(text) == ''
    assert detection.detect(text.replace('output', 'Answer')) == 'qa'


def test_titles_of_sections_are_no_part_of_the_answers_above_them() -> None:
    titles = ['Visits at night', 'Money', 'Songs']
    pairs = [(f'Q: Who stays, {i}?', f'A: Tom, of {i}.') for i in range(3)]
    rule = '=' * 60
    forms = [
        '\n\n{number}. {title}\n   {under}\n\n',
        f'\n\n{rule}\n\n{{number}}. {{title}}\n\n{rule}\n\n',
        '\n\n{title}\n\n',
    ]
    contents = '\n'.join(f'  {i}. {each}' for i, each in enumerate(titles))
    for form in forms:
        text = f'Contents\n\n{contents}'
        for i, (title, pair) in enumerate(zip(titles, pairs, strict=True)):
            head = form.format(number=i, title=title, under='=' * len(title))
            text += head + '\n'.join(pair)
        found = detection.parse(text, layout=detection.detect(text), file='a.txt')
        made = [f'Q: {pair.question}\nA: {pair.answer}' for pair in found.pairs]
        assert made == ['\n'.join(pair) for pair in pairs], form
        assert sum(piece.kind == 'topic' for piece in found.pieces) >= 2
    # A line of an answer that stands nowhere else is the answer's.
    alone = 'Q: Who?\n\nA: Tom.\n\nVisits at night\n\nQ: When?\n\nA: At nine.'
    found = detection.parse(alone, layout='qa', file='a.txt')
    assert found.pairs[0].answer == 'Tom.\n\nVisits at night'


def test_a_text_above_several_questions_is_no_part_of_the_answer_above() -> None:
    texts_above = [
        'T: Tom sings at nine.',
        'T:Ann pays.',
        'T: He stays,\nand she goes.',
    ]
    pairs = [f'Q: Who, {i}?\nA: Tom, of {i}.\n' for i in range(6)]
    blocks = zip(texts_above, pairs[::2], pairs[1::2], strict=True)
    text = '\n------------\n\n'.join('\n'.join(each) for each in blocks)
    found = parsed(text)
    assert texts(found) == [(f'Who, {i}?', f'Tom, of {i}.') for i in range(6)]
    assert found.counts['blocks t: above questions, left out'] == 3
    own = text.replace('Tom, of 0.', 'Tom.\n\nT: is he.\n\nYes.')
    assert parsed(own).counts['blocks t: above questions, left out'] == 0


@pytest.mark.parametrize(
    'signed',
    ['--\nAnn <ann@b.org>', '-- \nAnn', ' -- Ann B <a@b.org>  Wed, 13 May 2009'],
)
def test_a_signature_below_the_last_answer_is_the_files(signed: str) -> None:
    form = '\n'.join(f'Q: Who, {i}?\nA: Tom, of {i}.\n' for i in range(3))
    made = texts(parsed(f'{form}\n{signed}\n'))
    assert made == [(f'Who, {i}?', f'Tom, of {i}.') for i in range(3)]
    within = texts(parsed(f'{form}\nSo:\n--\nGo.\n\nStay, he says. Or go.\n'))
    assert within[-1][1].endswith('Stay, he says. Or go.')


def test_a_hosts_farewell_is_no_part_of_the_last_answer() -> None:
    hello, bye = 'Ann Lee: Good afternoon.', 'Ann Lee: Thanks, all.\n\nSee you.'
    pairs = 'Q. Loan: Do I ask?\n\nA: Once.\n\nQ. Dad: Do I go?\n\nA: Go.\n\n'

    found = parsed(f'{hello}\n\n{pairs}{bye}')
    assert texts(found) == [('Loan: Do I ask?', 'Once.'), ('Dad: Do I go?', 'Go.')]
    said = [text for _, text, where in found.unknown if where == 'left out']
    assert said == [hello, 'Ann Lee: Thanks, all.', 'See you.']
    # Who was not heard above may stand in an answer.
    assert texts(parsed(f'Hello.\n\n{pairs}{bye}'))[1][1] == f'Go.\n\n{bye}'


def test_the_result_of_a_sum_is_its_answers() -> None:
    """`#### 5` right below an answer, as GSM8K writes it, is no heading."""
    sums = ['2 + 3 = 5', '4 - 1 = 3', '6 + 2 = 8']
    text = ''.join(
        f'Question: How many are {each[:5]}?\nAnswer: They are {each}.\n'
        f'#### {each[-1]}\n\n'
        for each in sums
    )
    answers = [pair.answer for pair in parsed(text).pairs]
    assert answers == [f'They are {each}.\n#### {each[-1]}' for each in sums]
    headed = text.replace('\n####', '\n\n#')
    assert parsed(headed).pairs[0].answer == 'They are 2 + 3 = 5.'
