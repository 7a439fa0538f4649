from hax_jax.evaluation import findings


def test_columns_stand_below_each_other_whatever_the_source_is_called() -> None:
    part = dict.fromkeys(('nll', 'perplexity', 'bits_per_byte', 'accuracy'), 1.0)
    parts = dict.fromkeys(('answer', 'question', 'all'), part | {'tokens': 7})
    eos = {'answers': 1, 'probability': 0.5, 'nll': 0.7, 'likeliest': 1.0}
    by = {'all': parts, 'reddit:relationship_advice': parts | {'eos': eos}}
    head, *rows, ends = findings.lines(by)
    assert len(rows) == 6
    assert {len(row) for row in rows} == {len(head)}
    assert {row.index('7') for row in rows} == {head.index('tokens') + 5}
    assert ends.startswith('reddit:relationship_advice EOS at the end of 1 answers')
