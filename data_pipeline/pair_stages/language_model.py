"""py3langid's model, which a folder keeps in a form that is read at once.

py3langid unpacks its own file of 5 MB in half a second, half of what a build with few
new batches takes to prepare them. Packed by zstd, the file has 7 MB and is read in
30 ms: a checksum (CRC-32C, 4 bytes), then a table of Arrow with one row.
"""

import contextlib
import hashlib
import pathlib
import uuid

import google_crc32c
import numpy as np
import pyarrow as pa
from py3langid import langid

SUFFIX = '.model'
_PARTS = ('nb_ptc', 'nb_pc', 'tk_nextmove', 'tk_output', 'tk_row')


def read(folder: pathlib.Path | None) -> langid.LanguageIdentifier:
    """The model; if the folder lacks it, it is kept there for the next process.

    A folder that takes no file is left as it is. Says if the file there is damaged.
    """
    packed = langid.MODEL_DIR / langid.MODEL_FILE
    if folder is None:
        return langid.LanguageIdentifier.from_model_file(packed, norm_probs=True)
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    path = folder / digest[:2] / f'{digest}{SUFFIX}'
    with contextlib.suppress(OSError):
        if (model := _decoded(path.read_bytes())) is not None:
            path.touch()  # its last use
            return model
        print(f'warning: {path} was damaged and is made again.', flush=True)
    model = langid.LanguageIdentifier.from_model_file(packed, norm_probs=True)
    with contextlib.suppress(OSError):
        _write(path, model)
    return model


def _write(path: pathlib.Path, model: langid.LanguageIdentifier) -> None:
    columns = {'nb_classes': pa.array([model.nb_classes])}
    for name in _PARTS:
        part = np.asarray(getattr(model, name))
        values = pa.array(part.reshape(-1))
        columns[name] = pa.LargeListArray.from_arrays([0, len(values)], values)
    table, sink = pa.table(columns), pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression='zstd')
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table)
    data = sink.getvalue().to_pybytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'{path.name}.{uuid.uuid4().hex}')
    try:
        temporary.write_bytes(google_crc32c.value(data).to_bytes(4) + data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _decoded(stored: bytes) -> langid.LanguageIdentifier | None:
    """The model in a file's bytes; None if they are not what was written."""
    checksum, data = stored[:4], stored[4:]
    if google_crc32c.value(data).to_bytes(4) != checksum:
        return None
    table = pa.ipc.open_stream(data).read_all()
    classes = table['nb_classes'][0].as_py()
    parts = {name: table[name].chunk(0).values.to_numpy() for name in _PARTS}
    return langid.LanguageIdentifier(
        parts['nb_ptc'].reshape(-1, len(classes)),
        parts['nb_pc'],
        classes,
        memoryview(parts['tk_nextmove']),  # gives Python's numbers
        parts['tk_output'].tolist(),
        norm_probs=True,
        tk_row=memoryview(parts['tk_row']),
    )
