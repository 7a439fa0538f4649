"""Rows within a row: SQuAD's articles, and the dataset viewer's rows."""

from typing import Any


def unfolded(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that an object holds; almost always itself.

    {"title": "t", "paragraphs": [{"context": "c", "qas": [{"question": "q",
    "answers": […]}]}]} -> [{"title": "t", "context": "c", "question": "q",
    "answers": […]}]
    """
    if 'paragraphs' in row and _are_objects(row['paragraphs'], 'qas'):
        return [
            {'article': row.get('title', ''), 'context': paragraph.get('context', '')}
            | asked
            for paragraph in row['paragraphs']
            for asked in paragraph['qas']
            if isinstance(asked, dict)
        ]
    if 'qas' in row and _are_objects(row['qas'], 'question'):
        around = {key: value for key, value in row.items() if key != 'qas'}
        return [around | asked for asked in row['qas']]
    if 'row_idx' in row and isinstance(row.get('row'), dict):
        return [row['row']]
    return [row]


def _are_objects(values: Any, key: str) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, dict) and key in value for value in values
    )
