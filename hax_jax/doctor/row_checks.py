"""Whether rows teach what they should: labels, EOS, weights, positions, segments.

Each check is a pure function of `measure_rows`' numbers. Shares of real rows lie at 1.0
(a question may hold the template's own words, and a long answer may be split), so the
limits below leave a tenth or more of room.
"""

from hax_jax.doctor import diagnosis
from hax_jax.doctor.diagnosis import FAIL, WARN, Finding, Numbers

_REPACK = "delete the dataset's packed/ folder and run again; if it comes back, mend "
_MOST = 0.9  # of the places: what a healthy row has
_FEW = 0.5


def labels(n: Numbers) -> Finding | None:
    """Each target is the next input, exactly once."""
    if 'label_shift' not in n:
        return None
    shares = {int(shift): share for shift, share in n['label_shift'].items()}
    evidence = 'targets equal the input at shift ' + ', '.join(
        f'{shift}: {share:.0%}' for shift, share in sorted(shares.items())
    )
    source = 'the target at t is the input at t + 1 (packing.shifted)'
    if shares.get(1, 0.0) >= _MOST:
        return diagnosis.good('labels', evidence, source)
    best = max(shares, key=lambda shift: shares[shift])
    if shares[best] < _FEW:
        if n.get('shuffled_share', 0.0) > 0.3:
            cause = (
                'the targets of a pair are its own tokens in another order: they were '
                'permuted'
            )
        else:
            cause = 'the targets are not the tokens of the inputs at any shift'
    elif best == 1:
        cause = (
            f'{1 - shares[1]:.0%} of the targets are not the next token: they were '
            'damaged after they were shifted'
        )
    else:
        cause = {
            0: 'the targets are the inputs themselves: labels are not shifted, and the '
            'model learns to copy',
            2: 'labels are shifted twice: each target is the token after the next',
            -1: 'labels are shifted backwards: each target is the token before',
        }.get(best, f'labels are shifted {best} times')
    return Finding(
        'labels',
        FAIL,
        evidence,
        cause,
        f'{_REPACK}packing.shifted, the only place that shifts labels',
        source,
        tuple((f'shift {shift}', share) for shift, share in sorted(shares.items())),
    )


def ids(n: Numbers) -> Finding | None:
    """The rows' ids, decoded by the run's tokenizer, are text of the template."""
    if 'decoded_template_share' not in n:
        return None
    share = n['decoded_template_share']
    evidence = (
        f'{share:.0%} of the pairs decode to text that begins as the template; largest '
        f'id {n["largest_id"]} of {n["tokenizer_size"]}'
    )
    if share >= _MOST and n['largest_id'] < n['tokenizer_size']:
        return diagnosis.good('token ids', evidence)
    return Finding(
        'token ids',
        FAIL,
        evidence,
        'the token ids are not those of this tokenizer: they were permuted, or another '
        'tokenizer or template made the rows',
        f'{_REPACK}tokenizer.path',
        'decode(encode(text)) == text for both tokenizers',
        (('decoded as the template', share),),
    )


def prompts(n: Numbers) -> Finding | None:
    """A pair has the template once."""
    if 'doubled_template_share' not in n:
        return None
    share = n['doubled_template_share']
    evidence = f'{share:.0%} of the pairs have the template within the template'
    if share <= 1 - _MOST:
        return diagnosis.good('prompts', evidence)
    return Finding(
        'prompts',
        FAIL,
        evidence,
        'the template stands twice: the texts had one before they were packed',
        'build the dataset from plain questions and answers; packing adds the template',
        'text.template is added once, by packing.tokenize',
        (('twice', share),),
    )


