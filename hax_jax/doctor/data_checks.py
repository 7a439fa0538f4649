"""Whether the data can teach: copies, sources, dropped answers, damaged text.

Each check is a pure function of `measure_data`'s numbers.
"""

from hax_jax.doctor import diagnosis
from hax_jax.doctor.diagnosis import FAIL, WARN, Finding, Numbers


def disjoint(n: Numbers) -> Finding | None:
    """No validation answer is in the training split."""
    if 'validation_copied_share' not in n:
        return None
    copied, shared = n['validation_copied_share'], n['validation_shared_text']
    evidence = (
        f'{copied:.0%} of {n["validation_pairs"]} validation answers are in training, '
        f'whole or for the most part; {shared:.0%} of their runs of '
        f'{n["run_tokens"]} tokens are'
    )
    source = 'data_pipeline.build splits by group and leaves out near copies: 0% there'
    # By chance and by quotations, 1% of a healthy split's runs were seen.
    if copied <= 0.02 and shared <= 0.1:
        return diagnosis.good('splits', evidence, source)
    own, same = n.get('train_shared_text', 0.0), n.get('train_copied_share', 0.0)
    if own > 0.5 * shared and same > 0.3 * copied:
        return Finding(
            'splits',
            WARN,
            f'{evidence}; {own:.0%} of the runs of a training answer stand in another '
            'one too',
            'the answers are made of few templates, so the validation loss measures '
            'how well these are known',
            'if the templates are meant, nothing; else build the dataset from more '
            'texts',
            source,
            (('text shared', shared), ('in training itself', own)),
        )
    if copied <= 0.02:
        return Finding(
            'splits',
            WARN,
            evidence,
            'training and validation answers share passages, such as a signature or a '
            'helpline, so the validation loss measures how well these are known too',
            'build the dataset again with --config.clean.cut_standing=true, which cuts '
            'what many answers share',
            source,
            (('text shared', shared), ('answers copied', copied)),
        )
    return Finding(
        'splits',
        FAIL if copied > 0.1 else WARN,
        evidence,
        'validation letters were copied into training, so the validation loss measures '
        'memory',
        'build the dataset again from all its sources at once (data_pipeline.build '
        'splits by group and removes near copies)',
        source,
        (('answers copied', copied), ('text shared', shared)),
    )


def repeated(n: Numbers) -> Finding | None:
    """No source and no pair is shown many times more often than others."""
    if 'repeated_source' not in n:
        return None
    times, share = n['repeated_source_times'], n['repeated_source_share']
    evidence = (
        f'each pair from {n["repeated_source"]} stands {times:.1f} times in an epoch: '
        f'{share:.0%} of the answer tokens from '
        f'{n["repeated_source_distinct_share"]:.0%} of the different pairs; '
        f'{n["repeated_share"]:.0%} of all pairs are repetitions'
    )
    source = "a pair's weight, by default 1, says how often it is shown in an epoch"
    if times < 2.5 and n['repeated_share'] < 0.3:
        return diagnosis.good('sources', evidence, source)
    return Finding(
        'sources',
        FAIL if times >= 5 else WARN,
        evidence,
        f'one source is shown {times:.0f} times as often as it has pairs, so training '
        'learns it by heart and little else'
        if n['other_sources'] and n.get('least_repeated_times', 1.0) < 0.5 * times
        else f'each pair is shown {times:.0f} times in an epoch',
        'lower the weight of that source in the settings of data_pipeline.build',
        source,
        (
            ('share of tokens', share),
            ('share of pairs', n['repeated_source_distinct_share']),
        ),
    )


def dropped(n: Numbers) -> Finding | None:
    """Few pairs are left out or cut for want of room."""
    if 'dropped_share' not in n:
        return None
    share, cut = n['dropped_share'], n['shortened_share']
    evidence = (
        f'{share:.0%} of the pairs were dropped, their answers longer than a row, and '
        f'{cut:.0%} lost text from their question'
    )
    if share <= 0.05 and cut <= 0.5:
        return diagnosis.good('row length', evidence)
    longer = 'raise --config.data.seq_len'
    if n.get('room_for_longer_rows', 1) <= 0:
        longer = (
            'the base reads no longer rows: take one that does'
            if n.get('pretrained')
            else 'raise --config.model.n_positions and --config.data.seq_len'
        )
    return Finding(
        'row length',
        FAIL if share > 0.2 else WARN,
        evidence,
        'data.seq_len is too short for these letters: long answers are dropped, so the '
        'model learns from the short ones alone'
        if share > 0.05
        else 'data.seq_len is too short for these letters: questions lose their middle',
        f'{longer}, or keep long answers with --config.data.long_answers=split'
        if share > 0.05
        else longer,
        "the packed cache's own ledger",
        (('dropped', share), ('cut', cut)),
    )


