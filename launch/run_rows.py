"""A config's run with its rows, packed now if they are not: what training needs."""

from __future__ import annotations

from data_pipeline import pack
from hax_jax.config import schema
from hax_jax.data import records, text
from hax_jax.runs import grown_base, origin


def find(
    run: schema.Config,
) -> tuple[schema.Config, text.Tokenizer, records.PackedCache]:
    """The run with its base's sizes and its vocabulary, its tokenizer, its rows."""
    run, tokenizer_path = origin.resolve(grown_base.make(run))
    tokenizer = pack.load_tokenizer(run.data, run.tokenizer, path=tokenizer_path)
    run = origin.with_vocab(run, tokenizer)
    cache = records.open_cache(pack.ensure_packed(run.data, tokenizer))
    cache.verify()
    return run, tokenizer, cache
