"""Of near copies the clean one stays, and the rule that decided is named."""

import dataclasses

import pytest
import stores

from data_pipeline.all_pairs import caps_and_weights, copies, near_duplicates
from data_pipeline.pages import merged
from data_pipeline.pair_stages import stage_ledger
from hax_jax.data import records

CLEAN = (
    'A ladder is no present, and a neighbour is no bank. Your brother knows both of '
    'these things, since he counts his own spoons after each dinner of the family. '
    'Tell your brother what the ladder cost. Then tell him when you want it back, and '
    'mean it. People who borrow things count on others to be shy. You need not be.'
)
ASKED = (
    'My brother borrowed our ladder in May, lent it to a neighbour in June, and says '
    'that he never had one. How do I get it back without a quarrel at the wedding?'
)
MORE = ' If he laughs, laugh too.\n\nAnd then send the bill. He will know why.'


def pair(
    name: str, answer: str, *, question: str = ASKED, **fields: object
) -> records.QaPair:
    made = records.QaPair(name, name, 'pairs', 'a.jsonl', 1, '', '', question, answer)
    return dataclasses.replace(made, **fields)


def decided(*pairs: records.QaPair) -> tuple[list[str], dict[str, str]]:
    """The ids that stay, and the reason for each that goes, in both orders."""
    results = []
    for ordered in (pairs, pairs[::-1]):
        with stores.filled(ordered) as store:
            near_duplicates.find(store, stores.CHOSEN)
            near_duplicates.drop(store)
            gone = {name: reason for name, _, reason in stores.gone(store)}
            results.append((stores.kept_ids(store), gone))
    assert results[0] == results[1]
    return results[0]


@pytest.mark.parametrize(
    'dirty',
    [
        CLEAN + '\n1125',
        CLEAN + ' 1125',
        CLEAN + '\nand',
        CLEAN + '\n\n12\nLikes',
        'ANSWER: ' + CLEAN,
        '**Answer:**\n' + CLEAN,
        '<p>' + CLEAN + '</p><br>',
        CLEAN.replace(' Then', '<br><span class="a">Then</span>'),
        CLEAN + '\n\nRe: The second ladder',
        CLEAN + '\nWho Gets the Piano',
        CLEAN + '\nMy sister wants my dog',
        CLEAN + '\nWhy does she wave?',  # the topic of another pair
        CLEAN + '\nimage\nOpinion | Nobody reads it\nA study in kitchens.\nexample.org',
        CLEAN + '\nPost has 2 replies and 4 Likes',
        CLEAN + '\n1125\n\nWho Gets the Piano\nThursday letters',
        CLEAN + '\n\nFollow Marian on Twitter and Facebook.',
        CLEAN + '\n\nSign up for our newsletter.\n12',
        CLEAN + '\n\nQ: My sister took the car. What now?\n\nShe laughs, too.',
        CLEAN + ' & so on',
        CLEAN + '\n\n© 2024 Advice Inc. All rights reserved.',
        CLEAN + '\n\nEmail your questions to ann@example.com.',
        CLEAN + '\nSend letters to [EMAIL]',
        CLEAN + '\nGuest 11:05 a.m.',
        CLEAN + '\n\n[deleted]',
        CLEAN + '\n- 3 -',
        CLEAN + '\n#advice #family',
        CLEAN + '\n![A ladder](https://a.example/a.png)',
        CLEAN + '\nThis column was originally published in May.',
        CLEAN + '\nnull',
        CLEAN + '</s>',
        CLEAN + ' [/INST]',
        CLEAN + '\n\nHuman:',
        CLEAN + '\nUser: My sister took the car. What now?',
        CLEAN + '\nMarian ValeAdvice Columnist11:03 a.m.',
        'Marian Vale: ' + CLEAN,
        CLEAN + '\n\n' + CLEAN.partition('. ')[2],
        CLEAN + '\n<div class="footer"',
        CLEAN.replace(',', '&rsquo;,'),
        CLEAN + '\n\nEdit: thanks for the gold, kind stranger!',
        CLEAN + '\n\nEDIT 2 - typo',
        CLEAN + '\n\n(edited for spelling)',
        CLEAN + '\n\nEdited to add: wow, so many replies.',
        CLEAN + '\n[edited]',
        CLEAN + ' -- Marian',
        CLEAN + '\n\n— Marian Vale, Advice Columnist',
        CLEAN + '\n\nBest,\nMarian Vale',
        CLEAN + '\n\nHave a question? Email it to us at [EMAIL].',
        CLEAN + "\n\n^(I'm a bot, beep.)",
        CLEAN + '\n\nShould I forgive my brother?',
        CLEAN + '\n\nQUESTION: ' + 'My sister sold the boat and bought a goat. ' * 6,
    ],
)
def test_the_copy_without_residue_stays_whatever_its_score(dirty: str) -> None:
    others = pair('x', 'Wave back.', question='Who waves?', topic='Why does she wave?')
    kept, gone = decided(pair('clean', CLEAN), pair('dirty', dirty, score=9), others)
    assert kept == ['clean', 'x']
    assert gone == {'dirty': 'near duplicate with residue'}


