"""Incidents in the organisation's tracker: what is asked for, how it is kept, and the trackers that take it."""
