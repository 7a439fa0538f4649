"""Programs written out by hand, in the forms that XLA's CPU and TPU compilers print."""

import pytest

from hax_jax.devices import collectives

Traffic = collectives.Traffic


def found(text: str, num_devices: int = 8) -> collectives.Found:
    return collectives.found(text, num_devices=num_devices)


def entry(*lines: str) -> str:
    body = '\n'.join(f'  {line}' for line in ('%p = f32[8,4] parameter(0)', *lines))
    return f'ENTRY %main (p: f32[8,4]) -> f32[8,4] {{\n{body}\n}}\n'


@pytest.mark.parametrize(
    ('line', 'kind', 'expected'),
    [
        # 128 bytes around a ring of 4: 2 * 3 / 4 of them.
        (
            '%a = f32[8,4]{1,0} all-reduce(%p), replica_groups={{0,1,2,3},{4,5,6,7}}, '
            'to_apply=%add',
            'all-reduce',
            Traffic(1, 128, 192),
        ),
        (
            '%a = (f32[2]{0}, /*index=1*/bf16[3,2]{1,0:T(8,128)(2,1)S(1)}, pred[]) '
            'all-reduce(%p, %q, %r), replica_groups={}, to_apply=%add',
            'all-reduce',
            Traffic(1, 21, 37),
        ),
        (
            '%a = f32[8,4]{1,0} all-gather(%p), replica_groups=[2,4]<=[4,2]T(1,0), '
            'dimensions={1}',
            'all-gather',
            Traffic(1, 128, 96),
        ),
        (
            "%a = f32[8,4]{1,0} all-gather(%p), replica_groups=mesh['axis_0'=4,"
            "'axis_1'=1,'axis_2'=2], device_ids=([2,4]T(1,0)) {'axis_2'}, "
            'dimensions={1}',
            'all-gather',
            Traffic(1, 128, 64),
        ),
        (
            "%a = f32[8,4]{1,0} all-gather(%p), replica_groups=mesh['a'=8] "
            "{'a':(1)4}, dimensions={1}",
            'all-gather',
            Traffic(1, 128, 96),
        ),
        (
            '%a = (f32[2,4]{1,0}, f32[8,4]{1,0}) all-gather-start(%p), '
            'replica_groups=[2,4]<=[8], dimensions={0}',
            'all-gather',
            Traffic(1, 128, 96),
        ),
        # Each of 4 devices keeps 32 of the 128 bytes.
        (
            '%a = f32[2,4]{1,0} reduce-scatter(%p), replica_groups=[2,4]<=[8], '
            'dimensions={0}, to_apply=%add',
            'reduce-scatter',
            Traffic(1, 128, 96),
        ),
        (
            '%a = (f32[2,4]{1,0}, f32[2,4]{1,0}) all-to-all(%p, %q), '
            'replica_groups={{0,1},{2,3}}',
            'all-to-all',
            Traffic(1, 64, 32),
        ),
        (
            '%a = (f32[2,4]{1,0}, f32[2,4]{1,0}, u32[], u32[]) '
            'collective-permute-start(%p), source_target_pairs={{0,1},{1,0}}',
            'collective-permute',
            Traffic(1, 32, 32),
        ),
    ],
)
def test_each_kind_in_each_form(line: str, kind: str, expected: Traffic) -> None:
    done = '%d = f32[8,4]{1,0} all-gather-done(%a)'
    assert found(entry(line, done)).by_kind == {kind: expected}


