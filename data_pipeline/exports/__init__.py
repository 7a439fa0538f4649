"""What platforms export and publish, as rows of pairs and turns of chats.

In: an object of a platform's own export. Out: a row with the fields that `rows` knows,
or turns of the roles user and assistant; None for an object of another kind.

Where nothing says which message answers which, the export is refused by its name.
"""
