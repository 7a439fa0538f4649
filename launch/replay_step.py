"""One step's batch alone, pair by pair: which of them made the step go wrong."""

import dataclasses
import math
import pathlib

import jax

from hax_jax import errors, files
from hax_jax.guards import bad_steps, pair_gradients
from hax_jax.runs import checkpoint, restore, run_folder, saved_steps
from hax_jax.training import resume, run_setup
from hax_jax.training import train_state as ts

_SHOWN = 20  # pairs on the terminal


def replay(
    setup: run_setup.Setup, workdir: pathlib.Path, step: int, *, base: str = ''
) -> str:
    """A table of the pairs of a step's batch, those of the largest gradients first.

    The state is that of the newest whole checkpoint before the step, else the first.
    The rows are those in bad_steps.jsonl, else those of the stream. All pairs go to
    replay-STEP.jsonl in the workdir; nothing of the run is changed.

    Raises:
      InputError: the run has no such step, or its rows are others.
    """
    if not 1 <= step <= setup.num_steps:
        raise errors.InputError(
            f'--replay={step}: the run has the steps 1 to {setup.num_steps}.'
        )
    with jax.set_mesh(setup.mesh):
        state, begin = _before(setup, workdir, step, base)
        rows = bad_steps.read_rows(workdir, step)
        named_by = bad_steps.FILE
        if rows is None:
            here = dataclasses.replace(setup, begin=begin)
            rows, named_by = here.rows_of(step).tolist(), 'the order of rows'
        if not all(0 <= row < setup.cache.num_rows('train') for row in rows):
            raise errors.InputError(
                f'{workdir / bad_steps.FILE} names rows that {setup.cache.path} does '
                'not have; move the file away to find the rows by their order.'
            )
        found = pair_gradients.of_batch(
            setup.blueprint.model,
            setup.blueprint.split_held,
            state.params,
            state.frozen,
            rows,
            setup.cache,
            mesh=setup.mesh,
        )
    path = file_of(workdir, step)
    if jax.process_index() == 0:
        files.write_json_lines(path, map(_line, found.pairs))
    far = step - 1 - begin.step
    nearer = (
        f'{far} steps lie between: no checkpoint after step {begin.step} and before '
        f'step {step} is kept, so these are not the parameters that the step had'
    )
    return '\n'.join(
        [
            f'step {step}, its {len(rows)} rows by {named_by}, on the parameters after '
            f'step {begin.step}, without dropout: loss {found.loss:.4f}, gradient norm '
            f'{found.grad_norm:.4f}',
            *([nearer] if far else []),
            *_table(found.pairs),
            f'all {len(found.pairs)} pairs: {path}',
        ]
    )


def file_of(workdir: pathlib.Path, step: int) -> pathlib.Path:
    """Where `replay` writes all the pairs of a step."""
    return workdir / f'replay-{step}.jsonl'


def _before(
    setup: run_setup.Setup, workdir: pathlib.Path, step: int, base: str
) -> tuple[ts.TrainState, run_setup.Progress]:
    """The parameters to replay a step on, and what was trained up to them."""
    newest, source = None, None
    if (workdir / 'run.json').exists():
        run = run_folder.read_run(workdir)
        if run['dataset'] not in ('', setup.cache.fingerprint):
            raise errors.InputError(
                f'the rows in {setup.cache.path} are not those that {workdir} was '
                'trained on; give the data.path of the run.'
            )
        steps = saved_steps.list_steps(workdir / run_folder.CHECKPOINTS, run['id'])
        before = [info for info in steps if info.step < step]
        newest, _ = saved_steps.first_whole(reversed(before))
        if run['base']:
            source = restore.load_run_base(workdir, base=base)
    elif not (workdir / bad_steps.FILE).exists():
        raise errors.InputError(f'--workdir={workdir} holds no run to replay.')
    elif setup.run.model.pretrained:
        source = restore.load_base(setup.run.model.pretrained)
    state = ts.create(
        setup.blueprint,
        seed=setup.run.train.seed,
        base=source.parameters if source else None,
    )
    if newest is None:
        return state, run_setup.Progress()
    params = checkpoint.restore(
        newest.path, {checkpoint.PARAMS: setup.blueprint.state.params}
    )[checkpoint.PARAMS]
    begin = resume.progress(newest, run_folder.read_config(workdir))
    return dataclasses.replace(state, params=params), begin


def _line(pair: pair_gradients.PairGradient) -> dict[str, object]:
    values = dataclasses.asdict(pair)
    return {
        name: bad_steps.in_json(value) if isinstance(value, float) else value
        for name, value in values.items()
    }


def _table(pairs: list[pair_gradients.PairGradient]) -> list[str]:
    """The pairs of the largest gradients, what is not finite before all."""

    def size(pair: pair_gradients.PairGradient) -> tuple[bool, float]:
        finite = math.isfinite(pair.loss + pair.grad_norm)
        return not finite, pair.grad_norm if finite else 0.0

    lines = [f'{"loss":>10} {"grad norm":>10} {"weight":>8} {"row":>7}  pair (source)']
    for pair in sorted(pairs, key=size, reverse=True)[:_SHOWN]:
        lines.append(
            f'{pair.loss:>10.4f} {pair.grad_norm:>10.4f} {pair.weight:>8g} '
            f'{pair.row:>7}  {pair.id} ({pair.source})'
        )
    return lines
