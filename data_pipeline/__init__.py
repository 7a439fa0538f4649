"""Raw question-and-answer text to a packed dataset."""
