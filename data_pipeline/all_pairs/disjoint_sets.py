"""Disjoint sets of things that are joined two by two."""

from typing import Any


class DisjointSets:
    """Holds only things that were joined.

    Source: Tarjan, Efficiency of a good but not linear set union algorithm (1975).
    """

    def __init__(self) -> None:
        self._parents: dict[Any, Any] = {}

    def join(self, one: Any, other: Any) -> bool:
        """Joins the sets of two things; False if they were in one set already."""
        low, high = sorted((self._root(one), self._root(other)))
        self._parents[high] = low
        return low != high

    def roots(self) -> dict[Any, Any]:
        """Each thing that was joined, with the lowest thing of its set."""
        return {each: self._root(each) for each in sorted(self._parents)}

    def _root(self, thing: Any) -> Any:
        root = thing
        while self._parents.setdefault(root, root) != root:
            root = self._parents[root]
        while self._parents[thing] != root:
            self._parents[thing], thing = root, self._parents[thing]
        return root
