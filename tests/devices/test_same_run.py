"""What processes compare, and in which words they differ."""

import pathlib

from hax_jax.devices import same_run


def test_each_fact_that_differs_is_a_line_with_processes_and_values() -> None:
    values = [
        {'seed': 0, 'rate': 0.1, 'same': [1]},
        {'seed': 1, 'rate': 0.1, 'same': [1]},
        {'seed': 1, 'same': [1]},
    ]
    assert same_run.differences(values) == [
        '  rate: 0.1 in processes 0, 1, missing in process 2',
        '  seed: 0 in process 0, 1 in processes 1, 2',
    ]


def test_the_number_of_devices_and_places_of_dumps_may_differ() -> None:
    flags = '--xla_b=1 --xla_force_host_platform_device_count=4 --xla_dump_to=/a --a'
    assert same_run.shared_flags(flags) == ['--a', '--xla_b=1']


def test_the_code_of_all_packages_counts() -> None:
    found = same_run.code()
    for path in ('hax_jax/model/loss.py', 'data_pipeline/pack.py', 'launch/train.py'):
        assert len(found[path]) == 12


def test_who_does_not_see_the_workdir_is_named() -> None:
    values = [{'sees': True, 'where': '/a'}, {'sees': False, 'where': '/b'}]
    said = same_run._judge_seen(values)
    assert 'process 1 (/b) did not see a file that process 0 wrote in /a' in said
    assert 'gs://bucket/run' in said
    assert same_run._judge_seen(values[:1]) == ''


def test_one_process_compares_nothing_and_writes_nothing(
    tmp_path: pathlib.Path,
) -> None:
    same_run.compare({'a': 1}, remedy='')
    same_run.check_shared(tmp_path / 'run')
    assert list(tmp_path.iterdir()) == []