def eos(n: Numbers) -> Finding | None:
    """Answers end with EOS, and EOS is learned."""
    if 'eos_weight' not in n and 'ended_share' not in n:
        return None
    ended = n.get('ended_share', 1.0)
    weight, answer = n.get('eos_weight'), n.get('answer_weight')
    early = n.get('early_eos_share', 0.0)
    how_many = f'{ended:.0%}' if 'ended_share' in n else 'it is not known how many'
    evidence = f'{how_many} of the pairs end with EOS' + (
        f', whose loss weight is {weight:.2f} (answers: {answer:.2f})'
        if weight is not None and answer is not None
        else ''
    )
    if early > 1 - _MOST:
        evidence += f'; {early:.0%} have one earlier'
    if n.get('label_shift', {}).get('1', 1.0) < _MOST:
        return None  # labels say more
    if weight is not None and answer and weight < _FEW * answer:
        cause = 'EOS has no loss weight, so the model never learns to end an answer'
    elif ended < _FEW:
        cause = 'answers do not end with EOS, so the model never learns to end one'
    elif early > 1 - _MOST:
        cause = 'EOS stands inside answers, so the model learns to end too early'
    else:
        return diagnosis.good('EOS', evidence)
    return Finding(
        'EOS',
        FAIL,
        evidence,
        cause,
        f'{_REPACK}the weights that packing.pack gives',
        'the target after the last answer token is EOS at weight 1',
        (('ends with EOS', ended), ('EOS weight', weight or 0.0)),
    )


def mask(n: Numbers) -> Finding | None:
    """The loss is on answers, on questions as far as data.question_weight says."""
    if 'answer_weight' not in n or 'question_weight' not in n:
        return None
    answer, question = n['answer_weight'], n['question_weight']
    asked, padding = n.get('asked_question_weight'), n.get('padding_weight', 0.0)
    evidence = (
        f'mean loss weight of answers {answer:.2f}, of questions {question:.2f}, of '
        f'padding {padding:.2f}'
        + (f'; data.question_weight={asked}' if asked is not None else '')
    )
    if answer < 0.1 and question < 0.1:
        cause = 'nothing has a loss weight: the run learns nothing'
    elif answer < question - 0.05:
        cause = 'the loss weights are inverted: questions are learned, answers are not'
    elif padding > 0.01:
        cause = 'padding has a loss weight: the run learns to write padding'
    elif answer < 0.3:  # a conversation may weigh its answers itself
        cause = 'answers have less than their loss weight of 1'
    elif asked is not None and abs(question - asked) > 0.1:
        cause = 'questions have another loss weight than data.question_weight'
    else:
        return diagnosis.good('loss mask', evidence)
    return Finding(
        'loss mask',
        FAIL,
        evidence,
        cause,
        f'{_REPACK}the weights that packing.pack gives',
        'answers and EOS have weight 1, questions data.question_weight, padding 0',
        (('answers', answer), ('questions', question), ('padding', padding)),
    )


def positions(n: Numbers) -> Finding | None:
    """Positions restart at 0 with each pair and rise by 1."""
    if 'position_zero_share' not in n:
        return None
    zero, rising = n['position_zero_share'], n['position_rising_share']
    evidence = (
        f'{zero:.0%} of the pairs begin at position 0, {rising:.0%} of the steps in a '
        f'pair are by 1; {n["pairs_a_row"]:.1f} pairs a row'
    )
    if zero >= _MOST and rising >= _MOST:
        return diagnosis.good('positions', evidence)
    usual = n.get('usual_first_position', 0)
    return Finding(
        'positions',
        FAIL,
        evidence,
        f'positions begin at {usual}, not at 0'
        if usual and n['usual_first_share'] >= _MOST
        else 'positions are not restarted with each pair: most are read at places '
        'where no prompt begins'
        if rising >= _MOST
        else 'positions do not count the tokens of a pair',
        f'{_REPACK}the positions that packing.pack gives',
        'each pair is read as if it were alone in its row',
        (('begin at 0', zero), ('rise by 1', rising)),
    )


def segments(n: Numbers) -> Finding | None:
    """Each pair of a row has a segment id of its own."""
    if 'mixed_segment_share' not in n:
        return None
    share = n['mixed_segment_share']
    evidence = (
        f'{share:.0%} of the pairs share a segment id with the pair before or have '
        f'several; {n["pairs_in_rows"]} pairs, {n["segments_in_rows"]} segments'
    )
    if share <= 1 - _MOST:
        return diagnosis.good('segments', evidence)
    return Finding(
        'segments',
        FAIL,
        evidence,
        'the pairs of a row have one segment id, so each pair attends to those before '
        'it'
        if n['segments_in_rows'] < n['pairs_in_rows']
        else 'segment ids do not follow the pairs of a row',
        f'{_REPACK}the segment ids that packing.pack gives',
        'attention stays inside a segment',
        (('share a segment', share),),
    )


