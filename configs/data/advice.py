"""Prepares advice columns and Reddit's advice forums: the defaults, written out.

On: chats, Reddit Markdown and merged files.
Drops: bots' answers, bare links, answers of under three words, other languages than
English, texts that repeat themselves, duplicates.

    python -m data_pipeline.build --config=configs/data/advice.py \\
        --input='chats/*.md' --input='reddit/*.md' --output=data/advice

What each field means, and the others: data_pipeline/settings.py.
"""

import ml_collections

from data_pipeline import settings


def get_config() -> ml_collections.ConfigDict:
    draft = settings.draft()
    draft.clean.markdown = True
    draft.clean.keep_edits = True  # often the part that says how it ended
    draft.clean.keep_summaries = True
    draft.personal_data.phone_regions = ('US', 'GB')
    draft.quality.languages = ('en',)
    draft.quality.min_answer_tokens = 3  # keep_yes_no keeps a number, yes or no
    draft.quality.min_score = 0
    draft.duplicates.threshold = 0.7
    return draft
