"""The HTTP client against servers on loopback that are busy, broken or strict."""

import email.utils
import logging

import loopback
import pytest

from data_pipeline.collecting import http_client

GOOD = loopback.Reply({'data': [1, 2, 3], 'padding': 'x' * 500})
NOW = 1_700_000_000.0


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = NOW
        self.sleeps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def no_problem(value: object) -> str:
    return '' if isinstance(value, dict) and 'data' in value else 'no data'


def str_of_error(value: object) -> str:
    assert isinstance(value, dict)
    return f'error {value["error"]}' if 'error' in value else ''


def get(*replies: loopback.Reply, times: int = 1, **options: object) -> tuple:
    """(last value, sleeps, number of requests) of `times` calls."""
    script, clock = loopback.Script(*replies), Clock()
    with loopback.serve(script) as url:
        client = http_client.Client(
            user_agent='test', sleep=clock.sleep, clock=clock, **options
        )
        for _ in range(times):
            value = client.get_json(f'{url}/a', {'q': 'x'}, problem=no_problem)
    return value, clock.sleeps, len(script.requests)


@pytest.mark.parametrize(
    'bad',
    [
        loopback.Reply({'error': 'slow down'}, status=429),
        loopback.Reply('busy', status=500),
        loopback.Reply(loopback.HTML, status=503),
        loopback.Reply({'error': 'Timeout. Maybe slow down a bit'}, status=422),
        loopback.Reply({'data': [1] * 90}, cut=40),
        loopback.Reply({'data': [1] * 90}, cut=40, short=False),
        loopback.Reply(''),
        loopback.Reply({'data': None, 'error': 'busy'}, late=1.0),
        loopback.Reply([], status=200),
    ],
    ids=['429', '500', '503', '422', 'truncated', 'broken', 'empty', 'late', 'shape'],
)
def test_what_passes_is_asked_again_after_growing_waits(bad: loopback.Reply) -> None:
    value, sleeps, requests = get(bad, bad, bad, GOOD, timeouts_seconds=(2, 0.3))
    assert value == GOOD.value
    assert requests == 4
    for i, seconds in enumerate(sleeps):  # 1, 2, 4 seconds and a jitter of up to one
        assert 2**i <= seconds <= 2**i + 1


def test_waits_differ_by_chance() -> None:
    bad = loopback.Reply('', status=500)
    assert get(bad, bad, GOOD)[1] != get(bad, bad, GOOD)[1]


@pytest.mark.parametrize(
    ('headers', 'seconds'),
    [
        ({'Retry-After': '40'}, 40),
        ({'Retry-After': email.utils.formatdate(NOW + 50, usegmt=True)}, 50),
        ({'X-Ratelimit-Reset': '60'}, 60),  # a 429 says that nothing remains
        ({'X-Ratelimit-Reset': '61', 'X-Ratelimit-Remaining': '0'}, 61),
        ({'X-RateLimit-Reset': str(int(NOW + 70))}, 70),
        ({'Retry-After': '80', 'X-Ratelimit-Reset': '5'}, 80),
        ({'Retry-After': 'soon', 'X-Ratelimit-Reset': '90'}, 90),
    ],
)
def test_a_server_is_not_asked_sooner_than_it_says(
    headers: dict[str, str], seconds: float
) -> None:
    _, sleeps, _ = get(loopback.Reply('', status=429, headers=headers), GOOD)
    assert sleeps == [seconds]


def test_an_allowance_that_is_used_up_is_waited_for_before_the_next_request() -> None:
    last = loopback.Reply(
        GOOD.value, headers={'X-Ratelimit-Remaining': '0.0', 'X-Ratelimit-Reset': '33'}
    )
    more = loopback.Reply(
        GOOD.value, headers={'X-Ratelimit-Remaining': '7', 'X-Ratelimit-Reset': '33'}
    )
    assert get(more, last, GOOD, times=3)[1] == [33]


@pytest.mark.parametrize('status', [422, 429, 500])
def test_a_reset_is_not_waited_for_while_requests_remain(status: int) -> None:
    headers = {'X-RateLimit-Remaining': '1994', 'X-RateLimit-Reset': '58'}
    bad = loopback.Reply({'error': 'Timeout'}, status=status, headers=headers)
    assert get(bad, GOOD)[1][0] <= 2  # its own back-off