REDUCED = 'f32[8,4] all-reduce(%x), replica_groups={}, to_apply=%add'
BODY = f"""%body (t: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {{
  %two = s32[] constant(2)
  %t = (s32[], f32[8,4]) parameter(0)
  %i = s32[] get-tuple-element(%t), index=0
  %x = f32[8,4] get-tuple-element(%t), index=1
  %r = {REDUCED}
  ROOT %out = (s32[], f32[8,4]) tuple(%next, %r)
  %next = s32[] add(%i, %two)
}}

"""
CONDITION = """%cond (t: (s32[], f32[8,4])) -> pred[] {
  %end = s32[]{:T(128)} constant(13)
  %t = (s32[], f32[8,4]) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%t), index=0
  ROOT %lt = pred[]{:T(512)} compare(%i, %end), direction=LT, metadata={a="}"}
}

"""
LOOP = (
    '%begin = s32[] constant(3)',
    '%copied = s32[]{:T(128)} copy(%begin)',
    '%first = (s32[], f32[8,4]) tuple(%copied, /*index=1*/%p)',
    '%w = (s32[], f32[8,4]) while(%first), condition=%cond, body=%body',
)


def test_a_loop_counts_as_often_as_it_runs() -> None:
    # 3, 5, 7, 9, 11 are under 13.
    once = collectives.traffic('all-reduce', 128, 8)
    assert found(BODY + CONDITION + entry(*LOOP)).by_kind == {'all-reduce': once * 5}
    known = f'{LOOP[-1]}, backend_config={{"known_trip_count":{{"n":"12"}}}}'
    text = BODY + CONDITION + entry(*LOOP[:-1], known)
    assert found(text).by_kind == {'all-reduce': once * 12}


def test_a_loop_in_a_loop_multiplies() -> None:
    known = 'backend_config={"known_trip_count":{"n":"4"}}'
    outer = (
        '%outer (p: f32[8,4]) -> f32[8,4] {\n'
        + '\n'.join(f'  {line}' for line in LOOP)
        + '\n  ROOT %o = f32[8,4] get-tuple-element(%w), index=1\n}\n\n'
    )
    line = f'%v = f32[8,4] while(%p), condition=%cond, body=%outer, {known}'
    text = BODY + CONDITION + outer + entry(line)
    assert found(text).by_kind['all-reduce'].count == 20
    assert {loops: each.count for loops, each in found(text).in_loops.items()} == {
        (4, 5): 20
    }


def test_a_loop_of_unknown_length_counts_once_and_is_told() -> None:
    endless = CONDITION.replace('direction=LT', 'direction=NE')
    result = found(BODY + endless + entry(*LOOP))
    assert (result.by_kind['all-reduce'].count, result.unknown_loops) == (1, 1)
    # Without collectives in it, its length does not matter.
    quiet = BODY.replace(REDUCED, 'f32[8,4] negate(%x)')
    assert found(quiet + endless + entry(*LOOP)) == collectives.Found({}, 0, {})


def test_what_a_tpu_fuses_is_found_once() -> None:
    gather = (
        'bf16[8,4]{1,0} all-gather(%q), channel_id=7, replica_groups={{0,1}}, '
        'frontend_attributes={chain_id="3"}'
    )
    pieces = ''.join(
        f'%piece.{i} (q: bf16[4,4]) -> bf16[8,4] {{\n  ROOT %g.{i} = {gather}\n}}\n\n'
        for i in range(3)
    )
    scatter = (
        '%all-reduce-scatter.1 (q: f32[8,4]) -> f32[4,4] {\n'
        '  %r = f32[8,4] all-reduce(%q), replica_groups={{0,1}}, to_apply=%add\n'
        '  ROOT %s = f32[4,4] dynamic-slice(%r, %i)\n}\n\n'
    )
    lines = [
        f'%f.{i} = bf16[8,4] fusion(%p), kind=kCustom, calls=%piece.{i}'
        for i in range(3)
    ]
    lines.append('%h = f32[4,4] fusion(%p), calls=%all-reduce-scatter.1')
    assert found(pieces + scatter + entry(*lines)).by_kind == {
        'all-gather': Traffic(1, 64, 32),
        'reduce-scatter': Traffic(1, 128, 64),
    }


def test_a_constant_of_several_lines_does_not_end_a_computation() -> None:
    kernel = '%k = f32[8,4] custom-call(%p), backend_config={"a": "{\n}, 1"}'
    assert found(entry(kernel, f'%r = {REDUCED}')).by_kind['all-reduce'].count == 1
