"""Reddit's API through PRAW, against a loopback server that speaks OAuth."""

import pathlib
import subprocess

import loopback
import programs
import pytest
import reddit_objects
import test_reddit_json

SECRETS = {
    'REDDIT_CLIENT_ID': 'the-id-1234',
    'REDDIT_CLIENT_SECRET': 'the-secret-5678',
    'REDDIT_USER_AGENT': 'linux:test:1 (by u/nobody)',
}


class FakeApi(test_reddit_json.FakeReddit):
    """The same pages behind a token, at the API's addresses."""

    def __call__(self, path: str, query: dict[str, str]) -> loopback.Reply:
        if path == '/api/v1/access_token':
            self.requests.append((path, query))
            return loopback.Reply(
                {'access_token': 'token', 'expires_in': 3600, 'scope': '*'}
            )
        if path.startswith('/comments/'):
            return super().__call__(f'{path.rstrip("/")}.json', query)
        return super().__call__(f'{path.rstrip("/")}.json', query)


def run(
    url: str, output: pathlib.Path, *more: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return programs.run(
        *('-m', 'data_pipeline.collect', '--source=reddit', '--subreddit=advice'),
        *(f'--base_url={url}', f'--output={output}', *more),
        **{**SECRETS, **environment},
    )


def test_the_program_collects_through_praw_and_goes_on(tmp_path: pathlib.Path) -> None:
    pytest.importorskip('praw', reason='PRAW is optional')
    output = tmp_path / 'a.jsonl'
    server = FakeApi(12, page=5)
    with loopback.serve(server) as url:
        for limit in (4, 9):
            done = run(url, output, f'--limit={limit}')
            assert done.returncode == 0, done.stderr
            assert reddit_objects.ids(output) == [f'p{i:04d}' for i in range(limit)]
    listings = [query for path, query in server.requests if '/top' in path]
    assert listings[0]['t'] == 'all'
    assert 't3_p0003' in [query.get('after') for query in listings]
    for file in tmp_path.iterdir():
        for secret in (SECRETS['REDDIT_CLIENT_ID'], SECRETS['REDDIT_CLIENT_SECRET']):
            assert secret not in file.read_text()
            assert secret not in done.stdout + done.stderr


def test_a_refused_app_is_one_error_without_its_secret(tmp_path: pathlib.Path) -> None:
    pytest.importorskip('praw', reason='PRAW is optional')
    refusal = loopback.Reply({'message': 'Unauthorized', 'error': 401}, status=401)
    with loopback.serve(loopback.Script(refusal)) as url:
        done = run(url, tmp_path / 'a.jsonl')
    assert done.returncode == 2
    assert done.stderr.startswith('error: Reddit refuses the app')
    assert 'the-secret-5678' not in done.stdout + done.stderr


def test_variables_that_are_not_set_are_all_named(tmp_path: pathlib.Path) -> None:
    done = run(
        'http://127.0.0.1:9',
        tmp_path / 'a.jsonl',
        REDDIT_CLIENT_ID='',
        REDDIT_USER_AGENT='',
    )
    assert done.returncode == 2
    assert 'needs REDDIT_CLIENT_ID, REDDIT_USER_AGENT in the environment' in done.stderr
    assert done.stderr.count('\n') == 1


def test_without_praw_the_remedy_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'praw.py').write_text('raise ImportError("not here")')
    path = f'{tmp_path}:{programs.ROOT}'
    done = run('http://127.0.0.1:9', tmp_path / 'a.jsonl', PYTHONPATH=path)
    assert done.returncode == 2
    assert 'pip install "praw>=7.8"' in done.stderr
