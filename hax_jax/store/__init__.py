"""Google Cloud Storage as a place for runs: paths, failures in one line, the lock.

In: a gs:// URL. Out: a path with pathlib's interface (`gs_path.GsPath`), whose objects
are written whole or not at all, and `errors.PlaceError` where the store fails.
Nothing here is imported before a gs:// path is named. Begin with `gs_path.py`.
"""
