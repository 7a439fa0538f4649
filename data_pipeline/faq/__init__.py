"""Pages whose headings ask: FAQs without labels.

In: a text, or its headings with the text below each. Out: a `page.Page` with its pairs.

Start at `faq_pages`, which finds the level of the questions and reads their answers.
`page_lines` makes lines of a text, `asking_lines` has the forms of lines that ask,
`questions` says what a question is, for pages of HTML too, and `below_pairs` what
stands below the last answer.
"""