@pytest.mark.parametrize(
    'bad',
    [
        loopback.Reply({'error': 'Timeout. Maybe slow down a bit'}, status=422),
        loopback.Reply({'error': 'Timeout'}),
        loopback.Reply('', status=504),
        loopback.Reply({'data': []}, late=1.0),
    ],
    ids=['422', '200', '504', 'late'],
)
def test_what_is_too_heavy_is_told_at_once_to_who_can_ask_for_less(
    bad: loopback.Reply,
) -> None:
    script, clock = loopback.Script(bad, GOOD), Clock()
    with loopback.serve(script) as url:
        client = http_client.Client(
            user_agent='t', sleep=clock.sleep, clock=clock, timeouts_seconds=(2, 0.3)
        )
        with pytest.raises(http_client.HeavyError):
            client.get_json(url, {}, problem=str_of_error, can_ask_less=True)
        client.get_json(url, {}, problem=str_of_error, can_ask_less=True)
    assert (len(script.requests), len(clock.sleeps)) == (2, 1)


def test_a_wait_that_is_too_long_is_an_error_that_names_it() -> None:
    bad = loopback.Reply('', status=429, headers={'Retry-After': '4000'})
    with pytest.raises(http_client.SourceError, match='alone for 4,000 seconds'):
        get(bad)


def test_patience_ends() -> None:
    script = loopback.Script(loopback.Reply('', status=500))
    clock = Clock()
    with loopback.serve(script) as url:
        client = http_client.Client(
            user_agent='test', attempts=3, sleep=clock.sleep, clock=clock
        )
        with pytest.raises(http_client.SourceError, match=r'failed 3 times.*500'):
            client.get_json(url, {}, problem=no_problem)
    assert (len(script.requests), len(clock.sleeps)) == (3, 2)


def test_no_server_at_first_is_said_at_once_and_later_waited_for() -> None:
    clock = Clock()
    client = http_client.Client(
        user_agent='test', attempts=3, sleep=clock.sleep, clock=clock
    )
    with loopback.serve(loopback.Script(GOOD)) as url:
        pass
    with pytest.raises(http_client.NoConnectionError) as found:
        client.get_json(url, {}, problem=no_problem)
    assert not clock.sleeps
    host = url.removeprefix('http://')
    assert f'{host} can not be reached (no connection: Connection refused)' in str(
        found.value
    )
    assert 'no thread was written' in str(found.value)
    with loopback.serve(loopback.Script(GOOD)) as url:
        client.get_json(url, {}, problem=no_problem)
    with pytest.raises(http_client.SourceError, match='last with: no connection'):
        client.get_json(url, {}, problem=no_problem)
    assert len(clock.sleeps) == 2


def test_a_name_that_nobody_knows_is_said_at_once() -> None:
    client = http_client.Client(user_agent='test')
    with pytest.raises(http_client.NoConnectionError, match=r'archive\.invalid can'):
        client.get_json('http://archive.invalid/', {}, problem=no_problem)


def test_a_first_request_that_breaks_off_is_retried() -> None:
    broken = loopback.Reply({'data': [1] * 90}, cut=40, short=False)
    assert get(broken, GOOD)[2] == 2


@pytest.mark.parametrize(
    ('reply', 'error', 'words'),
    [
        (loopback.Reply('no', status=404), http_client.NotFoundError, '404'),
        (loopback.Reply('no', status=403), http_client.RefusedError, '403'),
        (loopback.Reply(loopback.HTML, status=403), http_client.RefusedError, 'HTML'),
        (loopback.Reply(loopback.HTML), http_client.RefusedError, 'a page of HTML'),
        (
            loopback.Reply({'error': 'limit: too big'}, status=400),
            http_client.SourceError,
            'limit: too big',
        ),
    ],
)
def test_what_does_not_pass_fails_at_once(
    reply: loopback.Reply, error: type[Exception], words: str
) -> None:
    script = loopback.Script(reply)
    with loopback.serve(script) as url:
        client = http_client.Client(user_agent='test')
        with pytest.raises(error, match=words) as found:
            client.get_json(url, {}, problem=no_problem)
    assert len(script.requests) == 1
    assert len(str(found.value)) < 500


def test_no_url_is_an_error_of_the_users() -> None:
    with pytest.raises(http_client.SourceError, match='is no URL'):
        http_client.Client(user_agent='a').get_json('nowhere', {}, problem=no_problem)


def test_secrets_never_reach_a_log(caplog: pytest.LogCaptureFixture) -> None:
    redaction = http_client.Redaction(['s3cret', ''])
    caplog.handler.addFilter(redaction)
    try:
        log = logging.getLogger('collect')
        log.warning('asked with %s and %r', 's3cret', {'token': 's3cret!'})
    finally:
        caplog.handler.removeFilter(redaction)
    assert caplog.messages == ["asked with *** and {'token': '***!'}"]
