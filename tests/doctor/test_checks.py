"""Each check on numbers: those of a healthy run, and what each fault makes of them.

The faulty numbers are those that the faults of faults.py had on the sample corpus,
rounded.
"""

import copy
import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from hax_jax.config import convert, schema
from hax_jax.curves import after_training, run_checks
from hax_jax.doctor import (
    data_checks,
    diagnosis,
    examine,
    examine_folder,
    input_checks,
    optimizer_checks,
    rate_checks,
    step_checks,
)
from hax_jax.measures import measure_model
from hax_jax.model import lora
from hax_jax.reference import rates

HEALTHY: dict[str, Any] = {
    'pretrained': True,
    'is_lora': False,
    'lora_scale': 1.0,
    'num_steps': 50,
    'grad_accum_steps': 2,
    'asked_question_weight': 0.5,
    'asked_decay': 0.1,
    'asked_moments': [0.9, 0.95, 1e-8],
    'moments': [0.9, 0.95, 0.0],
    'goes_up': False,
    'slope': -0.99,
    'formula_off': 2e-7,
    'is_exact': True,
    'doubled_template_share': 0.0,
    'early_eos_share': 0.0,
    'usual_first_position': 0,
    'usual_first_share': 1.0,
    'order_correlation': 0.05,
    'ordered_rows': 40,
    'same_order': 0.03,
    'as_packed': {'inputs': 1.0, 'loss_weights': 1.0},
    'validation_rows': {'doubled_template_share': 0.0},
    'same_answer_share': 0.02,
    'echo_share': 0.0,
    'word_pairs': 6000,
    'word_pairs_once': 4400,
    'word_pairs_by_chance': 5200,
    'writer_pairs': 60,
    'writer_in_questions': 0.9,
    'writer_in_answers': 0.3,
    'asking_questions': 0.9,
    'asking_answers': 0.2,
    'usual_answer_length': 60,
    'usual_length_share': 0.05,
    'different_questions': 50,
    'capital_share': 0.04,
    'flat_arrays': {},
    'norms': 5,
    'new_norms': [],
    'same_blocks': [],
    'biases': 9,
    'zero_biases': [],
    'sizes': {'h.0.attn.c_attn.kernel': 1.1, 'h.1.attn.c_attn.kernel': 0.9},
    'asked_rates': {'0': 2e-4, '6': 1e-3, '25': 5e-4, '49': 1e-6},
    'has_dropout': False,
    'dropout': 0.0,
    'repeated_rows': 0.0,
    'neighbouring_rows': 0.02,
    'repeat_difference': 0.0,
    'target_effect': 1.5,
    'target_leak': 0.0,
    'markup_share': 0.0,
    'empty_share': 0.0,
    'ln_vocab': 7.6,
    'unigram_entropy': 6.0,
    'bigram_entropy': 3.2,
    'label_shift': {'-1': 0.01, '0': 0.01, '1': 1.0, '2': 0.02, '3': 0.01},
    'shuffled_share': 0.0,
    'ended_share': 1.0,
    'pairs_in_rows': 8,
    'segments_in_rows': 8,
    'template_share': 1.0,
    'decoded_template_share': 1.0,
    'largest_id': 2040,
    'tokenizer_size': 2048,
    'position_zero_share': 1.0,
    'position_rising_share': 1.0,
    'mixed_segment_share': 0.0,
    'pairs_a_row': 2.0,
    'answer_weight': 1.0,
    'question_weight': 0.5,
    'eos_weight': 1.0,
    'padding_weight': 0.0,
    'sampled_prompt_share': 1.0,
    'validation_copied_share': 0.0,
    'run_tokens': 12,
    'validation_shared_text': 0.0,
    'validation_pairs': 13,
    'repeated_share': 0.0,
    'repeated_source': 'column:harbor',
    'repeated_source_times': 1.0,
    'repeated_source_share': 0.5,
    'repeated_source_distinct_share': 0.5,
    'other_sources': 1,
    'dropped_share': 0.0,
    'shortened_share': 0.0,
    'mojibake_share': 0.0,
    'common_word_share': 0.4,
    'bytes_per_token': 3.4,
    'byte_piece_share': 0.01,
    'round_trip': True,
    'answer_relation': 18.0,
    'related_share': 0.97,
    'related_pairs': 50,
    'answer_tokens': 9000.0,
    'trained_parameters': 260_000,
    'epochs': 4.0,
    'batch_loss': 5.2,
    'losses_finite': True,
    'later_effect': 2.0,
    'leak_backwards': 0.0,
    'leak_between': 0.0,
    'context_effect': 0.05,
    'position_effect': 0.2,
    'file_differences': {},
    'file_compared': 28,
    'loss_shift': {'-1': 9.0, '0': 9.5, '1': 5.1, '2': 6.5},
    'rms': {'wpe.embedding': 0.03},
    'loss_whole': 5.1,
    'loss_without': {'h.0': 5.4, 'h.1': 5.3},
    'loss_repaired': {'h.0.attn.c_proj.kernel is transposed': (5.2, -9.0)},
    'scored_loss': 5.2,
    'step_loss': 5.2001,
    'step_grad_norm': 2.0,
    'clipped_norm': 1.0,
    'step_rate': 2e-4,
    'step_count': 1,
    'schedule_count': 1,
    'gradient_rms': {'h.0.attn.c_attn.kernel': 1e-3, 'wte.embedding': 1e-4},
    'moved_rms': {'h.0.attn.c_attn.kernel': 2e-4, 'wte.embedding': 1e-4},
    'trained_rms': {'h.0.attn.c_attn.kernel': 0.05, 'wte.embedding': 0.04},
    'rates': {'0': 2e-4, '6': 1e-3, '25': 5e-4, '49': 1e-6},
    'decay_matrix': 0.1,
    'decay_bias': 0.0,
    'microbatch_loss_ratio': 1.0,
    'microbatch_gradient_ratio': 1.0,
    'overfit_before': 5.2,
    'overfit_after': 3.9,
    'range': {'0.1': 4.9, '10.0': 5.5, '100.0': 30.0},
    'range_steps': 8,
    'noise_tokens': 900.0,
    'batch_tokens': 1500.0,
}
LORA = {
    'is_lora': True,
    'gradient_rms': {'h.0.x.lora_a': 0.0, 'h.0.x.lora_b': 1e-3},
    'moved_rms': {'h.0.x.lora_a': 1e-6, 'h.0.x.lora_b': 2e-4},
    'trained_rms': {'h.0.x.lora_a': 0.07, 'h.0.x.lora_b': 0.0},
}
_RESUMED = {
    'resumed_step': 100,
    'restored_count': 100,
    'restored_norm': 0.8,
    'step_grad_norm': 1.3,
    'clip_norm': 1.0,
}
FAULTS = (
    ({'label_shift': {'0': 0.01, '1': 0.02, '2': 1.0}}, 'labels', 'shifted twice'),
    ({'label_shift': {'0': 1.0, '1': 0.02, '2': 0.01}}, 'labels', 'inputs themselves'),
    (
        {'label_shift': {'0': 0.01, '1': 0.02, '2': 0.02}, 'shuffled_share': 1.0},
        'labels',
        'permuted',
    ),
    ({'related_share': 0.1, 'answer_relation': -2.7}, 'answers', 'swapped'),
    ({'eos_weight': 0.0}, 'EOS', 'no loss weight'),
    ({'answer_weight': 0.0, 'question_weight': 1.0}, 'loss mask', 'inverted'),
    ({'position_zero_share': 0.5}, 'positions', 'not restarted'),
    ({'mixed_segment_share': 0.5, 'segments_in_rows': 4}, 'segments', 'one segment id'),
    ({'leak_between': 0.1}, 'isolation', 'see each other'),
    ({'leak_backwards': 0.12}, 'causality', 'no causal mask'),
    ({'decoded_template_share': 0.0}, 'token ids', 'permuted'),
    ({'sampled_prompt_share': 0.0}, 'template', 'another template'),
    (
        {'validation_copied_share': 1.0, 'validation_shared_text': 1.0},
        'splits',
        'copied into training',
    ),
    (
        {
            'validation_copied_share': 0.4,
            'validation_shared_text': 0.9,
            'train_copied_share': 0.2,
            'train_shared_text': 0.9,
        },
        'splits',
        'few templates',
    ),
    (
        {'validation_copied_share': 0.0, 'validation_shared_text': 0.15},
        'splits',
        'share passages, such as a signature',
    ),
    ({'related_share': 0.2, 'templated_share': 1.0}, 'answers', 'few templates'),
    ({**_RESUMED, 'restored_norm': 0.0}, 'resumed moments', 'were lost between'),
    ({**_RESUMED, 'restored_norm': 60.0}, 'resumed moments', 'another scale'),
    ({**_RESUMED, 'restored_norm': 0.01}, 'resumed moments', 'another scale'),
    (
        {**_RESUMED, 'restored_norm': 0.0, 'restored_count': 0},
        'resumed moments',
        'were lost between',
    ),
    ({'repeated_source_times': 30.0}, 'sources', 'times as often'),
    ({'dropped_share': 0.9}, 'row length', 'seq_len is too short'),
    ({'mojibake_share': 0.5}, 'characters', 'mojibake'),
    ({'batch_loss': 7.6}, 'start', 'drawn, not loaded'),
    (
        {'file_differences': {'h.0.attn.c_proj.kernel': 'transposed'}},
        'weights',
        'transposed',
    ),
    (
        {'loss_repaired': {'h.0.attn.c_proj.kernel is transposed': (5.0, 9.0)}},
        'order of weights',
        'is transposed',
    ),
    ({'position_effect': 0.0}, 'position embeddings', 'are zero'),
    ({'loss_tied': 5.1, 'loss_whole': 7.7}, 'head', 'untied'),
    (
        {'rates': {'0': 0.02, '6': 0.1, '25': 0.05, '49': 0.0}},
        'update size',
        'too high',
    ),
    ({'overfit_after': 9.0}, 'one batch', 'too high'),
    ({'overfit_after': 5.199, 'range': {'100.0': 4.9}}, 'one batch', 'too low'),
    ({'schedule_count': 2}, 'schedule count', 'once a microbatch'),
    (
        {'rates': {'0': 2e-4, '6': 1e-3, '25': 1e-6, '49': 1e-6}},
        'schedule',
        'once a microbatch',
    ),
    (
        {'rates': {'0': 2e-5, '6': 1e-4, '25': 5e-4, '49': 1e-3}},
        'schedule',
        'longer than the run',
    ),
    ({'decay_matrix': 10.0, 'decay_bias': 10.0}, 'decay', 'far too large'),
    ({'clipped_norm': 1e-4}, 'clipping', 'clip_norm cuts'),
    ({'microbatch_gradient_ratio': 0.5}, 'microbatches', "microbatches' means"),
    (
        {
            **LORA,
            'gradient_rms': {'h.0.x.lora_a': 0.0, 'h.0.x.lora_b': 0.0},
            'trained_rms': {'h.0.x.lora_a': 0.0, 'h.0.x.lora_b': 0.0},
        },
        'adapters',
        'both zero',
    ),
    (
        {**LORA, 'gradient_rms': {'h.0.x.lora_a': 0.0, 'h.0.x.lora_b': 0.0}},
        'gradients',
        'stop_gradient',
    ),
    ({'lost_updates': 0.8}, 'dtype', 'bfloat16'),
    ({'target_leak': 1.5}, 'alignment', 'shifted twice'),
    ({'repeat_difference': 0.3}, 'repeatable', 'dropout acts in it'),
    ({'dropout': 0.9}, 'dropout', 'so high'),
    ({'repeated_rows': 0.9}, 'order of rows', 'come again'),
    ({'neighbouring_rows': 1.0}, 'order of rows', 'unshuffled'),
    ({'markup_share': 0.5}, 'texts', 'HTML'),
    ({'empty_share': 0.5}, 'texts', 'empty'),
    ({'common_word_share': 0.01}, 'texts', 'not English'),
    (
        {
            'microbatch_gradient_ratio': 0.5,
            'microbatch_loss_ratio': 0.5,
            'step_loss': 10.4,
        },
        'microbatches',
        'sums the means',
    ),
    ({'label_shift': {'0': 0.01, '1': 0.8, '2': 0.02}}, 'labels', 'not the next token'),
    ({'label_shift': {'-1': 1.0, '0': 0.0, '1': 0.02}}, 'labels', 'backwards'),
    ({'doubled_template_share': 1.0}, 'prompts', 'stands twice'),
    ({'early_eos_share': 0.9}, 'EOS', 'inside answers'),
    (
        {
            'position_zero_share': 0.0,
            'usual_first_position': 1,
            'usual_first_share': 1.0,
        },
        'positions',
        'begin at 1',
    ),
    ({'order_correlation': -0.9}, 'order of rows', 'unshuffled'),
    ({'same_order': 1.0}, 'order of rows', 'same order'),
    ({'z_loss': 1.0}, 'z-loss', 'outweighs the loss'),
    ({'step_grad_norm': float('inf')}, 'gradients', 'overflows'),
    ({'as_packed': {'loss_weights': 0.0}}, 'batches', 'loss_weights were changed'),
    ({'as_packed': {'inputs': 0.5, 'targets': 0.5}}, 'batches', 'one of them twice'),
    (
        {'idle_thirds': {'h.0.attn.c_attn.kernel': ['queries', 'keys']}},
        'gradients',
        'queries and keys of attention',
    ),
    (
        {
            'dropout': 0.1,
            'acting_dropout': 0.1,
            'has_dropout': True,
            'step_loss': 5.2,
            'scored_loss': 5.2,
        },
        'dropout',
        'does not act',
    ),
    (
        {'next_as_packed': {'inputs': 0.0, 'targets': 0.0}},
        'batches',
        'the first comes again',
    ),
    (
        {'evaluated_as_packed': {'inputs': 0.0, 'targets': 0.0}},
        'batches',
        'other rows than those of the validation split',
    ),
    (
        {'validation_rows': {'doubled_template_share': 1.0}},
        'more rows',
        'validation rows: the template stands twice',
    ),
    ({'same_answer_share': 1.0}, 'variety', 'one answer stands at many'),
    ({'echo_share': 0.5}, 'variety', 'repeat their question'),
    ({'word_pairs_once': 5150}, 'word order', 'in no order'),
    (
        {
            'asking_questions': 0.2,
            'asking_answers': 0.9,
            'writer_in_questions': 0.3,
            'writer_in_answers': 0.9,
        },
        'sides',
        'seem to be exchanged',
    ),
    ({'usual_length_share': 0.9}, 'variety', 'cut at 60 tokens'),
    ({'capital_share': 0.0}, 'texts', 'lower-cased'),
    (
        {
            'repeated_source_times': 3.0,
            'least_repeated_times': 3.0,
            'repeated_share': 0.6,
        },
        'sources',
        'each pair is shown 3 times',
    ),
    ({'flat_arrays': {'h.0.mlp.c_fc.kernel': 0.0}}, 'arrays', 'all zeros'),
    ({'zero_biases': ['h.0.mlp.c_fc.bias']}, 'arrays', 'not in the file'),
    ({'new_norms': ['ln_f']}, 'arrays', 'ln_f: as new'),
    ({'same_blocks': [['0', '1']]}, 'arrays', 'blocks 0, 1 have the same'),
    ({'sizes': {'h.0.mlp.c_fc.kernel': 30.0}}, 'arrays', '30 times as large'),
    (
        {'loss_repaired': {'blocks 0 and 1 are swapped': (5.0, 12.0)}},
        'order of weights',
        'are swapped',
    ),
    (
        {
            'formula_off': 0.4,
            'formula_wrong': {'attention scores are not divided': 1e-6, 'x': 0.3},
        },
        'formula',
        'not divided',
    ),
    ({'formula_off': 0.4, 'formula_wrong': {'x': 0.3}}, 'formula', 'does not compute'),
    ({'moments': [0.9, 0.95, 1.0]}, 'moments', 'eps of 1 is larger'),
    ({'moments': [0.9, 0.5, 0.0]}, 'moments', 'b2 of the config'),
    (
        {'moments': [0.9, 0.5, 0.0], 'asked_moments': [0.9, 0.5, 1e-8]},
        'moments',
        'noisy',
    ),
    ({'goes_up': True}, 'direction', 'flipped'),
    ({'slope': 1.0}, 'direction', 'flipped'),
    ({'slope': -0.5}, 'direction', 'gradient is 2 times'),
    ({'noise_tokens': 90_000.0}, 'gradient noise', '60 times under'),
    (
        {
            'gradient_rms': {'h.0.x.lora_a': 0.0},
            'trained_rms': {'h.0.x.lora_a': 0.07, 'h.0.x.lora_b': 0.0},
            'moved_rms': {'h.0.x.lora_a': 0.0, 'h.0.x.lora_b': 0.0},
            'is_lora': True,
        },
        'gradients',
        'B of every adapter is frozen',
    ),
    ({'step_loss': 6.5, 'step_loss_shift': {'2': 6.5}}, 'loss', 'labels again'),
)


