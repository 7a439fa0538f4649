"""What gcsfs, tensorstore and Google's credentials raise, as one PlaceError."""

import asyncio
import contextlib
import re
from collections.abc import Iterator

import aiohttp
import gcsfs.retry
import google.auth.exceptions
import requests

from hax_jax import errors

_PASSING = {408, 429, 500, 501, 502, 503, 504}
_TENSORSTORE = re.compile(
    r'\b(PERMISSION_DENIED|UNAUTHENTICATED|UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED|'
    r'RESOURCE_EXHAUSTED|INTERNAL|UNKNOWN): '
)
_REFUSALS = ('PERMISSION_DENIED', 'UNAUTHENTICATED')
_RIGHTS = (
    'give this account the role Storage Object User on the bucket (`gcloud auth '
    'application-default login` chooses the account)'
)
_AGAIN = 'the same command goes on when the store answers again'


@contextlib.contextmanager
def named(place: object) -> Iterator[None]:
    """Raises what the store raises in the block as a PlaceError that names `place`.

    FileNotFoundError and FileExistsError are answers, and pass as they are.
    """
    try:
        yield
    except Exception as error:
        found = explained(error, place)
        if found is None:
            raise
        raise found from error


def explained(error: BaseException, place: object) -> errors.PlaceError | None:
    """The failure of the store that an error tells of; None if it is another one."""
    if isinstance(error, errors.PlaceError):
        return error
    if isinstance(error, FileNotFoundError | FileExistsError):
        return None
    if isinstance(error, OSError) and str(error).startswith('Forbidden'):
        return _refused(place, '403 Forbidden')
    if isinstance(error, gcsfs.retry.HttpError):
        code = int(error.code) if error.code else 0
        said = f'the store answered {error.message or error.code}'
        if code in (401, 403):
            return _refused(place, str(code))
        return _failed(place, said, passing=code in _PASSING)
    if isinstance(error, google.auth.exceptions.GoogleAuthError):
        return _refused(place, _first_line(error))
    network = (
        aiohttp.ClientError,
        asyncio.TimeoutError,
        requests.exceptions.RequestException,
        gcsfs.retry.ChecksumError,
    )
    if isinstance(error, network):
        return _failed(place, _first_line(error), passing=True)
    found = _TENSORSTORE.search(str(error)) if isinstance(error, ValueError) else None
    if found and found[1] in _REFUSALS:
        return _refused(place, found[1])
    if found:
        return _failed(place, found[1], passing=True)
    return None


def _refused(place: object, said: str) -> errors.PlaceError:
    return errors.PlaceError(
        f'{place}: the store refuses ({said}); {_RIGHTS}.', passing=False
    )


def _failed(place: object, said: str, *, passing: bool) -> errors.PlaceError:
    then = _AGAIN if passing else 'check the name'
    return errors.PlaceError(f'{place}: {said}; {then}.', passing=passing)


def _first_line(error: BaseException) -> str:
    said = str(error).strip().split('\n')[0][:200]
    return f'{type(error).__name__}: {said}' if said else type(error).__name__
