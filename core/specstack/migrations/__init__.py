"""How the tables of the spec came to be: Alembic revisions, written by hand and never changed once released.

Each API has a branch of its own, labelled with its name, whose revisions are called `<api>_<number>`.
"""