def test_a_healthy_run_has_findings_that_are_all_good() -> None:
    for changes in ({}, LORA, _RESUMED):
        found = examine.judged({**HEALTHY, **changes})
        assert [each for each in found if each.verdict != diagnosis.OK] == []
        assert len({each.id for each in found}) == len(found) > 24


def bare_fields(remedy: str) -> set[str]:
    """The fields that a remedy says to change, and not as the flags to type."""
    verbs = '(?:set|give|raise|lower|divide|multiply)'
    words = set(re.findall(rf'\b{verbs} (\w+\.\w+)', remedy))
    return words & convert.fields(schema.Config).keys()


def test_a_field_that_is_no_flag_is_found_in_a_remedy() -> None:
    assert bare_fields('set --config.train.patience=3') == set()
    assert bare_fields('set train.patience=3') == {'train.patience'}


@pytest.mark.parametrize(('changes', 'name', 'cause'), FAULTS)
def test_a_fault_is_named_by_its_cause(
    changes: dict[str, Any], name: str, cause: str
) -> None:
    found = examine.judged(copy.deepcopy(HEALTHY) | changes)
    bad = [each for each in found if each.verdict != diagnosis.OK]
    assert name in [each.id for each in bad]
    (of_it,) = (each for each in bad if each.id == name)
    assert cause in of_it.cause
    assert of_it.remedy
    assert not bare_fields(of_it.remedy)
    assert of_it.evidence
    assert len(bad) <= 3  # the rest of the run is well


