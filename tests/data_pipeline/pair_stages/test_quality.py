import dataclasses
import pathlib
import re

import pytest

from data_pipeline import settings
from data_pipeline.pair_stages import language, quality, stage_ledger, stages
from data_pipeline.reading import reader
from hax_jax.data import records

SHARED = pathlib.Path(__file__).parents[4] / 'shared' / 'data'
PAIR = records.QaPair(
    'p', 'p', 'reddit:advice', 'a.md', 1, '', '', 'Why is he late?', 'Ask him so.', 3
)
SPANISH = (
    'Hola, mi novio y yo llevamos tres años juntos y no sé qué hacer con su madre, que '
    'siempre está en casa y no nos deja en paz ni un solo día.'
)


def outcome(chosen: dict[str, object], **fields: object) -> stages.Outcome:
    stage = quality.stage(settings.QualitySettings(**chosen))
    return stage.apply(dataclasses.replace(PAIR, **fields))


@pytest.mark.parametrize(
    ('chosen', 'fields', 'reason'),
    [
        ({'min_question_tokens': 5}, {}, 'question under 5 words'),
        ({'max_question_tokens': 3}, {}, 'question over 3 words'),
        ({'min_answer_tokens': 4}, {}, 'answer under 4 words'),
        ({}, {'answer': 'Ask him.'}, 'answer under 3 words'),
        ({}, {'answer': 'Ask - him -'}, 'answer under 3 words'),
        ({}, {'answer': '147'}, 'answer under 3 words'),
        ({'keep_yes_no': True}, {'answer': 'Good question.'}, 'answer under 3 words'),
        ({'min_answer_tokens': 0}, {'answer': '... !!! 👏👏'}, 'answer without a word'),
        ({'max_answer_tokens': 2, 'min_answer_tokens': 2}, {}, 'answer over 2 words'),
        ({}, {'question': SPANISH}, 'question in another language than en'),
        ({}, {'answer': SPANISH}, 'answer in another language than en'),
        ({}, {'answer': 'no ' * 60}, 'answer repeats itself'),
        ({}, {'answer': 'https://www.a.org/b.'}, 'answer of links alone'),
        ({}, {'answer': '[URL]\n- [URL]'}, 'answer of links alone'),
        ({}, {'question': './img/Quiz_7.PNG'}, 'question of links alone'),
        ({'drop_title_only': True}, {'flags': ('title only',)}, 'title only'),
        ({'min_score': 4}, {}, 'score under 4'),
        (
            {},
            {
                'answer': 'Rules.\n\nI am a bot, and this action was performed '
                'automatically. Please contact the moderators.'
            },
            'answer by a bot',
        ),
        ({}, {'answer': 'He is 30.\n\n^(Beep boop! I count ages)'}, 'answer by a bot'),
    ],
)
def test_a_broken_rule_drops_the_pair_with_its_reason(
    chosen: dict[str, object], fields: dict[str, object], reason: str
) -> None:
    dropped = outcome(chosen, **fields)
    assert isinstance(dropped, stages.Dropped)
    assert dropped.reason == reason


@pytest.mark.parametrize(
    ('answer', 'is_missing'),
    [
        ('No answer yet.', True),
        ('*No answers yet*', True),
        ('There is no reply so far.', True),
        ('Not answered yet.', True),
        ('(Unanswered)', True),
        ('TBD', True),
        ('To be determined.', True),
        ('T.B.A.', True),
        ('Coming soon...', True),
        ('Answer coming soon!', True),
        ('No answer.', False),
        ('No answer yet? Call him again.', False),
        ('TBD is short for to be determined.', False),
        ('Unanswered letters hurt.', False),
        ('He is coming soon.', False),
    ],
)
def test_an_answer_that_says_it_is_missing_is_none(
    answer: str, is_missing: bool
) -> None:
    found = outcome(OFF, answer=answer)
    reason = found.reason if isinstance(found, stages.Dropped) else ''
    assert reason == 'answer that says it is missing' * is_missing


OFF = {
    'languages': (),
    'max_repetition': 1.0,
    'drop_link_only': False,
    'drop_bots': False,
    'min_answer_tokens': 0,
}


@pytest.mark.parametrize(
    ('chosen', 'fields'),
    [
        ({}, {}),
        ({'min_question_tokens': 4, 'max_question_tokens': 4}, {}),
        ({'min_answer_tokens': 3, 'max_answer_tokens': 3}, {}),
        ({'min_answer_tokens': 2}, {'answer': 'Ask him.'}),
        ({'languages': ()}, {'answer': '你应该告诉她。'}),  # one run, six words
        ({'keep_yes_no': True}, {'answer': 'Yes.'}),
        ({'keep_yes_no': True}, {'answer': 'No way!'}),
        ({'keep_yes_no': True}, {'answer': '$1,200'}),
        ({'keep_yes_no': True}, {'answer': '40 miles'}),
        ({'min_score': 3}, {}),
        ({'min_score': 9}, {'source': 'chat', 'score': 0}),
        ({}, {'flags': ('title only',)}),
        ({'languages': ('en', 'es')}, {'answer': SPANISH}),
        ({}, {'answer': '¡Muchas gracias, señora!'}),  # too few words to be sure
        ({}, {'answer': 'Look here: https://a.org/b'}),
        ({}, {'answer': 'He wrote "I am a bot" and left, beep boop.'}),
        ({}, {'answer': '> I am a bot, and this action was performed automatically'}),
        (OFF, {'answer': SPANISH}),
        (OFF, {'answer': 'no ' * 60}),
        (OFF, {'answer': 'https://www.a.org/b.'}),
        (OFF, {'answer': 'I am a bot, and this action was performed automatically.'}),
    ],
)
def test_a_pair_that_breaks_no_rule_stays_as_it_is(
    chosen: dict[str, object], fields: dict[str, object]
) -> None:
    kept = outcome(chosen, **fields)
    assert isinstance(kept, stages.Kept)
    assert (kept.pair, kept.changes) == (dataclasses.replace(PAIR, **fields), ())


