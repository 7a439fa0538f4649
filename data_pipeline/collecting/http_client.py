"""JSON over HTTP, with retries and pauses for servers that are busy or broken.

Retries a temporary failure (429, 5xx, a timeout, half an answer) after exponential
back-off with jitter, never sooner than the server asks (Retry-After, or X-Ratelimit-
Reset). Fails at once on 403, 404 or a page of HTML. Logs and shows no header;
`Redaction` keeps given secrets out of any log.
"""

import datetime
import email.utils
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import requests
import tenacity

from hax_jax import errors

LOG = logging.getLogger('collect')
TIMEOUTS_SECONDS = (10.0, 60.0)  # to connect; between two packets of an answer
_EPOCH_FROM = 1e8  # an X-Ratelimit-Reset above this is a time, not a span
_BUSY = re.compile(r'time(?:d )?-?out|slow down', re.IGNORECASE)
_SHOWN = 200  # characters of an answer that an error shows


class SourceError(errors.InputError):
    """A source can't be read now; the message has its answer and a remedy."""


class NotFoundError(SourceError):
    """404 or 410: the server has no such page."""


class RefusedError(SourceError):
    """401, 403 or a page of HTML where JSON was asked for."""


class _PassingError(Exception):
    """A temporary failure; retry after `wait_seconds`."""

    def __init__(self, message: str, wait_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class Client:
    """Sends one request at a time to one server; `sleep` and `clock` are for tests.

    Raises an error if a server asks for a pause over `longest_wait_seconds`.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        attempts: int = 7,
        first_wait_seconds: float = 1.0,
        longest_wait_seconds: float = 900.0,
        timeouts_seconds: tuple[float, float] = TIMEOUTS_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._session = requests.Session()
        self._session.headers.update(
            {'User-Agent': user_agent, 'Accept': 'application/json'}
        )
        self._attempts = attempts
        self._longest_wait_seconds = longest_wait_seconds
        self._timeouts_seconds = timeouts_seconds
        self._sleep, self._clock = sleep, clock
        # 1, 2, 4 … 60 seconds, each with up to first_wait_seconds more by chance.
        self._backoff = tenacity.wait_exponential_jitter(
            initial=first_wait_seconds, max=60.0, jitter=first_wait_seconds
        )
        self._not_before = 0.0

    def get_json(
        self, url: str, params: Mapping[str, Any], *, problem: Callable[[Any], str]
    ) -> Any:
        """The JSON value of the server's answer.

        `problem` returns the fault of a value, '' for a good one. A fault is retried,
        since busy servers answer 200 with {"error": …} too.

        Raises:
          NotFoundError, RefusedError: the server has no such page, or refuses it.
          SourceError: every attempt failed, or the server rejects the request.
        """
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=self._wait_seconds,
            sleep=self._sleep,
            retry=tenacity.retry_if_exception_type(_PassingError),
            before_sleep=self._log_retry,
            reraise=True,
        )
        try:
            return retrying(self._get_once, url, dict(params), problem)
        except _PassingError as error:
            raise SourceError(
                f'{url} failed {self._attempts} times, last with: {error}; start again '
                'later, which goes on where this ended.'
            ) from None

    def _get_once(
        self, url: str, params: dict[str, Any], problem: Callable[[Any], str]
    ) -> Any:
        self._wait_for_allowance()
        started = self._clock()
        try:
            response = self._session.get(
                url, params=params, timeout=self._timeouts_seconds
            )
        except (
            requests.exceptions.MissingSchema,
            requests.exceptions.InvalidSchema,
            requests.exceptions.InvalidURL,
        ):
            raise SourceError(f'{url!r} is no URL; give https://HOST.') from None
        except requests.exceptions.RequestException as error:
            # Its text may hold the whole request, so only its kind is shown.
            raise _PassingError(_kind(error)) from None
        status = response.status_code
        LOG.info(
            'GET %s %s: %d, %d bytes, %.2f s',
            url,
            params,
            status,
            len(response.content),
            self._clock() - started,
        )
        wait_seconds = self._asked_to_wait(response)
        if status == 429 or status >= 500 or status == 408:
            self._check_wait(url, wait_seconds)
            raise _PassingError(f'{status} {_shown(response)}', wait_seconds)
        remaining = _number(response.headers.get('X-Ratelimit-Remaining', ''))
        if remaining is not None and remaining < 1:
            self._not_before = self._clock() + wait_seconds
        if status == 422 and _BUSY.search(response.text):
            # Arctic Shift answers so when it is busy.
            raise _PassingError(f'{status} {_shown(response)}', wait_seconds)
        what = f'{url} answered {status}: {_shown(response)}'
        if status in (404, 410):
            raise NotFoundError(f'{what}; check the names that you gave.')
        if status in (401, 403) or _is_html(response):
            raise RefusedError(
                f'{what}; it does not serve this program, at least not from here.'
            )
        if status != 200:
            raise SourceError(f'{what}; check the values that you gave.')
        try:
            value = response.json()
        except ValueError:
            raise _PassingError(
                f'{len(response.content)} bytes that are no whole JSON: '
                f'{_shown(response)}'
            ) from None
        if found := problem(value):
            raise _PassingError(f'{found}: {_shown(response)}', wait_seconds)
        return value

    def _wait_seconds(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait_seconds if isinstance(error, _PassingError) else 0.0
        return max(asked, self._backoff(state))

    def _wait_for_allowance(self) -> None:
        """Sleeps until the server's allowance of requests is renewed."""
        left = self._not_before - self._clock()
        if left > 0:
            self._check_wait('the server', left)
            LOG.info('no request is left: waiting %.1f s', left)
            self._sleep(left)
        self._not_before = 0.0

    def _check_wait(self, url: str, seconds: float) -> None:
        if seconds > self._longest_wait_seconds:
            raise SourceError(
                f'{url} asks to be left alone for {seconds:,.0f} seconds; start again '
                'then, which goes on where this ended.'
            )

    def _asked_to_wait(self, response: requests.Response) -> float:
        """Seconds by Retry-After (a number or a date), or else X-Ratelimit-Reset."""
        after = response.headers.get('Retry-After', '').strip()
        seconds = _number(after)
        if seconds is None and after:
            try:
                at = email.utils.parsedate_to_datetime(after)
            except ValueError:
                at = None
            if at is not None:
                at = at.replace(tzinfo=at.tzinfo or datetime.UTC)
                seconds = at.timestamp() - self._clock()
        if seconds is None:
            seconds = _number(response.headers.get('X-Ratelimit-Reset', ''))
            if seconds is not None and seconds > _EPOCH_FROM:
                seconds -= self._clock()
        return max(0.0, seconds or 0.0)

    def _log_retry(self, state: tenacity.RetryCallState) -> None:
        LOG.warning(
            'attempt %d failed (%s); asking again in %.1f s',
            state.attempt_number,
            state.outcome.exception() if state.outcome else 'no answer',
            state.next_action.sleep if state.next_action else 0.0,
        )


class Redaction(logging.Filter):
    """Puts *** in the place of secrets in log lines."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        self._secrets = [secret for secret in secrets if secret]

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        for secret in self._secrets:
            text = text.replace(secret, '***')
        record.msg, record.args = text, None
        return True


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_html(response: requests.Response) -> bool:
    start = response.content[:200].lstrip().lower()
    return start.startswith((b'<!doctype', b'<html', b'<head', b'<body'))


def _shown(response: requests.Response) -> str:
    """The beginning of an answer, on one line."""
    text = ' '.join(response.text.split())
    what = 'a page of HTML: ' if _is_html(response) else ''
    return what + (text[:_SHOWN] + '…' if len(text) > _SHOWN else text or '(empty)')


def _kind(error: requests.exceptions.RequestException) -> str:
    for kind, words in (  # SSLError before ConnectionError, its base
        (requests.exceptions.Timeout, 'no answer in time'),
        (requests.exceptions.ChunkedEncodingError, 'an answer that broke off'),
        (requests.exceptions.SSLError, 'no secure connection'),
        (requests.exceptions.ConnectionError, 'no connection'),
    ):
        if isinstance(error, kind):
            return words
    return type(error).__name__
