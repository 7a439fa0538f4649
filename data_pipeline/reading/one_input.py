"""An input: a file or a named data set, and what is known of it before it is read."""

import dataclasses

from data_pipeline.copies import plain_copies
from data_pipeline.fields import field_map
from data_pipeline.layouts import source_marks


@dataclasses.dataclass(frozen=True)
class Input:
    """One file or named data set. `layout` is '' if only a file's whole text tells it.

    A data set has no `path`, but its name as it was `given`, and a version. `fields`
    maps the fields of its rows to a pair. `copy` is the file as plain text, None for a
    file that is plain. `size` is the bytes of the text when it was found: a collector
    may still append to it. `stem` is the file's name in ids, which no other file of its
    layout has. `problem` says why nothing of it can be read. `comparisons` says what
    known layout its rows have, if they compare answers, and `unjudged` says it where
    --fields make plain pairs of such rows. `marks` are those that all its texts have.
    """

    name: str
    path: str
    layout: str
    fields: field_map.FieldMap | None = None
    given: str = ''
    size: int = 0
    stem: str = ''
    version: str = ''
    copy: plain_copies.Copy | None = None
    problem: str = ''
    comparisons: str = ''
    unjudged: str = ''
    marks: source_marks.Marks | None = None

    @property
    def text_path(self) -> str:
        """The path of the plain text."""
        return self.copy.path if self.copy else self.path
