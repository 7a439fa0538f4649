"""Files in markup languages: pages of HTML, and rows in YAML and XML.

In: a file's text or path. Out: a `page.Page` with its pairs, or rows as lines of JSON.

Start at `html_pages`; `html_questions` finds questions that have no labels among the
elements of `html_tree`, whose text `html_source` has. `markup_rows` reads YAML and XML.
"""