def readable(n: Numbers) -> Finding | None:
    """Texts were decoded by the right character set."""
    if 'mojibake_share' not in n:
        return None
    share = n['mojibake_share']
    evidence = f'{share:.0%} of the texts have signs such as "Ã©" or "â€™"'
    if share <= 0.02:
        return diagnosis.good('characters', evidence)
    return Finding(
        'characters',
        FAIL if share > 0.1 else WARN,
        evidence,
        'mojibake: UTF-8 text was read as Windows-1252 or Latin-1 before it came here',
        'read the source as UTF-8 and build the dataset again; hax data '
        'shows the pairs',
        'such pairs of signs do not occur in any language',
        (('damaged texts', share),),
    )


def clean(n: Numbers) -> Finding | None:
    """Answers hold words, without markup, in the language of the model."""
    if 'markup_share' not in n:
        return None
    marked, empty, common = (
        n[name] for name in ('markup_share', 'empty_share', 'common_word_share')
    )
    capital = n.get('capital_share')
    evidence = (
        f'{marked:.0%} of the texts have markup such as &amp; or <p>, {empty:.0%} of '
        f'the answers fewer than 3 words; {common:.0%} of the words are common English'
        + (f', {capital:.1%} of the letters capital' if capital is not None else '')
    )
    if empty > 0.2:
        cause = 'answers are empty or cut off: there is little to learn'
    elif marked > 0.2:
        cause = 'texts hold HTML, which the model will write too'
    elif common < 0.1 and n.get('pretrained'):
        cause = 'the text is not English, or not text: a pretrained GPT-2 knows English'
    elif capital is not None and capital < 0.003 and common >= 0.1:
        cause = (
            'texts are lower-cased: the model forgets capitals, and reads names as '
            'other tokens'
        )
    elif capital is not None and capital > 0.5:
        cause = 'texts are in capitals, which are other tokens than those it knows'
    else:
        return diagnosis.good('texts', evidence)
    return Finding(
        'texts',
        WARN,
        evidence,
        cause,
        'look at the pairs with hax data and mend what reads them',
        'in English letters 40% of the words are among the 70 commonest',
        (('markup', marked), ('short answers', empty), ('common words', common)),
    )


def variety(n: Numbers) -> Finding | None:
    """Answers differ from each other, from their question, and in length."""
    if 'same_answer_share' not in n or n['different_questions'] < 24:
        return None
    same, echoed, cut = (
        n[name] for name in ('same_answer_share', 'echo_share', 'usual_length_share')
    )
    size = n['usual_answer_length']
    evidence = (
        f'{same:.0%} of {n["different_questions"]} different questions have the same '
        f'answer; {echoed:.0%} of the answers stand in their question; {cut:.0%} have '
        f'{size} tokens'
    )
    bars = (('same answer', same), ('in the question', echoed), ('same length', cut))
    verdict = FAIL
    # Healthy corpora: 0%, 0%, and 2% to 6% of one length.
    if same > 0.1:
        cause = 'one answer stands at many questions: the model learns to say it always'
    elif echoed > 0.1:
        cause = (
            'answers repeat their question word for word (or the question holds its '
            'answer): the model learns to copy'
        )
    elif (
        cut > 0.3
        and n.get('open_end_share', 1.0) > 0.5
        and n.get('long_answers') != 'split'
    ):
        cause = f'answers are cut at {size} tokens: most end in the middle'
        verdict = FAIL if cut > 0.5 else WARN
    else:
        return diagnosis.good('variety', evidence)
    return Finding(
        'variety',
        verdict,
        evidence,
        cause,
        'look at the pairs with hax data and mend what reads them',
        "people's answers differ from letter to letter",
        bars,
    )


def as_pairs(n: Numbers) -> Finding | None:
    """The rows, decoded, have the texts of the dataset's pairs."""
    if not n.get('rows_compared'):
        return None
    share, kinds = n['rows_as_pairs'], n['row_differences']
    evidence = (
        f'{share:.0%} of {n["rows_compared"]} pairs lie in the rows as the dataset has '
        'them' + ''.join(f'; {name}: {count}' for name, count in kinds.items())
    )
    if share >= 0.9:
        return diagnosis.good('rows and pairs', evidence)
    return Finding(
        'rows and pairs',
        FAIL,
        f'{evidence}; {n["row_difference"]}',
        f'the rows do not have the texts of the dataset: {next(iter(kinds))}',
        "delete the dataset's packed/ folder and run again; if it comes back, mend "
        'packing.tokenize and packing.pack',
        'reference/row_texts.py decodes the rows and encodes nothing',
        (('as the dataset', share),),
    )


