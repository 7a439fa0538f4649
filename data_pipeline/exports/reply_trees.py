"""Trees of replies, as OASST publishes them: the best reply to each turn, the ranks.

{"prompt": {"text": "Why?", "role": "prompter", "replies": [
    {"text": "So.", "role": "assistant", "rank": 0, "replies": []}, …]}}

Replies that were deleted or did not pass their review are none.
"""

from collections.abc import Mapping
from typing import Any

_ASKERS = ('prompter', 'user', 'human')


def turns(row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The turns along the best replies; None for a row of another kind."""
    return _best_path(row['prompt'])[0] if _is_tree(row) else None


def num_beside(row: Mapping[str, Any]) -> int:
    """The replies of a tree beside the best ones; 0 for a row of another kind."""
    return _best_path(row['prompt'])[1] if _is_tree(row) else 0


def ranked(
    row: Mapping[str, Any],
) -> list[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """(turns up to a question, its answers from the best) for each rank of a tree.

    [] for a row of another kind. Answers without a rank are left out.
    """
    if not _is_tree(row):
        return []
    made, path, node = [], [], row['prompt']
    while node:
        path.append(_alone(node))
        replies = _replies(node)
        answers = [each for each in replies if rank(each) < float('inf')]
        if len(answers) > 1 and str(node.get('role', '')).lower() in _ASKERS:
            made.append(([*path], sorted(answers, key=rank)))
        node = min(replies, key=rank, default=None)
    return made


def rank(reply: Mapping[str, Any]) -> float:
    """Its place among the replies to one turn, 0 the best; infinity without one."""
    found = reply.get('rank')
    return found if isinstance(found, int | float) else float('inf')


def _is_tree(row: Mapping[str, Any]) -> bool:
    prompt = row.get('prompt')
    return isinstance(prompt, dict) and 'replies' in prompt


def _best_path(prompt: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """(the turns that follow the best reply to each, the number of other replies)."""
    path, others = [prompt], 0
    while replies := _replies(path[-1]):
        path.append(min(replies, key=rank))
        others += len(replies) - 1
    return [*map(_alone, path)], others


def _alone(turn: dict[str, Any]) -> dict[str, Any]:
    return {key: each for key, each in turn.items() if key != 'replies'}


def _replies(turn: dict[str, Any]) -> list[dict[str, Any]]:
    """The replies to a turn of a tree that were not deleted and passed the review."""
    return [
        reply
        for reply in turn.get('replies') or []
        if isinstance(reply, dict)
        and not reply.get('deleted')
        and str(reply.get('review_result', '')).lower() != 'false'
    ]
