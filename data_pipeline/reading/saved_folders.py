"""Folders that a program wrote: by what they are, and which of their files are rows."""

import json
import pathlib

_STATE, _SPLITS = 'state.json', 'dataset_dict.json'
# Files of a dataset and of a run of this project, none of which holds pairs to read.
_OF_DATASET = ('manifest.json', 'ledger.json', 'dropped.jsonl', 'report.html')
_OF_RUN = (
    *('config.json', 'run.json', 'metrics.jsonl', 'samples.jsonl', 'bad_steps.jsonl'),
    *('validation_scores.json', 'doctor.json', 'report.html', 'wandb.json'),
)
_SIGNS_OF_RUN = ('run.json', 'checkpoints', 'metrics.jsonl', 'unsaved')
_CONFIG = 'def get_config('


def files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The Arrow files of a folder that `save_to_disk` of Hugging Face wrote, or [].

    They are the rows, split by split.
    """
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


def of_this_project(path: pathlib.Path) -> str:
    """What a folder or a file of this project is, and what reads it; '' for another.

    'a dataset that was built; look at its pairs with hax data --data=data/advice, …'
    """
    is_folder = path.is_dir()
    folder, of = (path, '') if is_folder else (path.parent, 'a file of ')
    is_dataset = (folder / 'manifest.json').is_file() and (folder / 'tfds').is_dir()
    if is_dataset and (is_folder or path.name in _OF_DATASET):
        return (
            f'{of}a dataset that was built; look at its pairs with hax data '
            f'--data={folder}, train on it with --config.data.path={folder}, or read '
            f'its pairs once more with --input=tfds:{folder}'
        )
    is_run = (folder / 'config.json').is_file() and any(
        (folder / name).exists() for name in _SIGNS_OF_RUN
    )
    if is_run and (is_folder or path.name in _OF_RUN):
        return (
            f'{of}a run, which holds no pairs; see it with hax report '
            f'--workdir={folder}, and give the raw texts as --input'
        )
    is_config = path.suffix == '.py' and _CONFIG in path.read_text('utf-8', 'replace')
    told = f'a config file, which holds no pairs; give it as --config={path}'
    return told if is_config else ''