def test_on_a_text_that_the_model_does_not_know_small_gains_are_chance() -> None:
    # As half a corpus in mojibake had them, on weights that are whole.
    unknown = {
        'loss_whole': 5.69,
        'loss_without': {'h.0': 5.9},
        'unigram_entropy': 5.9,
        'loss_repaired': {'c_attn has its thirds in the order k, q, v': (5.664, 4.9)},
    }
    found = examine.judged({**HEALTHY, **unknown})
    assert [each.id for each in found if each.verdict != diagnosis.OK] == []
    unknown['loss_repaired'] = {'h.0.attn.c_proj.kernel is transposed': (5.5, 4.9)}
    found = examine.judged({**HEALTHY, **unknown})
    assert [each.id for each in found if each.verdict != diagnosis.OK] == [
        'order of weights'
    ]


def test_a_usual_bound_of_gradients_is_not_called_the_cause() -> None:
    """A remedy that asks for the bound that the run has would change nothing."""
    before = optimizer_checks.clip({'step_grad_norm': 152.0, 'clipped_norm': 1.0})
    after = run_checks.clipping({'clip_share': 0.012, 'clip_norm': 1.0})
    for found in (before, after):
        assert found and found.verdict == diagnosis.WARN
        assert 'clip_norm=' not in found.remedy
        assert 'lora' not in found.remedy  # a full run has no such scale
    large = {'step_grad_norm': 152.0, 'clipped_norm': 1.0, 'num_steps': 50}
    adapters = optimizer_checks.clip({**large, 'is_lora': True})
    assert adapters and 'lora.alpha' in adapters.remedy
    assert adapters.remedy.endswith('--config.optimizer.warmup_steps=5')
    tiny = optimizer_checks.clip({'step_grad_norm': 1.0, 'clipped_norm': 1e-3})
    assert tiny and tiny.verdict == diagnosis.FAIL and 'clip_norm=1.0' in tiny.remedy