def test_a_text_too_short_to_tell_its_language_is_noted() -> None:
    twenty, short = ' '.join(['We walk home.'] * 7), 'Warum denn nicht so?'
    name = 'with a text too short to tell its language'

    def notes(chosen: dict[str, object], **fields: object) -> object:
        kept = outcome({'max_repetition': 1.0, **chosen}, **fields)
        return getattr(kept, 'notes', kept)

    assert notes({}, question=twenty, answer=short) == (stages.Note(name, short),)
    assert notes({}, question=short, answer=twenty) == (stages.Note(name, short),)
    assert notes({}, question=twenty, answer=twenty) == ()
    assert notes({'languages': ()}, question=short, answer=short) == ()
    twelve = ' '.join(['We walk home.'] * 4)
    assert notes({}, question=twelve, answer=twelve) == ()  # judged as one


@pytest.mark.parametrize(
    ('question', 'answer', 'reason'),
    [
        (
            'Ist das richtig so mit meinem Nachbarn, der immer laut ist?',
            'Nein, und du solltest mit ihm reden, sobald du kannst.',
            'texts in another language than en',
        ),
        (
            '我妈妈每天都给我打电话，我不知道该怎么告诉她我需要一些空间。我应该怎么办？',
            'Tell her.',
            'question in another language than en',
        ),
        (
            'My mother calls me every day. How do I tell her?',
            '告诉她你爱她，然后约好每周日下午打电话，其他的日子你就可以安静地过了。',
            'answer in another language than en',
        ),
    ],
)
def test_short_texts_are_judged_as_one_and_scripts_without_blanks_by_signs(
    question: str, answer: str, reason: str
) -> None:
    found = outcome({}, question=question, answer=answer)
    assert isinstance(found, stages.Dropped)
    assert found.reason == reason
    assert isinstance(outcome(OFF, question=question, answer=answer), stages.Kept)


def test_lengths_are_counted_with_a_tokenizer_if_one_is_given(
    gpt2_tokenizer_folder: pathlib.Path,
) -> None:
    # GPT-2 counts a full stop, too: 'Ask', ' him', ' so', '.' are four tokens.
    chosen = {'tokenizer': str(gpt2_tokenizer_folder), 'max_answer_tokens': 3}
    assert outcome(chosen) == stages.Dropped('answer over 3 tokens', '4 tokens')
    chosen['max_answer_tokens'] = 4
    kept = outcome({**chosen, 'languages': ()})
    assert kept == stages.Kept(PAIR)


def test_repetition_is_the_share_of_ngrams_that_were_there_before() -> None:
    assert quality.repetition('no ' * 50) == pytest.approx(45 / 46)
    assert quality.repetition('no ' * 49) == 0.0
    assert quality.repetition(' '.join(map(str, range(60)))) == 0.0


def test_languages_are_told_apart() -> None:
    assert language.identify(SPANISH)[0] == 'es'
    assert {'en', 'es', 'fr', 'de'} < set(language.known())


def test_a_foreign_quotation_before_somebodys_own_words_is_no_foreign_text() -> None:
    english = (
        'That is what my mother used to say whenever my father came home late, and she '
        'was right about most of it. I have thought about her a great deal since your '
        'letter arrived. You should not wait for him to change, because people who are '
        'comfortable rarely do; instead, decide what you would like your own evenings '
        'to look like, tell him once, kindly, and then begin without him. Call your '
        'sister, take that pottery class, eat at seven. If he notices, good. If he '
        'does not, you will have learned something, and you will know how to make a '
        'bowl. Either way nobody will be standing by the window with a cold dinner.'
    )
    quoting = SPANISH * 5 + ' ' + english
    assert language.is_foreign(SPANISH * 5, ('en',), confidence=0.95) == 'es'
    assert language.is_foreign(quoting, ('en',), confidence=0.95) == ''
    assert language.is_foreign(english, ('es',), confidence=0.95) == 'en'


def test_of_real_pairs_only_the_briefest_answers_are_dropped() -> None:
    if not SHARED.is_dir():
        pytest.skip('the real files are not here: ../shared/data is absent')
    patterns = [str(SHARED / kind / '*.md') for kind in ('chats', 'reddit')]
    pairs, _ = reader.read(patterns)
    stage = quality.stage(settings.QualitySettings())
    ledger = stage_ledger.Ledger()
    for pair, (_, reason) in zip(pairs, ledger.run(pairs, [stage]), strict=True):
        words = re.findall(r'\w+', pair.answer)
        assert bool(reason) == (len(words) < 3)
