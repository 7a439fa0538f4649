"""What a run's records say while it goes on and after: each check one pure function.

The numbers are `measure_run`'s. Limits are wide of what thirty healthy runs of 50 steps
had (tests/doctor/table.py --healthy).
"""

from hax_jax.doctor import diagnosis, optimizer_checks
from hax_jax.doctor.diagnosis import FAIL, WARN, Finding, Numbers


def divergence(n: Numbers) -> Finding | None:
    """The training loss falls, and does not rise above where it began."""
    if 'last_losses' not in n or n['logged'] < 10:
        return None
    first, last, highest = n['first_loss'], n['last_losses'], n['highest_loss']
    evidence = (
        f'training loss {first:.2f} at first, {last:.2f} at last, {highest:.2f} at '
        f'most, over {n["steps"]} steps'
    )
    bars = (('at first', first), ('at most', highest), ('at last', last))
    if last <= first + 0.1 * abs(first) and highest <= first + max(1.0, 0.25 * first):
        return diagnosis.good('divergence', evidence)
    return Finding(
        'divergence',
        FAIL,
        evidence,
        'training diverged: the learning rate is too high, or the loss is not what its '
        'gradient lowers',
        'divide --config.optimizer.learning_rate by 10; hax doctor --config=... tries '
        'rates',
        'a loss may rise by noise, not above its start',
        bars,
    )


def bad_steps(n: Numbers) -> Finding | None:
    """No step stopped the run, and few were left out."""
    if not n.get('bad_steps'):
        return None
    last, kind, action = n['bad_step'], n['bad_kind'], n['bad_action']
    evidence = f'{n["bad_steps"]} bad steps, the last at {last}: {kind}, {action}'
    bars = (('bad', n['bad_steps']), ('the last', last))
    is_end = action == 'stopped' and last >= n['last_step']
    if not is_end and n['bad_steps'] <= max(1, 0.01 * n['last_step']):
        return diagnosis.good('bad steps', evidence)
    return Finding(
        'bad steps',
        FAIL if is_end else WARN,
        evidence,
        f'training diverged and was stopped at step {last}: the learning rate is too '
        'high, or its rows are damaged'
        if is_end
        else 'many steps had a loss or a gradient that is out of all measure',
        'divide --config.optimizer.learning_rate by 10, and look at the pairs that '
        'bad_steps.jsonl lists',
        'a healthy run has none',
        bars,
    )


def unread(n: Numbers) -> Finding | None:
    """All that the run wrote down can be read."""
    lost = [f'{n["unread_lines"]} lines of its logs'] if n.get('unread_lines') else []
    lost += [f'all of {diagnosis.FILE}'] if n.get('unread_findings') else []
    if not lost:
        return None
    return Finding(
        'records',
        WARN,
        f'{" and ".join(lost)} can not be read',
        'files of the run are damaged or cut, so what they said is not judged here',
        'copy the run again from where it comes; the checkpoints are looked at by hax '
        'checkpoints --workdir=... --verify',
        'each line is a JSON object with its step',
    )


def checkpoints(n: Numbers) -> Finding | None:
    """The run has a checkpoint to go on from, and to ask."""
    if 'checkpoints' not in n:
        return None
    if n['checkpoints']:
        return diagnosis.good('checkpoints', f'{n["checkpoints"]} are there')
    every = f', one is due every {n["save_every"]} steps' if 'save_every' in n else ''
    evidence = f'no checkpoint is there; the last figures are of step {n["last_step"]}'
    if n['is_saved']:
        cause = 'the folder checkpoints/ was deleted, or not copied with the run'
        remedy = 'copy checkpoints/ from a backup, or begin anew with --restart'
    else:
        cause = 'the run stopped before its first save, or has not come to it yet'
        remedy = (
            'if it has stopped, give the command of the run again: it begins anew; '
            '--config.train.checkpoint_every_steps=N saves earlier'
        )
    return Finding(
        'checkpoints',
        WARN,
        evidence + every,
        cause,
        remedy,
        'without one, nothing of the run can be sampled, exported or gone on with',
    )


