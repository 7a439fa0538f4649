"""JSON over HTTP, with retries and pauses for servers that are busy or broken.

Retries a temporary failure (429, 5xx, a timeout, half an answer) after exponential
back-off with jitter, never sooner than the server asks: by Retry-After, or by
X-Ratelimit-Reset once no request remains. Fails at once on 403, 404 or a page of HTML,
and if the first request finds no connection. Logs and shows no header; `Redaction`
keeps given secrets out of any log.
"""

import datetime
import email.utils
import logging
import re
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import requests
import tenacity

from hax_jax import errors

LOG = logging.getLogger('collect')
TIMEOUTS_SECONDS = (5.0, 60.0)  # to connect; between two packets of an answer
_EPOCH_FROM = 1e8  # an X-Ratelimit-Reset above this is a time, not a span
_BUSY = re.compile(r'time(?:d )?-?out|slow down', re.IGNORECASE)
_TOO_LATE = (408, 504, 524)  # the statuses of a server that ran out of time
_SHOWN = 200  # characters of an answer that an error shows


class SourceError(errors.InputError):
    """A source can't be read now; the message has its answer and a remedy."""


class NotFoundError(SourceError):
    """404 or 410: the server has no such page."""


class RefusedError(SourceError):
    """401, 403 or a page of HTML where JSON was asked for."""


class NoConnectionError(SourceError):
    """The first request reached no server."""


class HeavyError(SourceError):
    """The server ran out of time for one request; ask for less."""


