"""The layouts of written pages: which one a text has, and its parser.

In: a file's text. Out: a layout's name and a `page.Page` with its pairs.

Start at `detection`; `labelled` and `letters` are the layouts of other people's texts,
`pages` has those of this project's sources. `transcripts` reads the chat that one field
of a row holds as text.
"""