@pytest.mark.parametrize(
    'full',
    [
        CLEAN + MORE,
        CLEAN + '\n\nThen wait.',
        CLEAN + '\n\nEdit his letter for him.',
        CLEAN + '\n\nWhy would he forgive you?',
        CLEAN + '\n\n-- Call him',
        CLEAN + '\n\nFollow your heart.',
        CLEAN + ' & so on, as they say. Then wait.',
        CLEAN + '\n- write\n- call',
        CLEAN + '\n(c) And then, call him.',
        CLEAN + '\nCopyright has no say in it.',
        CLEAN + '\n#1 is your brother.',
        CLEAN + '\nNote: he will ask for more.',
        CLEAN + '\nProblem: he will ask for more.',
        'Sit down first: ' + CLEAN,
        CLEAN + '\n\nEmail him at tom@example.com.',
        CLEAN + '\n\nSend the letters to your brother.',
        CLEAN + '\n1. Write to him.\n2. Call him.',
        CLEAN + ' Good luck to you both!',
        'First, sit down. ' + CLEAN,
        CLEAN.replace(' Then', ' Say it twice. Then'),
        CLEAN + ' More of this is in the book of 1999, on page\n12',
    ],
)
def test_an_answer_that_goes_on_does_not_lose_to_a_copy_that_was_cut(full: str) -> None:
    kept, gone = decided(pair('cut', CLEAN, score=9), pair('full', full))
    assert kept == ['full']
    assert gone == {'cut': 'near duplicate cut short'}


def test_a_copy_that_was_cut_within_a_sentence_loses() -> None:
    cut = CLEAN.removesuffix(' You need not be.').removesuffix(' to be shy.')
    assert decided(pair('cut', cut), pair('full', CLEAN)) == (
        ['full'],
        {'cut': 'near duplicate cut short'},
    )


@pytest.mark.parametrize(
    'end',
    [
        *('You need n', 'Y', 'You need not b', 'You nee...', 'You need… Read more'),
        *('You need (more)', 'You [more]'),
    ],
)
def test_a_copy_that_was_cut_within_a_word_loses(end: str) -> None:
    cut = CLEAN.removesuffix('You need not be.') + end
    assert decided(pair('cut', cut, score=9), pair('full', CLEAN)) == (
        ['full'],
        {'cut': 'near duplicate cut short'},
    )


@pytest.mark.parametrize('label', ['A. ', 'A) ', '**A.** '])
def test_a_copy_with_an_answers_letter_loses(label: str) -> None:
    clean = CLEAN.replace('A ladder', 'No ladder')
    kept, gone = decided(pair('clean', clean), pair('dirty', label + clean, score=9))
    assert kept == ['clean']
    assert gone == {'dirty': 'near duplicate with residue'}


def test_a_copy_that_lost_its_beginning_within_a_word_loses() -> None:
    cut = CLEAN.removeprefix('A lad')
    assert decided(pair('cut', cut, score=9), pair('full', CLEAN)) == (
        ['full'],
        {'cut': 'near duplicate cut short'},
    )


def test_of_a_cut_a_clean_and_a_dirty_copy_the_clean_one_stays() -> None:
    pairs = [
        pair('cut', CLEAN),
        pair('clean', CLEAN + MORE),
        pair('dirty', CLEAN + MORE + '\n1125', score=5),
        pair('other', CLEAN.replace('shy', 'timid'), score=-1),
    ]
    kept, gone = decided(*pairs)
    assert kept == ['clean']
    assert gone['dirty'] == 'near duplicate with residue'
    assert gone['cut'] == 'near duplicate cut short'


