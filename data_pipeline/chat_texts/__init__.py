"""Chats within the fields of a row: as one text, or in shapes of their own.

In: the value of a field, a row, or a text file. Out: its turns, or a text without marks
of media.

Start at `transcripts`, which has the marks of all chat templates; `chat_files` parts a
file into conversations, `published_chats` has the shapes of single data sets,
`media_marks` what stands for pictures and files.
"""
