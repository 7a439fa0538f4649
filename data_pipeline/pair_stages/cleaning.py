"""Stage `clean`: mojibake and Reddit's Markdown to the text that a person wrote.

Entities, zero-width characters and kinds of spaces are clean.text's, which every parser
calls once: unescaped a second time, `&amp;lt;` would no longer be what was typed.
"""

from data_pipeline import settings
from data_pipeline.pages import encoding
from data_pipeline.pair_stages import asides, markdown_text, outcomes, stages
from hax_jax.data import records

STAGE = 'clean'


def stage(chosen: settings.CleanSettings) -> stages.Stage:
    """The stage that cleans one pair."""
    everywhere = []
    if chosen.mojibake:
        everywhere.append(stages.TextRule('mojibake repaired', encoding.repair))
    reddit = list(everywhere)
    if chosen.markdown:
        rule = stages.TextRule('Markdown made plain text', markdown_text.plain)
        reddit.append(rule)
    cuts = []
    if not chosen.keep_edits:
        cuts.append(stages.TextRule('edits cut', asides.without_edits))
    if not chosen.keep_summaries:
        cuts.append(stages.TextRule('summaries cut', asides.without_summaries))

    def apply(pair: records.QaPair) -> outcomes.Outcome:
        return stages.rewrite(pair, (reddit if _of_reddit(pair) else everywhere) + cuts)

    return stages.Stage(STAGE, apply)


def _of_reddit(pair: records.QaPair) -> bool:
    return records.kind(pair.source) == 'reddit'
