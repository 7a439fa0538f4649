"""What launch.evaluate prints and writes of one model."""

from typing import Any

from hax_jax.evaluation import evaluate


def lines(by: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """`evaluate.Evaluation.by` as a table, and a line for the ends of answers."""
    width = max(20, *map(len, by))
    out = [
        f'{"source":<{width}} {"part":<9}{"tokens":>9}{"nll":>9}{"perplexity":>12}'
        f'{"bits/byte":>11}{"accuracy":>10}'
    ]
    for source, parts in by.items():
        for part in evaluate.PARTS:
            found = parts[part]
            out.append(
                f'{source:<{width}} {part:<9}{found["tokens"]:>9,}{found["nll"]:>9.4f}'
                f'{found["perplexity"]:>12.2f}{found["bits_per_byte"]:>11.4f}'
                f'{found["accuracy"]:>10.1%}'
            )
    for source, parts in by.items():
        if 'eos' in parts:
            eos = parts['eos']
            out.append(
                f'{source:<{width}} EOS at the end of {eos["answers"]:,} answers: '
                f'probability {eos["probability"]:.4f}, nll {eos["nll"]:.4f}, '
                f'likeliest in {eos["likeliest"]:.1%}'
            )
    return out


def pair_row(pair: evaluate.PairScore) -> dict[str, Any]:
    """A pair's sums as one flat row of JSON."""
    row: dict[str, Any] = {'id': pair.id, 'source': pair.source}
    for name, part in (
        ('question', pair.question),
        ('answer', pair.answer),
        ('eos', pair.eos),
    ):
        row[f'{name}_nats'] = part.nats
        row[f'{name}_tokens'] = part.tokens
        if name != 'eos':
            row[f'{name}_bytes'] = part.bytes
    return row
