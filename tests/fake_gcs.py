"""A Google Cloud Storage server on loopback, in memory, that fails on demand.

It knows the calls of the JSON API that gcsfs and tensorstore make:
https://cloud.google.com/storage/docs/json_api/v1. By hand:

    PYTHONPATH=tests python tests/fake_gcs.py      # prints the variables to export
"""

import base64
import dataclasses
import datetime
import email.parser
import email.policy
import hashlib
import http.server
import json
import re
import socket
import sys
import threading
import time
import traceback
import urllib.parse
from typing import Any

import google_crc32c

_API = re.compile(
    r'/(?:download/|upload/)?storage/v1/b/([^/]+)(?:/o(?:/([^/]+))?)?(.*)'
)
_MOVE = re.compile(r'/(rewriteTo|copyTo|moveTo)(?:/b/([^/]+))?/o/(.+)')


@dataclasses.dataclass
class Fault:
    """What goes wrong with requests whose 'METHOD path?query [name]' matches `where`.

    `kind`: 'slow' answers after `seconds`; 'cut' closes the connection in the middle of
    what is sent, either way; 'lost' does what is asked and closes without an answer;
    else a status, '503'. The first `after` requests and those after `times` go well.
    """

    where: str
    kind: str
    times: int = 10**9
    after: int = 0
    seconds: float = 0.0
    met: int = 0

    def meets(self, line: str) -> bool:
        if not re.search(self.where, line):
            return False
        self.met += 1
        return self.after < self.met <= self.after + self.times


@dataclasses.dataclass(frozen=True)
class Object:
    content: bytes
    generation: int
    updated: datetime.datetime