def relation(n: Numbers) -> Finding | None:
    """Answers speak of what their question speaks of."""
    if 'answer_relation' not in n or n['related_pairs'] < 40:
        return None
    if n.get('shortened_share', 0.0) > 0.5:
        return None  # questions that lost their middle share few words with answers
    z, share = n['answer_relation'], n['related_share']
    evidence = (
        f'{share:.0%} of {n["related_pairs"]} answers share more rare words with their '
        f'own question than with others of their source, by chance some 30%; how much '
        f'they share is on average {abs(z):.1f} standard errors '
        f'{"above" if z >= 0 else "below"} what they share with the others'
    )
    # Of letters and posts 95% did; of swapped ones 25%.
    if share >= 0.75:
        return diagnosis.good('answers', evidence)
    alike = n.get('templated_share', 0.0)
    if alike > 0.5:  # of letters and posts 0%
        return Finding(
            'answers',
            WARN,
            f'{evidence}; {alike:.0%} of the answers share over half of their words '
            'with the answer to another question',
            'the answers are made of few templates: whether they belong to their '
            "questions can't be told from their words",
            'if the templates are meant, nothing; else look at the pairs with hax data',
            'an answer repeats names and things of its letter, and few of another',
            (('own question', share), ('like another answer', alike)),
        )
    return Finding(
        'answers',
        FAIL if share < 0.5 else WARN,
        evidence,
        'answers do not belong to their questions: they were swapped between pairs, or '
        'say the same to all',
        'look at the pairs with hax data and mend what reads them',
        'an answer repeats names and things of its letter',
        (('own question', share), ('chance', 0.3)),
    )


def word_order(n: Numbers) -> Finding | None:
    """The words of answers stand in an order."""
    if 'word_pairs' not in n:
        return None
    own, chance = n['word_pairs_once'], n['word_pairs_by_chance']
    evidence = (
        f'of {n["word_pairs"]:,} pairs of neighbouring words of the answers {own:,} '
        f'stand once, and {chance:,} with the words in any order'
    )
    # Letters, posts and chats: 0.77 to 0.88 of those by chance; shuffled: 0.98 to 1.03.
    if own < 0.94 * chance:
        return diagnosis.good('word order', evidence)
    return Finding(
        'word order',
        WARN,
        evidence,
        'the words of answers stand in no order: they were shuffled or sorted, so '
        'there is no language to learn',
        'look at the pairs with hax data and mend what reads them',
        'phrases come again in any language, so fewer pairs stand once than by chance',
        (('as they stand', own), ('in any order', chance)),
    )


def sides(n: Numbers) -> Finding | None:
    """It is the questions that ask, and whose writer speaks of himself."""
    if n.get('writer_pairs', 0) < 24:
        return None
    asking, answering = n['asking_questions'], n['asking_answers']
    own, other = n['writer_in_questions'], n['writer_in_answers']
    evidence = (
        f'{asking:.0%} of the questions and {answering:.0%} of the answers have a '
        f'question mark; of I, my, you, your {own:.0%} and {other:.0%} are I, my'
    )
    # Letters and posts: 0.1 to 0.8 fewer answers ask, and 0.4 to 0.8 less is "I". An
    # interview has the second alone the other way round, a help desk the first.
    if answering <= asking + 0.05 or other <= own + 0.2:
        return diagnosis.good('sides', evidence)
    return Finding(
        'sides',
        WARN,
        evidence,
        'questions and answers seem to be exchanged: the model learns to write letters',
        'look at the pairs with hax data; if they are exchanged, say which column is '
        'which with hax build --fields',
        'letters ask and speak of their writer, answers speak to the reader',
        (('questions', asking), ('answers', answering)),
    )


def tokenizer(n: Numbers) -> Finding | None:
    """The tokenizer keeps text, and spends few tokens on it."""
    if 'round_trip' not in n:
        return None
    lost, size = n['byte_piece_share'], n['bytes_per_token']
    evidence = (
        f'{size:.1f} bytes a token; {lost:.1%} of the tokens are pieces of single bytes'
    )
    if 'common_word_share' in n:
        evidence += (
            f'; {n["common_word_share"]:.0%} of the words are common English ones'
        )
    if not n['round_trip']:
        cause = 'the tokenizer loses text: encoding and decoding a letter changes it'
    elif lost > 0.2:
        cause = 'most characters are unknown to the tokenizer and fall back to bytes'
    elif size < 1.2 and n['tokenizer_size'] > 1000:
        cause = 'the tokenizer was made for another language or another kind of text'
    else:
        return diagnosis.good('tokenizer', evidence)
    return Finding(
        'tokenizer',
        FAIL if not n['round_trip'] else WARN,
        evidence,
        cause,
        "give tokenizer.path='train', or the tokenizer of the pretrained model",
        'English in GPT-2 has 4.1 bytes a token',
        (('byte pieces', lost),),
    )


def amount(n: Numbers) -> Finding | None:
    """How often each trained parameter meets a token; a note, not a fault."""
    if 'answer_tokens' not in n or not n.get('trained_parameters'):
        return None
    seen = n['epochs'] * n['answer_tokens']
    each = seen / n['trained_parameters']
    return diagnosis.good(
        'amount',
        f'{n["answer_tokens"]:,.0f} weighted tokens, {n["epochs"]:.1f} epochs, '
        f'{each:.3g} tokens for each of {n["trained_parameters"]:,} trained parameters',
        'scratch training is compute-optimal near 20 (Hoffmann et al. 2022, '
        'arXiv:2203.15556); fine-tuning has far fewer',
    )


CHECKS = (
    as_pairs,
    disjoint,
    repeated,
    dropped,
    readable,
    clean,
    variety,
    relation,
    word_order,
    sides,
    tokenizer,
    amount,
)