class _PassingError(Exception):
    """A temporary failure; retry after `wait_seconds`.

    `heavy` says that the server ran out of time.
    """

    def __init__(
        self, message: str, wait_seconds: float = 0.0, *, heavy: bool = False
    ) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds
        self.heavy = heavy


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
        self._first_wait_seconds = first_wait_seconds
        self._longest_wait_seconds = longest_wait_seconds
        self._timeouts_seconds = timeouts_seconds
        self._sleep, self._clock = sleep, clock
        # 1, 2, 4 … 60 seconds, each with up to first_wait_seconds more by chance.
        self._backoff = tenacity.wait_exponential_jitter(
            initial=first_wait_seconds, max=60.0, jitter=first_wait_seconds
        )
        self._not_before = 0.0
        self._reached = False  # whether a request has had an answer

    def get_json(
        self,
        url: str,
        params: Mapping[str, Any],
        *,
        problem: Callable[[Any], str],
        can_ask_less: bool = False,
    ) -> Any:
        """The JSON value of the server's answer.

        `problem` returns the fault of a value, '' for a good one. A fault is retried,
        since busy servers answer 200 with {"error": …} too. With `can_ask_less`, a
        request that the server had no time for is not retried as it is.

        Raises:
          HeavyError: `can_ask_less`, and the server ran out of time; less may succeed.
          NoConnectionError: the first request of this client reached no server.
          NotFoundError, RefusedError: the server has no such page, or refuses it.
          SourceError: every attempt failed, or the server rejects the request.
        """

        def passes(error: BaseException) -> bool:
            return isinstance(error, _PassingError) and not (
                can_ask_less and error.heavy
            )

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=self._wait_seconds,
            sleep=self._sleep,
            retry=tenacity.retry_if_exception(passes),
            before_sleep=self._log_retry,
            reraise=True,
        )
        try:
            return retrying(self._get_once, url, dict(params), problem)
        except _PassingError as error:
            if not passes(error):
                self._sleep(max(error.wait_seconds, self._first_wait_seconds))
                raise HeavyError(f'{url}: {error}') from None
            raise SourceError(
                f'{url} failed {self._attempts} times, last with: {error}; start again '
                'later, which goes on where this ended.'
            ) from None

    def _get_once(
        self, url: str, params: dict[str, Any], problem: Callable[[Any], str]
    ) -> Any:
        self._wait_for_allowance()
        response = self._answered(url, params)
        wait_seconds = self._asked_to_wait(response)
        self._check_status(url, response, wait_seconds)
        try:
            value = response.json()
        except ValueError:
            raise _PassingError(
                f'{len(response.content)} bytes that are no whole JSON: '
                f'{_shown(response)}'
            ) from None
        if found := problem(value):
            raise _PassingError(
                f'{found}: {_shown(response)}',
                wait_seconds,
                heavy=bool(_BUSY.search(found)),
            )
        return value

    def _answered(self, url: str, params: dict[str, Any]) -> requests.Response:
        """The server's answer, whatever it says; logs it."""
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
            if not self._reached and _is_unreached(error):
                raise NoConnectionError(
                    f'{urllib.parse.urlsplit(url).netloc} can not be reached '
                    f'({_kind(error)}); no thread was written. Check the network, a '
                    'proxy that HTTPS_PROXY names, and --base_url, then start again.'
                ) from None
            # Its text may hold the whole request, so only its kind is shown.
            late = isinstance(error, requests.exceptions.ReadTimeout)
            raise _PassingError(_kind(error), heavy=late) from None
        self._reached = True
        LOG.info(
            'GET %s %s: %d, %d bytes, %.2f s',
            url,
            params,
            response.status_code,
            len(response.content),
            self._clock() - started,
        )
        return response

    def _check_status(
        self, url: str, response: requests.Response, wait_seconds: float
    ) -> None:
        """Raises what an answer's status means; notes when the allowance is renewed."""
        status = response.status_code
        if status == 429 or status >= 500 or status == 408:
            self._check_wait(url, wait_seconds)
            raise _PassingError(
                f'{status} {_shown(response)}', wait_seconds, heavy=status in _TOO_LATE
            )
        if _nothing_remains(response):
            self._not_before = self._clock() + wait_seconds
        if status == 422 and _BUSY.search(response.text):
            # Arctic Shift answers so when it is busy, or a page is too heavy for it.
            raise _PassingError(
                f'{status} {_shown(response)}', wait_seconds, heavy=True
            )
        what = f'{url} answered {status}: {_shown(response)}'
        if status in (404, 410):
            raise NotFoundError(f'{what}; check the names that you gave.')
        if status in (401, 403) or _is_html(response):
            raise RefusedError(
                f'{what}; it does not serve this program, at least not from here.'
            )
        if status != 200:
            raise SourceError(f'{what}; check the values that you gave.')

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
        """Seconds by Retry-After (a number or a date), or else X-Ratelimit-Reset.

        Servers send the latter with every answer: it counts if no request remains.
        """
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
        if seconds is None and _nothing_remains(response):
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


def _is_unreached(error: requests.exceptions.RequestException) -> bool:
    """Whether no server was reached, as opposed to one that broke off."""
    named = requests.exceptions.ConnectTimeout, requests.exceptions.SSLError
    return isinstance(error, named) or _reason(error) is not None


def _reason(error: requests.exceptions.RequestException) -> Any:
    """The `reason` of urllib3's MaxRetryError, which only connecting raises here."""
    return getattr(error.args[0], 'reason', None) if error.args else None


def _nothing_remains(response: requests.Response) -> bool:
    """Whether the server's allowance is used up; a 429 alone says so, too."""
    remaining = _number(response.headers.get('X-Ratelimit-Remaining', ''))
    return response.status_code == 429 if remaining is None else remaining < 1


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
        (requests.exceptions.ProxyError, 'no connection to the proxy'),
        (requests.exceptions.Timeout, 'no answer in time'),
        (requests.exceptions.ChunkedEncodingError, 'an answer that broke off'),
        (requests.exceptions.SSLError, 'no secure connection'),
        (requests.exceptions.ConnectionError, 'no connection'),
    ):
        if isinstance(error, kind):
            cause = getattr(_reason(error), '__cause__', None)  # such as a gaierror
            why = cause.strerror if isinstance(cause, OSError) else ''
            return f'{words}: {why}' if why else words
    return type(error).__name__