def test_an_unusual_scale_of_adapters_has_an_alpha_that_makes_it_usual() -> None:
    for alpha, rslora in ((64.0, False), (128.0, True)):
        chosen = schema.LoraConfig(rank=1, alpha=alpha, rslora=rslora)
        numbers = {**LORA, 'lora_scale': lora.scale(chosen), 'lora_alpha': alpha}
        found = step_checks.adapters(numbers)
        assert found and found.verdict == diagnosis.WARN
        (asked,) = re.findall(r'--config\.lora\.alpha=([\d.]+)', found.remedy)
        usual = dataclasses.replace(chosen, alpha=float(asked))
        assert lora.scale(usual) == 2


def test_what_was_found_before_the_first_step_is_said_once() -> None:
    before = examine.judged(
        {**HEALTHY, 'rates': {'0': 2e-5, '6': 1e-4, '25': 5e-4, '49': 1e-3}}
    )
    steps = diagnosis.run(
        run_checks.CHECKS, {**AFTER, 'rate_off': 0.9, 'clip_share': 1e-4}
    )
    assert {'rate by step', 'clip by step'} <= {each.id for each in steps}
    told = {each.id for each in after_training.news(steps, before)}
    assert 'rate by step' not in told
    assert 'clip by step' in told
    assert after_training.news(steps, []) == steps