def template(n: Numbers) -> Finding | None:
    """Sampling asks with the prompt that training rows have."""
    if 'sampled_prompt_share' not in n:
        return None
    share = n['sampled_prompt_share']
    evidence = (
        f'{share:.0%} of the prompts of sampling have the ids of the rows; first '
        f'difference: {n.get("sampled_prompt_said", "none")}'
    )
    if share >= _MOST:
        return diagnosis.good('template', evidence)
    return Finding(
        'template',
        FAIL,
        evidence,
        'sampling asks with another template than training had, so answers come from '
        'prompts that the model has not seen',
        'use text.template for both; train anew if the rows have the wrong one',
        "a prompt's ids are a prefix of the ids that training saw",
        (('same prompt', share),),
    )


def order(n: Numbers) -> Finding | None:
    """An epoch shows each row once, in an order that is drawn for it."""
    if 'repeated_rows' not in n:
        return None
    repeated, near = n['repeated_rows'], n['neighbouring_rows']
    sorted_by, same = n.get('order_correlation', 0.0), n.get('same_order', 0.0)
    evidence = (
        f"{repeated:.0%} of an epoch's first rows come twice; {near:.0%} follow their "
        f'neighbour of the cache; place and row correlate by {sorted_by:+.2f}; the '
        f'next epoch has {same:.0%} in the same places'
    )
    # A drawn order correlates by under 4 / root of its rows in all but 1 of 16,000.
    error = n.get('ordered_rows', 1e9) ** -0.5
    is_sorted = abs(sorted_by) > max(0.3, 4 * error)
    if repeated:
        cause = 'rows come again before the others have come: most is not trained'
    elif near >= min(0.95, 0.5 + error) or is_sorted:
        cause = 'rows come in the order of the cache, which is by length, unshuffled'
    elif same > 0.5:
        cause = 'every epoch has the same order of rows: it is drawn once, not anew'
    else:
        return diagnosis.good('order of rows', evidence)
    return Finding(
        'order of rows',
        FAIL if repeated else WARN,
        evidence,
        cause,
        'mend data/row_stream, which draws an order for each epoch',
        'each row once an epoch',
        (('come twice', repeated), ('unshuffled', near), ('as before', same)),
    )


def batches(n: Numbers) -> Finding | None:
    """Batches have the cache's rows that are due, unchanged."""
    if 'as_packed' not in n:
        return None
    for name, said, if_all in (
        (
            'as_packed',
            "the first batch's",
            'the first batch has other rows than are due, or has one of them twice',
        ),
        (
            'next_as_packed',
            "the second batch's",
            'the second batch has other rows than are due: the first comes again, or '
            'rows are left out',
        ),
        (
            'evaluated_as_packed',
            "an evaluation's first",
            'the evaluation reads other rows than those of the validation split',
        ),
    ):
        shares = n.get(name, {})
        evidence = f'of {said} rows the cache has as they are due ' + ', '.join(
            f'{feature} {share:.0%}' for feature, share in shares.items()
        )
        wrong = [feature for feature, share in shares.items() if share < 1]
        if wrong:
            return Finding(
                'batches',
                FAIL,
                evidence,
                if_all
                if 'inputs' in wrong and len(wrong) == len(shares)
                else f'{", ".join(wrong)} were changed between the packed rows and the '
                'step',
                'mend data/input_pipeline.py, which reads rows and changes none',
                'a batch is rows of the cache',
                tuple(shares.items()),
            )
    return diagnosis.good(
        'batches', 'the first batches have the rows of the cache that are due'
    )


ROWS = (labels, ids, prompts, eos, mask, positions, segments)


def more_rows(n: Numbers) -> Finding | None:
    """The rows behind the first batch are as the first batch is, and validation's."""
    first = filter(None, (check(n) for check in ROWS))
    known = {each.id for each in first if each.verdict != diagnosis.OK}
    for name, said in (('train_rows', 'training'), ('validation_rows', 'validation')):
        if name not in n:
            continue
        for found in filter(None, (check(n[name]) for check in ROWS)):
            if found.verdict == diagnosis.OK or found.id in known:
                continue
            return Finding(
                'more rows',
                FAIL,
                found.evidence,
                f'in the {said} rows: {found.cause}',
                found.remedy,
                found.source,
                found.bars,
            )
    if 'validation_rows' not in n:
        return None
    return diagnosis.good(
        'more rows', 'other rows of training and validation are as the first batch'
    )


CHECKS = (*ROWS, template, order, batches, more_rows)
