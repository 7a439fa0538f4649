"""Programs that people start, and how they are started on machines."""
