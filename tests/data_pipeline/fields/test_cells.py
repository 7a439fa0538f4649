"""Lists and objects in a table's cells."""

import pytest

from data_pipeline.fields import cells


@pytest.mark.parametrize(
    ('cell', 'held'),
    [
        ('["So.", "No."]', ['So.', 'No.']),
        ("['So.', \"It's so.\"]", ['So.', "It's so."]),
        ("['So.' 'No.']", ['So.', 'No.']),
        ("['So.'\n \"It's so.\"\n 'No.']", ['So.', "It's so.", 'No.']),
        ("{'text': array(['So.', 'No.'], dtype=object)}", {'text': ['So.', 'No.']}),
        ('{"text": "So."}', {'text': 'So.'}),
        ('[citation needed] So.', '[citation needed] So.'),
        ("['So.", "['So."),
        ("[f('So.')]", "[f('So.')]"),
        ('So.', 'So.'),
        ('"So.\\nNo."', 'So.\nNo.'),
        ('"So," she said.', '"So," she said.'),
    ],
)
def test_a_cell_holds_what_was_written_into_it(cell: str, held: object) -> None:
    assert cells.in_cell(cell) == held