def test_residue_in_the_question_decides_where_the_answers_are_equal() -> None:
    labelled = pair('b', CLEAN, question='Ladders\n\nQUESTION: ' + ASKED, score=3)
    assert decided(pair('a', CLEAN), labelled)[0] == ['a']
    longer = pair('b', CLEAN, question=ASKED + ' He is the elder of us.')
    assert decided(pair('a', CLEAN, score=3), longer) == (
        ['b'],
        {'a': 'near duplicate cut short'},
    )


def test_then_flags_then_score_then_length_then_the_id_decide() -> None:
    def other(name: str, word: str, **fields: object) -> records.QaPair:
        return pair(name, CLEAN.replace('shy', word), **fields)

    flagged = other('a', 'calm', flags=(merged.TOPIC_TAKEN,), score=9)
    assert decided(flagged, other('b', 'kind')) == (
        ['b'],
        {'a': f'near duplicate {copies.FLAGGED}'},
    )
    twice = pair('a', CLEAN.replace('shy', 'calm').replace(' ', '  '), score=9)
    assert decided(twice, other('b', 'kind')) == (
        ['b'],
        {'a': f'near duplicate {copies.LESS_TIDY}'},
    )
    assert decided(other('a', 'calm', score=1), other('b', 'kind', score=2)) == (
        ['b'],
        {'a': f'near duplicate {copies.LOWER_SCORE}'},
    )
    assert decided(other('a', 'calm'), other('b', 'polite')) == (
        ['b'],
        {'a': f'near duplicate {copies.SHORTER}'},
    )
    assert decided(other('a', 'calm'), other('b', 'kind')) == (
        ['a'],
        {'b': f'near duplicate {copies.LATER}'},
    )


def test_a_short_answer_and_its_copy_with_residue_are_near() -> None:
    kept, gone = decided(
        pair('clean', 'Ask him for it.'),
        pair('dirty', 'Ask him for it.\nThe Piano In My Hall'),
        pair('mine', 'Ask him for it. Twice, and loudly, so that all can hear it.'),
    )
    assert kept == ['clean', 'mine']
    assert gone == {'dirty': 'near duplicate with residue'}


@pytest.mark.parametrize('end', ['', '...', '… Read more'])
def test_a_copy_of_which_most_was_cut_is_near_what_goes_on_from_it(end: str) -> None:
    cut = CLEAN.partition(' Then')[0][:160].rpartition(' ')[0] + end
    assert decided(pair('cut', cut, score=9), pair('full', CLEAN)) == (
        ['full'],
        {'cut': 'near duplicate cut short'},
    )
    others = pair('cut', cut, question='Who waves?'), pair('full', CLEAN)
    assert decided(*others)[0] == ['cut', 'full']  # another question's answer


def test_the_kept_copy_takes_the_highest_weight_of_its_cluster() -> None:
    pairs = [
        pair('a', CLEAN),
        pair('b', CLEAN, weight=3.0),
        pair('c', CLEAN + '\n1125', weight=5.0),
        pair('d', 'Wave back at her.', question='Who waves at us?', weight=2.0),
        pair('e', 'Wave back at her.', question='Who waves at us?', weight=0.5),
    ]
    ledger = stage_ledger.Ledger()
    with stores.filled(pairs) as store:
        stores.drop_all(store)
        caps_and_weights.inherit(store, ledger)
        weights = dict(store.rows('SELECT id, weight FROM kept'))
        store.sql.execute(
            "INSERT INTO home SELECT DISTINCT grp, grp, 'train', 0 FROM kept"
        )
        assert {each.id: each.weight for each in store.pairs('train')} == weights
    assert weights == {'a': 5.0, 'd': 2.0}
    (row,) = ledger.as_json()
    assert (row['stage'], row['in'], row['out']) == ('weights of duplicates', 2, 2)
    changed = row['changed']['highest weight of its duplicates']
    assert changed['pairs'] == 1
    assert changed['examples'][0]['before'] == '1'
    assert changed['examples'][0]['after'] == '5'
