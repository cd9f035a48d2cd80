"""When a series is complete, when a study settles, and what becomes of objects that came again."""