def test_numbers_that_were_not_measured_are_judged_by_no_check() -> None:
    assert examine.judged({}) == []
    assert diagnosis.run((*run_checks.CHECKS, *examine_folder.CHECKS), {}) == []


def test_the_terminal_shows_a_dozen_lines_at_most() -> None:
    bad = {
        'eos_weight': 0.0,
        'position_zero_share': 0.5,
        'mojibake_share': 0.5,
        'dropped_share': 0.9,
        'schedule_count': 2,
        'clipped_norm': 1e-4,
    }
    said = diagnosis.lines(examine.judged({**HEALTHY, **bad}))
    assert len(said) == 13
    assert said[-1].endswith('not shown: 2')


def test_what_was_told_at_the_start_is_named_by_its_id_at_the_end() -> None:
    before = examine.judged({**HEALTHY, 'eos_weight': 0.0, 'dropped_share': 0.9})
    after = examine.judged({**HEALTHY, 'mojibake_share': 0.5})
    fail, warn = (each for each in before if each.verdict != diagnosis.OK)
    assert diagnosis.reminder([*before, *after], before) == [
        f'told at the start: {fail.verdict.upper()} {fail.id}, '
        f'{warn.verdict.upper()} {warn.id}'
    ]
    assert diagnosis.reminder(after, before) == []
    said = diagnosis.lines([*before, *after], most=3, known=before)
    assert said[0].startswith('FAIL characters: ')
    assert len(said) == 4
    assert fail.cause not in '\n'.join(said)


