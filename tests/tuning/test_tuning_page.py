"""The page of a verdict: what it says is escaped, and it fetches nothing."""

import pathlib

from hax_jax.tuning import page


def test_texts_are_escaped_where_they_are_html_and_where_they_are_json(
    tmp_path: pathlib.Path,
) -> None:
    bad = '</script><script>alert(1)</script>'
    curve = page.points(bad, [1.0, 2.0], [3.0, 2.5], low=[2.5, 2.0], high=[4.0, 3.0])
    assert curve['error_y'] == {
        'type': 'data',
        'symmetric': False,
        'array': [1.0, 0.5],
        'arrayminus': [0.5, 0.5],
    }
    written = page.write(
        tmp_path / 'a.html',
        title=bad,
        verdicts=[bad],
        curves=[(bad, page.log_x('nats', 'tokens', [curve]))],
        tables=[page.Table(bad, [bad], [[bad]])],
        notes=[bad],
    )
    text = written.read_text()
    assert 'alert(1)' in text
    assert bad not in text
    assert "default-src 'none'" in text
    assert "'log'" not in text  # Python's own spelling
    assert '"type": "log"' in text
