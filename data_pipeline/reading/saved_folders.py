"""Folders that `save_to_disk` of Hugging Face datasets wrote: their rows' files."""

import json
import pathlib

_STATE, _SPLITS = 'state.json', 'dataset_dict.json'


def files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The Arrow files of the rows, split by split; [] for any other folder."""
    if (folder / _SPLITS).is_file():
        splits = json.loads((folder / _SPLITS).read_text(encoding='utf-8'))
        return [
            path
            for split in splits.get('splits', [])
            for path in files(folder / pathlib.PurePath(split).name)
        ]
    if not (folder / _STATE).is_file():
        return []
    state = json.loads((folder / _STATE).read_text(encoding='utf-8'))
    names = [each['filename'] for each in state.get('_data_files', [])]
    # A name in the file is data: it may only stand for a file of this folder.
    return [folder / pathlib.PurePath(name).name for name in names]