def _summed(rows: measure_model.Rows, kind: str) -> np.ndarray:
    """Losses [B, T] that are the sum of the inputs that a token sees, and a target."""
    inputs, ids = rows['inputs'].astype(np.float64), rows['segment_ids']
    sees = np.ones((*ids.shape, ids.shape[1]), bool)  # [B, T, S]
    if kind != 'no causal mask':
        sees &= np.tri(ids.shape[1], dtype=bool)
    if kind != 'no segments':
        sees &= ids[:, :, None] == ids[:, None]
    return (sees * inputs[:, None]).sum(-1) + rows['targets']


@pytest.mark.parametrize(
    ('kind', 'found'),
    [('whole', []), ('no causal mask', ['causality']), ('no segments', ['isolation'])],
)
def test_one_changed_row_shows_what_losses_see_too_much(
    kind: str, found: list[str]
) -> None:
    scored = []

    def score(replaced: Any, rows: measure_model.Rows) -> np.ndarray:
        scored.append(len(rows['inputs']))
        return _summed(rows, kind)

    ids = np.random.default_rng(1).integers(0, 64, (2, 25))
    rows = {
        'inputs': ids[:, :-1],
        'targets': ids[:, 1:],
        'segment_ids': np.repeat([[1, 2, 3]], 8, axis=1).repeat(2, axis=0),
        'positions': np.tile(np.arange(8), (2, 3)),
    }
    spans = [(1, start, start + 8) for start in (0, 8, 16)]
    nll = _summed(rows, kind)
    numbers = measure_model.probe(score, rows, nll, spans, vocab_size=64, full=False)
    assert scored == [measure_model.PROBED, 4]  # the look's budget counts the first
    assert numbers['repeat_difference'] == 0
    bad = diagnosis.run([input_checks.causality, input_checks.isolation], numbers)
    assert [each.id for each in bad if each.verdict != diagnosis.OK] == found


