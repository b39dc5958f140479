"""When it runs: every line that imports dagster. Thin shells around audit.py and the rooms below."""