def progress(n: Numbers) -> Finding | None:
    """The training loss moves at all."""
    if 'last_losses' not in n or n['logged'] < 20:
        return None
    first, last = n['first_losses'], n['last_losses']
    if last > 1.1 * first:
        return None  # divergence says more
    ratios = [ratio for ratio in n.get('update_ratio', {}).values() if ratio]
    largest = max(ratios, default=0.0)
    evidence = (
        f'training loss {first:.3f} in the first steps, {last:.3f} in the last of '
        f'{n["steps"]}; the largest update of a layer is {largest:.1g} of it'
    )
    if first - last > 0.01 * first or (largest > 1e-4 and n['steps'] < 100):
        return diagnosis.good('progress', evidence)
    return Finding(
        'progress',
        WARN if largest > 1e-5 else FAIL,
        evidence,
        'the learning rate is too low to teach anything'
        if largest
        else 'nothing is trained: no layer moves',
        'multiply --config.optimizer.learning_rate by 10 or more',
        'healthy runs move a layer by 0.0001 to 0.01 of it a step',
        (('first', first), ('last', last)),
    )


def rate(n: Numbers) -> Finding | None:
    """The rate of each step is that of the config's schedule."""
    if 'rate_off' not in n:
        return None
    evidence = (
        f'at step {n["rate_off_step"]} the rate is off by {abs(n["rate_off"]):.0%} of '
        f'the peak; it ends at {n["rate_last"]:.2g}'
    )
    if abs(n['rate_off']) <= 0.1:
        return diagnosis.good('rate by step', evidence)
    return Finding(
        'rate by step',
        FAIL,
        evidence,
        'the schedule is not stepped once a step: perhaps once a microbatch'
        if n['rate_off'] < 0
        else 'the schedule is not that of the config',
        'mend what steps the schedule, and train anew',
        'the formulas of optimizer.schedule',
    )


def still(n: Numbers) -> Finding | None:
    """Each layer moves."""
    if 'still_layers' not in n:
        return None
    names = n['still_layers']
    evidence = f'{len(names)} of {len(n["update_ratio"])} layers never moved' + (
        f': {", ".join(names[:4])}' if names else ''
    )
    if not names:
        return diagnosis.good('layers', evidence)
    return Finding(
        'layers',
        FAIL,
        evidence,
        'these layers have no gradient (a stop_gradient, or adapters that are zero)',
        'hax doctor --config=... names the parameters',
        'norms by layer in metrics.jsonl (train.layer_metrics_every_steps)',
    )


def lost(n: Numbers) -> Finding | None:
    """Updates are not lost to the dtype of the parameters."""
    if 'lost_updates' not in n:
        return None
    evidence = f'{n["lost_updates"]:.0%} of the updates left their parameter as it was'
    if n['lost_updates'] <= 0.5:
        return diagnosis.good('lost updates', evidence)
    return Finding(
        'lost updates',
        WARN,
        evidence,
        'updates are too small for bfloat16 parameters',
        'set --config.train.param_dtype=float32, or raise '
        '--config.optimizer.learning_rate',
        'a bfloat16 has 8 bits',
    )


def clipping(n: Numbers) -> Finding | None:
    """Clipping leaves the usual gradient a part of its norm."""
    if 'clip_share' not in n:
        return None
    evidence = (
        f'optimizer.clip_norm is {n["clip_share"]:.2g} of the median gradient norm'
    )
    if n['clip_share'] > 0.02:
        return diagnosis.good('clip by step', evidence)
    if n['clip_norm'] >= optimizer_checks.USUAL_CLIP:
        return Finding(
            'clip by step',
            WARN,
            evidence,
            'gradients stay far over a usual bound: the rate is too high for these '
            'weights, or adapters have a large scale (lora.alpha)',
            'divide --config.optimizer.learning_rate by 10',
            'optimizer.clip_norm is as others have it (1.0), so it is not the cause',
        )
    return Finding(
        'clip by step',
        FAIL,
        evidence,
        'optimizer.clip_norm cuts each gradient to almost nothing',
        'set --config.optimizer.clip_norm=1.0',
        "Adam's eps is then as large as the gradient",
    )