AFTER: dict[str, Any] = {
    'checkpoints': 2,
    'is_saved': True,
    'last_step': 300,
    'pretrained': True,
    'is_lora': False,
    'steps': 300,
    'logged': 300,
    'first_loss': 5.2,
    'first_losses': 5.1,
    'last_losses': 4.2,
    'lowest_loss': 4.0,
    'highest_loss': 5.3,
    'before_training': 5.3,
    'jumps': {'100': 0.02},
    'rate_off': 0.0,
    'rate_off_step': 1,
    'rate_last': 1e-6,
    'update_ratio': {'h.0': 1e-3},
    'still_layers': [],
    'clip_share': 0.5,
    'clip_norm': 1e-3,
    'repetition_4': 0.02,
    'longest_copy': 6,
    'copy_tokens': 32,
    'longest_copy_of': 120,
    'eos_nll_first': 3.0,
    'eos_nll_last': 1.0,
}


def test_an_update_without_bounds_asks_for_a_rate_that_is_accepted() -> None:
    moved = {'h.0.attn.c_attn.kernel': float('inf')}
    found = rate_checks.update_size({**HEALTHY, 'moved_rms': moved})
    assert found is not None
    assert found.remedy == 'lower --config.optimizer.learning_rate to about 0.0001'


def test_a_decay_that_the_rate_makes_large_asks_for_a_lower_rate() -> None:
    found = optimizer_checks.decay({**HEALTHY, 'rates': {'0': 900.0}})
    assert found is not None
    assert 'learning rate is far too high' in found.cause
    assert 'learning_rate' in found.remedy


