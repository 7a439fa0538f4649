"""What the fields of a row mean, by their names and values.

In: the names of a row's fields, or a row. Out: which field is the question, which the
answer, which of several answers is the best one, and whether a field forbids it.

Start at `field_map`; `near_fields` has names close to the known ones, `answer_lists`
rows with several answers, `verdicts` the fields that say whether an answer is right;
`cells` and `numbers` read what a cell holds.
"""