def evaluation(n: Numbers) -> Finding | None:
    """Training begins at the loss that evaluation gives before it."""
    if 'before_training' not in n or 'first_loss' not in n:
        return None
    train, judged = n['first_loss'], n['before_training']
    evidence = f'first training loss {train:.2f}, evaluation before it {judged:.2f}'
    if abs(train - judged) <= 0.3 * judged + 0.5:
        return diagnosis.good('evaluation', evidence)
    return Finding(
        'evaluation',
        WARN,
        evidence,
        'training and evaluation do not see the same task: another template, other '
        'weights of the loss, or a very large dropout',
        'compare rows of both splits with hax data; lower dropout',
        'before the first update both are the same model',
        (('training', train), ('evaluation', judged)),
    )


def answers(n: Numbers) -> Finding | None:
    """Sampled answers do not repeat themselves."""
    if 'repetition_4' not in n or n['steps'] < 200:
        return None
    evidence = f'{n["repetition_4"]:.0%} of the runs of 4 words in the answers repeat'
    if n['repetition_4'] <= 0.4:
        return diagnosis.good('repetition', evidence)
    return Finding(
        'repetition',
        WARN,
        evidence,
        'answers repeat themselves: the model is under-trained, or sampling is greedy',
        'train longer, or sample with a temperature of 0.7 or more',
        'letters of people repeat under 5%',
    )


def memory(n: Numbers) -> Finding | None:
    """Sampled answers are not copied from training."""
    if 'longest_copy' not in n:
        return None
    longest, size = n['longest_copy'], n['longest_copy_of']
    evidence = (
        f'the longest run of tokens that an answer shares with training is {longest}, '
        f'of {size}'
    )
    if longest < n['copy_tokens']:
        return diagnosis.good('memory', evidence)
    return Finding(
        'memory',
        WARN,
        evidence,
        'answers are copied from training: the model has learned letters by heart',
        'train fewer epochs, take an earlier step, or add pairs',
        'Carlini et al. 2021, arXiv:2012.07805',
        (('copied', longest), ('answer', size)),
    )


def ends(n: Numbers) -> Finding | None:
    """The model learns to end an answer."""
    if 'eos_nll_last' not in n:
        return None
    first, last = n['eos_nll_first'], n['eos_nll_last']
    evidence = f'EOS after an answer costs {last:.2f} nats, {first:.2f} at first'
    if last <= first + 1.0:
        return diagnosis.good('ends of answers', evidence)
    return Finding(
        'ends of answers',
        WARN,
        evidence,
        'the model unlearns how to end an answer: EOS has no loss weight, or answers '
        'are cut',
        'hax doctor --config=... looks at EOS in the rows',
        'EOS is the target after the last token of an answer',
        (('at first', first), ('now', last)),
    )


def resumed(n: Numbers) -> Finding | None:
    """Where a run went on, its loss went on too."""
    jumps = n.get('jumps')
    if not jumps:
        return None
    step = max(jumps, key=lambda each: jumps[each])
    evidence = (
        f'where a call went on from step {step} the loss moved by {jumps[step]:+.2f}'
    )
    spread = max(0.5, 0.5 * (n['highest_loss'] - n['lowest_loss']))
    if jumps[step] <= spread:
        return diagnosis.good('going on', evidence)
    return Finding(
        'going on',
        WARN,
        evidence,
        "the optimizer's moments or the parameters were not those of the checkpoint",
        'hax prove_resume compares a run that is stopped with one that is not',
        'a run that goes on computes the same bits',
    )


CHECKS = (
    bad_steps,
    unread,
    checkpoints,
    divergence,
    progress,
    rate,
    still,
    lost,
    clipping,
    evaluation,
    answers,
    memory,
    ends,
    resumed,
)
