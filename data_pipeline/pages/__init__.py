"""One written page to question-and-answer pairs: chats, Reddit posts, merged files.

In: a file's text. Out: a `page.Page` with its pairs, every piece of the text with its
kind, and the lines that no rule explains. Pure functions: no file is opened here.

Start at `page` (pieces and kinds), then one parser: `chat`, `reddit` or `merged`.
"""