@pytest.mark.parametrize('drawn', [{'pretrained': False}, {'is_lora': True}])
def test_weights_that_the_run_draws_may_decay_over_a_long_run(
    drawn: dict[str, bool],
) -> None:
    long = {**HEALTHY, 'rates': {'0': 1.5e-3}, 'num_steps': 20_000}
    kept, learned = (
        optimizer_checks.decay(long),
        optimizer_checks.decay({**long, **drawn}),
    )
    assert kept and kept.verdict == diagnosis.FAIL and 'learning_rate' in kept.remedy
    assert learned and learned.verdict == diagnosis.OK
    fast = optimizer_checks.decay({**long, **drawn, 'decay_matrix': 5.0})
    assert fast and 'weight decay is far too large' in fast.cause


def test_a_healthy_run_s_records_say_nothing() -> None:
    found = diagnosis.run(run_checks.CHECKS, AFTER)
    assert {each.verdict for each in found} == {diagnosis.OK}
    # No parameter is bfloat16, no step was bad, no line is damaged.
    assert len(found) == len(run_checks.CHECKS) - 3


@pytest.mark.parametrize(
    ('changes', 'name'),
    [
        ({'last_losses': 9.0, 'highest_loss': 9.5}, 'divergence'),
        ({'checkpoints': 0}, 'checkpoints'),
        ({'last_losses': 5.099, 'update_ratio': {'h.0': 1e-7}}, 'progress'),
        ({'rate_off': -0.5}, 'rate by step'),
        ({'still_layers': ['h.0.attn.c_attn']}, 'layers'),
        ({'lost_updates': 0.9}, 'lost updates'),
        ({'clip_share': 1e-4}, 'clip by step'),
        ({'clip_share': 0.012, 'clip_norm': 1.0}, 'clip by step'),
        ({'before_training': 9.5}, 'evaluation'),
        ({'repetition_4': 0.8}, 'repetition'),
        ({'longest_copy': 90}, 'memory'),
        ({'eos_nll_last': 8.0}, 'ends of answers'),
        ({'jumps': {'100': 2.0}}, 'going on'),
    ],
)
def test_records_name_what_went_wrong(changes: dict[str, Any], name: str) -> None:
    found = diagnosis.run(run_checks.CHECKS, {**AFTER, **changes})
    bad = [each for each in found if each.verdict != diagnosis.OK]
    assert [each.id for each in bad] == [name]
    assert not bare_fields(bad[0].remedy)


def test_a_source_that_is_called_pairs_is_told_from_the_pairs() -> None:
    found = data_checks.repeated({**HEALTHY, 'repeated_source': 'pairs'})
    assert 'each pair from pairs stands 1.0 times in an epoch' in found.evidence


@pytest.mark.parametrize(
    ('room', 'is_pretrained', 'share', 'remedy'),
    [
        (64, True, 0.9, 'raise --config.data.seq_len, or keep long answers with '),
        (0, False, 0.9, 'raise --config.model.n_positions and --config.data.seq_len, '),
        (0, True, 0.0, 'the base reads no longer rows: take one that does'),
    ],
)
def test_longer_rows_are_advised_where_the_model_reads_them(
    room: int, is_pretrained: bool, share: float, remedy: str
) -> None:
    given = {
        'dropped_share': share,
        'shortened_share': 0.9,
        'pretrained': is_pretrained,
    }
    found = data_checks.dropped({**given, 'room_for_longer_rows': room})
    assert found is not None and found.remedy.startswith(remedy)
    assert ('long_answers=split' in found.remedy) == (share > 0)


def test_the_peak_of_a_warm_up_is_asked_at_its_last_step() -> None:
    settings = schema.OptimizerConfig(learning_rate=2e-3, warmup_steps=20)
    asked = rates.rates(settings, num_steps=30)
    assert max(asked, key=lambda step: asked[step]) == '20'
    found = optimizer_checks.schedule(
        {'rates': asked, 'asked_rates': asked, 'num_steps': 30, 'grad_accum_steps': 1}
    )
    assert found is not None and found.remedy.endswith('.warmup_steps=3')
    assert 'until step 20 of 30, to 0.002' in found.evidence