class Server(http.server.ThreadingHTTPServer):
    """The store: `objects[bucket][name]`. Use `with`, and `environment` in a child."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, *buckets: str, port: int = 0, bound: socket.socket | None = None
    ) -> None:
        super().__init__(('127.0.0.1', port), _Handler, bind_and_activate=bound is None)
        if bound is not None:
            self.socket.close()
            self.socket = bound
            self.server_name, self.server_port = bound.getsockname()
            self.server_activate()
        self.objects: dict[str, dict[str, Object]] = {name: {} for name in buckets}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.defects: list[str] = []  # of this file
        self.lock = threading.RLock()
        self.uploads: dict[str, tuple[str, str, dict[str, str], bytearray]] = {}
        self._generation = 1_000_000
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that was killed
            self.defects.append(traceback.format_exc())

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self.server_port}'

    @property
    def environment(self) -> dict[str, str]:
        return {'STORAGE_EMULATOR_HOST': self.url, 'TENSORSTORE_GCS_HTTP_URL': self.url}

    def names(self, bucket: str) -> list[str]:
        with self.lock:
            return sorted(self.objects[bucket])

    def content(self, bucket: str, name: str) -> bytes:
        with self.lock:
            return self.objects[bucket][name].content

    def put(self, bucket: str, name: str, content: bytes) -> Object:
        with self.lock:
            self._generation += 1
            now = datetime.datetime.now(datetime.UTC)
            made = Object(bytes(content), self._generation, now)
            self.objects[bucket][name] = made
            return made

    def fault_of(self, line: str) -> Fault | None:
        with self.lock:
            self.requests.append(line)
            met = [fault for fault in self.faults if fault.meets(line)]
            return met[0] if met else None


class _Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Cut(Exception):
    pass


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True  # else a body waits 40 ms for its headers' receipt
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_DELETE = do_GET

    def _answer(self) -> None:
        line = f'{self.command} {self.path}'
        if 'uploadType=multipart' in line:  # the name is in the body
            named = re.search(rb'"name": "([^"]*)"', self.rfile.peek())
            line += f' {named[1].decode()}' if named else ''
        self._fault = self.server.fault_of(line)
        kind = self._fault.kind if self._fault else ''
        try:
            body = self._body(cut=kind == 'cut')
            if kind == 'slow':
                time.sleep(self._fault.seconds)
            if kind.isdigit():
                raise _Refused(int(kind))
            with self.server.lock:
                status, headers, content = self._done(body)
            if kind == 'lost':
                raise _Cut
        except _Refused as error:
            message = {'code': error.status, 'message': f'fake {error.status}'}
            status, headers = error.status, {'Content-Type': 'application/json'}
            content = json.dumps({'error': message}).encode()
        except _Cut:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        if kind == 'cut':
            content = content[: len(content) // 2]
            self.close_connection = True
        self.wfile.write(content)

    def _body(self, *, cut: bool) -> bytes:
        if 'chunked' in self.headers.get('Transfer-Encoding', ''):
            parts = []
            while size := int(self.rfile.readline().split(b';')[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b''.join(parts)
        size = int(self.headers.get('Content-Length', 0))
        if cut and size:
            self.rfile.read(size // 2)
            raise _Cut
        return self.rfile.read(size)

    def _done(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, content) of a request that goes well."""
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        found = _API.fullmatch(url.path)
        if not found:
            raise _Refused(404)
        bucket = urllib.parse.unquote(found[1])
        name = urllib.parse.unquote(found[2] or '')
        if bucket not in self.server.objects:
            raise _Refused(404)
        if url.path.startswith('/upload/'):
            return self._upload(bucket, query, body)
        match self.command, name, found[3]:
            case 'GET', '', '' if not url.path.endswith('/o'):
                return _json({'kind': 'storage#bucket', 'name': bucket, 'id': bucket})
            case 'GET', '', '':
                return _json(self._listed(bucket, query))
            case 'GET', _, '':
                return self._got(bucket, name, query)
            case 'DELETE', _, '':
                self._check(bucket, name, query)
                self._object(bucket, name)
                del self.server.objects[bucket][name]
                return 204, {}, b''
            case 'POST', _, '/compose':
                parts = json.loads(body)['sourceObjects']
                content = b''.join(
                    self._object(bucket, part['name']).content for part in parts
                )
                self._check(bucket, name, query)
                return self._put(bucket, name, content)
            case 'POST', _, action:
                return self._moved(bucket, name, action)
        raise _Refused(400)

    def _object(self, bucket: str, name: str) -> Object:
        if name not in self.server.objects[bucket]:
            raise _Refused(404)
        return self.server.objects[bucket][name]

    def _check(self, bucket: str, name: str, query: dict[str, str]) -> None:
        there = self.server.objects[bucket].get(name)
        generation = there.generation if there else 0
        if int(query.get('ifGenerationMatch', generation)) != generation:
            raise _Refused(412)
        if int(query.get('ifGenerationNotMatch', -1)) == generation:
            raise _Refused(304)

    def _put(
        self, bucket: str, name: str, content: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        return _json(_described(bucket, name, self.server.put(bucket, name, content)))

    def _upload(
        self, bucket: str, query: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if 'upload_id' in query:
            return self._upload_part(query['upload_id'], body)
        kind, name = query.get('uploadType'), query.get('name', '')
        if kind == 'multipart':
            head = f'Content-Type: {self.headers["Content-Type"]}\r\n\r\n'.encode()
            parser = email.parser.BytesParser(policy=email.policy.HTTP)
            boundary = parser.parsebytes(head).get_boundary().encode()
            first, second = body.split(b'--' + boundary)[1:3]
            name = json.loads(re.split(rb'\r?\n\r?\n', first, maxsplit=1)[1])['name']
            body = re.split(rb'\r?\n\r?\n', second, maxsplit=1)[1]
            body = body[: -2 if body.endswith(b'\r\n') else -1]
        if kind == 'resumable':
            name = name or json.loads(body)['name']
            key = str(len(self.server.uploads) + 1)
            self.server.uploads[key] = (bucket, name, query, bytearray())
            place = f'{self.server.url}/upload/storage/v1/b/{bucket}/o'
            place += f'?uploadType=resumable&upload_id={key}'
            return 200, {'Location': place}, b''
        self._check(bucket, name, query)
        return self._put(bucket, name, body)

    def _upload_part(self, key: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        bucket, name, query, content = self.server.uploads[key]
        given = re.fullmatch(
            r'bytes (?:(\d+)--?\d+|\*)/(\d+|\*)', self.headers['Content-Range']
        )
        if given[1] is not None:
            del content[int(given[1]) :]
            content += body
        if given[2] == '*' or len(content) < int(given[2]):
            headers = {'Range': f'bytes=0-{len(content) - 1}'} if content else {}
            return 308, headers, b''
        self._check(bucket, name, query)
        return self._put(bucket, name, bytes(content))

    def _got(
        self, bucket: str, name: str, query: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        found = self._object(bucket, name)
        self._check(bucket, name, query)
        if query.get('alt') != 'media':
            return _json(_described(bucket, name, found))
        described = _described(bucket, name, found)
        headers = {
            'Content-Type': 'application/octet-stream',
            'X-Goog-Generation': described['generation'],
            'X-Goog-Hash': f'crc32c={described["crc32c"]},md5={described["md5Hash"]}',
        }
        content, size = found.content, len(found.content)
        asked = re.fullmatch(r'bytes=(\d*)-(\d*)', self.headers.get('Range', ''))
        if not asked:
            return 200, headers, content
        begin = int(asked[1]) if asked[1] else max(size - int(asked[2]), 0)
        end = min(int(asked[2]), size - 1) if asked[1] and asked[2] else size - 1
        if begin >= size:
            raise _Refused(416)
        headers['Content-Range'] = f'bytes {begin}-{end}/{size}'
        return 206, headers, content[begin : end + 1]

    def _listed(self, bucket: str, query: dict[str, str]) -> dict[str, Any]:
        prefix, delimiter = query.get('prefix', ''), query.get('delimiter')
        most = int(query.get('maxResults', 1000))
        after = query.get('pageToken', '')
        items, prefixes = [], []
        for name in sorted(self.server.objects[bucket]):
            if not name.startswith(prefix) or name < query.get('startOffset', ''):
                continue
            if 'endOffset' in query and name >= query['endOffset']:
                continue
            inner, found, _ = name[len(prefix) :].partition(delimiter or '\0')
            shown = prefix + inner + delimiter if delimiter and found else ''
            if (shown or name) <= after or shown in prefixes:
                continue
            if len(items) + len(prefixes) == most:
                last = max([i['name'] for i in items[-1:]] + prefixes[-1:])
                page = {'nextPageToken': last}
                break
            if shown:
                prefixes.append(shown)
            else:
                found = self.server.objects[bucket][name]
                items.append(_described(bucket, name, found))
        else:
            page = {}
        return {'kind': 'storage#objects', 'items': items, 'prefixes': prefixes} | page

    def _moved(
        self, bucket: str, name: str, action: str
    ) -> tuple[int, dict[str, str], bytes]:
        found = _MOVE.fullmatch(action)
        if not found:
            raise _Refused(400)
        content = self._object(bucket, name).content
        to = urllib.parse.unquote(found[2] or bucket)
        made = self._put(to, urllib.parse.unquote(found[3]), content)
        if found[1] == 'moveTo':
            del self.server.objects[bucket][name]
        if found[1] == 'rewriteTo':
            return _json({'done': True, 'resource': json.loads(made[2])})
        return made


def _json(value: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    return 200, {'Content-Type': 'application/json'}, json.dumps(value).encode()


def _described(bucket: str, name: str, found: Object) -> dict[str, Any]:
    crc = google_crc32c.value(found.content).to_bytes(4, 'big')
    time_text = found.updated.strftime('%Y-%m-%dT%H:%M:%S.%fZ')
    return {
        'kind': 'storage#object',
        'bucket': bucket,
        'name': name,
        'size': str(len(found.content)),
        'generation': str(found.generation),
        'metageneration': '1',
        'updated': time_text,
        'timeCreated': time_text,
        'md5Hash': base64.b64encode(hashlib.md5(found.content).digest()).decode(),
        'crc32c': base64.b64encode(crc).decode(),
    }


if __name__ == '__main__':
    with Server('bucket', port=4443) as server:
        for variable, value in server.environment.items():
            print(f'export {variable}={value}', flush=True)
        threading.Event().wait()
